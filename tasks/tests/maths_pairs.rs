//! Equality of answers on 200 equal and 200 different pairs, written from the forms of the sets' answer keys before the
//! grader was last changed. Beside what a careful marker says stand our verdict and math-verify's
//! (`fixtures/maths_pairs.py` records the latter). A pair that ours gets wrong stays in the file as it is.

use tokensieve_tasks::maths;

struct Pair<'a> {
    found: &'a str,
    key: &'a str,
    expected: bool,
    ours: bool,
    math_verify: bool,
}

fn pairs() -> Vec<Pair<'static>> {
    let is_equal = |word: &str| match word {
        "equal" => true,
        "different" => false,
        other => panic!("{other} is no verdict"),
    };
    let pair = |line: &'static str| {
        let columns: Vec<&str> = line.split('\t').collect();
        let [found, key, expected, ours, math_verify] = columns[..] else { panic!("{line}: five columns") };
        let [expected, ours, math_verify] = [expected, ours, math_verify].map(is_equal);
        Pair { found, key, expected, ours, math_verify }
    };
    include_str!("fixtures/maths-pairs.tsv").lines().skip(1).map(pair).collect()
}

#[test]
fn verdicts_are_those_recorded_in_either_order() {
    let pairs = pairs();
    assert_eq!(pairs.iter().filter(|pair| pair.expected).count(), 200);
    assert_eq!(pairs.len(), 400);
    let wrong = pairs.iter().filter_map(|Pair { found, key, ours, .. }| {
        let verdicts = (maths::equal(found, key), maths::equal(key, found));
        (verdicts != (*ours, *ours)).then(|| format!("{found}  {key}: {verdicts:?}, recorded {ours}"))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The rates in `docs/tasks.md`.
#[test]
fn agreement() {
    let pairs = pairs();
    let count = |is: fn(&Pair) -> bool| {
        [true, false].map(|equal| pairs.iter().filter(|pair| pair.expected == equal && is(pair)).count())
    };
    let ours = count(|pair| pair.ours == pair.expected);
    let math_verify = count(|pair| pair.math_verify == pair.expected);
    let both = count(|pair| pair.ours == pair.math_verify);
    println!(
        "of 200 equal and 200 different: ours {ours:?}, math-verify {math_verify:?}, the same verdict {both:?}"
    );
    assert_eq!((ours, math_verify, both), ([198, 200], [156, 190], [158, 190]));
}
