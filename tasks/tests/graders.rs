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
        assert!((100.0 * ours - theirs).abs() < 1e-9, "{ours} {theirs}: {what}");
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

/// What the beginnings of the keys are on which the graders disagree, whether ours calls the pair the same, and why.
const DISAGREEMENTS: [(&str, bool, &str); 16] = [
    (r"\frac{1}{6} \pi", true, "1/6 π: ours divides from left to right, math-verify reads 1/(6π)"),
    (r"\frac{1}{2}(\exp", true, "1/2(…): as before"),
    (r"\left[P_{0}", true, "2/5 g: as before"),
    (r"\lambda_{\text {red}}", true, "λ/2√2 is λ/√2, read from left to right"),
    (
        r"-84",
        true,
        "a percent sign is a unit to ours, a hundredth to math-verify (which allows both for positive numbers)",
    ),
    (r"-4", true, "as before"),
    (r"-21", true, "as before"),
    (r"I(0) e^", true, "that key ends in a line break, before which math-verify finds no formula"),
    (r"\frac{dM}{dt}", true, "math-verify cannot read the sun's symbol"),
    (
        r"\frac{e^{2 i t}}",
        true,
        "only blanks differ; math-verify does not see that the difference is nothing",
    ),
    (r"np.arcsin", true, "math-verify cannot read it behind `x =`"),
    (r"11,\! 111", true, "behind `x =` math-verify takes a grouped number for a set"),
    (r"137 \frac{1}{2}", true, "137 1/2 is a mixed number"),
    (r"I \frac{d \omega}", false, "−a + b = c is not a + b = c; math-verify compares the right sides alone"),
    (r"m \frac{d v}", false, "as before"),
    (r"6m", false, "6 is not 6m; math-verify takes the m for a unit"),
];

#[test]
fn mathematics_as_math_verify() {
    let pairs: Vec<Pair> = cases(include_str!("fixtures/maths.jsonl"));
    assert_eq!(pairs.len(), 2400);
    let mut unused: Vec<&str> = DISAGREEMENTS.iter().map(|(key, ..)| *key).collect();
    let mut disagreements = 0;
    for Pair { found, key, same } in &pairs {
        let ours = maths::equal(found, key);
        if ours == *same {
            continue;
        }
        disagreements += 1;
        let reason = DISAGREEMENTS.iter().find(|(start, says, _)| key.starts_with(start) && *says == ours);
        let (start, ..) =
            reason.unwrap_or_else(|| panic!("ours {ours}, math-verify {same}: {found:?} for {key:?}"));
        unused.retain(|key| key != start);
    }
    assert!(unused.is_empty(), "no disagreement any more on {unused:?}");
    // 99.0 % agreement.
    assert_eq!(disagreements, 23);
}
