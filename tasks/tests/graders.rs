//! Our graders against public ones, on verdicts that those gave (the scripts beside the fixtures make them).

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokensieve_tasks::{gsm8k, maths, overlap};

/// The cases of a fixture: its first line names the grader.
fn cases<T: DeserializeOwned>(fixture: &str) -> Vec<T> {
    fixture.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn gsm8k_as_lm_evaluation_harness() {
    #[derive(Deserialize)]
    struct Case {
        reply: String,
        key: String,
        strict: bool,
        flexible: bool,
    }
    let cases: Vec<Case> = cases(include_str!("fixtures/gsm8k.jsonl"));
    assert_eq!(cases.len(), 1500);
    for case in &cases {
        let [strict, flexible, _] = gsm8k::verdicts(&case.reply, &case.key);
        assert_eq!((strict, flexible), (case.strict, case.flexible), "{:?} for {:?}", case.reply, case.key);
    }
    assert!(cases.iter().filter(|case| case.strict).count() > 100);
}

#[test]
fn chrf_as_sacrebleu() {
    #[derive(Deserialize)]
    struct Case {
        reply: String,
        reference: String,
        chrf: f64,
        #[serde(rename = "chrf++")]
        chrf_words: f64,
    }
    #[derive(Deserialize)]
    struct Whole {
        chrf: f64,
        #[serde(rename = "chrf++")]
        chrf_words: f64,
    }
    let fixture = include_str!("fixtures/chrf.jsonl");
    let cases: Vec<Case> = cases(fixture);
    let near = |ours: f64, theirs: f64, what: &str| {
        assert!((100.0 * ours - theirs).abs() < 1e-9, "{ours} {theirs}: {what}")
    };
    let mut sums = vec![0.0; 24];
    for case in &cases {
        let counts = overlap::counts(&case.reply, &case.reference);
        let what = format!("{:?} {:?}", case.reply, case.reference);
        near(overlap::score(&counts[..18]), case.chrf, &what);
        near(overlap::score(&counts), case.chrf_words, &what);
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    let whole: Whole = serde_json::from_str(fixture.lines().next().unwrap()).unwrap();
    near(overlap::score(&sums[..18]), whole.chrf, "the set");
    near(overlap::score(&sums), whole.chrf_words, "the set");
}

#[derive(Deserialize)]
struct Pair {
    found: String,
    key: String,
    same: bool,
}

#[test]
fn mathematics_as_math_verify() {
    let pairs: Vec<Pair> = cases(include_str!("fixtures/maths.jsonl"));
    let mut n = 0;
    for pair in &pairs {
        let ours = maths::same(&pair.found, &pair.key);
        if ours != pair.same {
            n += 1;
            println!("{}\t{}\t{}", ours, pair.found, pair.key);
        }
    }
    println!("{n} of {}", pairs.len());
}
