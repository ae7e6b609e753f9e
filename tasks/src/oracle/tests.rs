//! The distributions against enumeration on a small grammar and against samples of the full one.

use std::collections::HashMap;

use super::*;

/// Small enough to enumerate: documents of one or two records.
const SMALL: Sizes = Sizes { values: 3, modulus: 2, keys: 2, list: 2, document: 17 };

fn every_setting() -> Vec<Settings> {
    let mut all: Vec<Settings> = ["pretrain", "train", "uniform-20", "confusable-30", "paraphrase", "deep"]
        .map(|split| settings(split).unwrap())
        .to_vec();
    all.push(Settings { paraphrases: true, ..settings("confusable-30").unwrap() });
    all
}

/// All documents of a language that begin with `prefix`, with their probabilities.
fn documents(language: &Language, prefix: &mut Vec<Token>, p: f64, all: &mut Vec<(Vec<Token>, f64)>) {
    let Some(next) = language.next(prefix) else {
        all.push((prefix.clone(), p));
        return;
    };
    let sum: f64 = next.tokens.iter().map(|(_, p)| p).sum();
    assert!((sum - 1.0).abs() < 1e-12, "{}: {sum}", text(prefix));
    assert!(next.tokens.iter().all(|(_, p)| *p > 0.0), "{}", text(prefix));
    for (token, q) in &next.tokens {
        prefix.push(*token);
        documents(language, prefix, p * q, all);
        prefix.pop();
    }
}

#[test]
fn the_documents_of_a_small_grammar_have_probability_one() {
    for base in every_setting() {
        let language = Language::with_sizes(1, Settings { steps: (1, 1), ..base }, SMALL);
        let mut all = Vec::new();
        documents(&language, &mut Vec::new(), 1.0, &mut all);
        let sum: f64 = all.iter().map(|(_, p)| p).sum();
        assert!(all.len() > 100 && (sum - 1.0).abs() < 1e-9, "{} documents, {sum}", all.len());
        assert!(all.iter().all(|(document, _)| document.len() <= SMALL.document));
        // Unambiguous: no document is reached in two ways.
        let texts: HashMap<String, f64> = all.iter().map(|(document, p)| (text(document), *p)).collect();
        assert_eq!(texts.len(), all.len());
    }
}

/// The generative story with its hidden coin, written out: is the value wrong, and if so, which one is it?
#[test]
fn noise_is_a_mixture_over_a_hidden_coin() {
    let noisy = Settings { paraphrases: true, steps: (1, 1), ..settings("confusable-30").unwrap() };
    let language = Language::with_sizes(2, noisy, SMALL);
    let counts = language.world().counts(true, SMALL.values);
    for (first, second) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let Entry::Fact(right) = *language.world().entry((first, second), true) else { continue };
        let mut expected: HashMap<char, f64> = HashMap::new();
        let others: usize =
            (0..3).filter(|value| *value != right).map(|value| counts[usize::from(value)]).sum();
        for wrong in [false, true] {
            for value in 0..3_u8 {
                let p_value = match wrong {
                    false => f64::from(u8::from(value == right)),
                    true if value == right => 0.0,
                    true => counts[usize::from(value)] as f64 / others as f64,
                };
                for (spelling, p) in [(0, 0.5), (1, 0.3), (2, 0.2)] {
                    let coin = if others == 0 {
                        f64::from(u8::from(!wrong))
                    } else if wrong {
                        0.3
                    } else {
                        0.7
                    };
                    let symbol = symbols()[14 + spelling * 16 + usize::from(value)];
                    *expected.entry(symbol).or_default() +=
                        if p_value > 0.0 { coin * p_value * p } else { 0.0 };
                }
            }
        }
        let key: String =
            [symbols()[62 + usize::from(first)], symbols()[74 + usize::from(second)]].iter().collect();
        let next = language.next(&tokens(&format!("{{F{key}:")).unwrap()).unwrap();
        for (symbol, p) in expected {
            let token = tokens(&symbol.to_string()).unwrap()[0];
            assert!((next.p(token) - p).abs() < 1e-12, "{symbol}: {} and {p}", next.p(token));
        }
    }
}

#[test]
fn rules_copies_and_lengths_are_as_documented() {
    let language = Language::new(5, settings("train").unwrap());
    let right = |prefix: &str| {
        let next = language.next(&tokens(prefix).unwrap()).unwrap();
        assert_eq!((next.tokens.len(), next.entropy()), (1, 0.0), "{prefix}");
        text(&[next.tokens[0].0])
    };
    assert_eq!(right("{R3+5:"), "8");
    assert_eq!(right("{R3-5:"), "b");
    assert_eq!(right("{R9#c:"), "4");
    assert_eq!(right("{C31f|31"), "f");
    assert_eq!(right("{C31f|31f"), ".");
    assert_eq!(language.next(&tokens("{R3+5:9").unwrap()), None);
    assert_eq!(language.next(&tokens("<").unwrap()), None);
    // With noise a chain goes on from what is written.
    let noisy = Language::new(5, settings("uniform-20").unwrap());
    let next = noisy.next(&tokens("{R3+5:9+1:").unwrap()).unwrap();
    assert_eq!(text(&[next.tokens[0].0]), "a");
    assert!((next.tokens[0].1 - 0.8).abs() < 1e-12 && next.tokens.len() == 13);
    let entropy = -(0.8 * 0.8_f64.ln() + 0.2 * (0.2_f64 / 12.0).ln());
    assert!((next.entropy() - entropy).abs() < 1e-12);
}

#[test]
fn a_million_samples_have_the_stated_frequencies() {
    let all = every_setting();
    for (number, base) in all.iter().enumerate() {
        let language = Language::new(7, *base);
        let mut stream = HashedStream::new(number as u64, "oracle test");
        // By class and token: how often it came, how often it should have, and the variance of that.
        let mut counts: HashMap<(&str, Token), [f64; 3]> = HashMap::new();
        let (mut drawn, mut wrong, mut subject) = (0_usize, 0_usize, 0_usize);
        while drawn < 1_000_000 / all.len() {
            let document = language.document(&mut stream);
            assert!(document.len() <= 127 && document.last().is_some_and(|(token, _)| *token == Token(0)));
            for (token, next) in document {
                drawn += 1;
                if next.right < next.tokens.len() {
                    subject += 1;
                    wrong += usize::from(next.is_wrong(token));
                }
                for (other, p) in &next.tokens {
                    let count = counts.entry((next.class.name(), *other)).or_default();
                    count[0] += f64::from(u8::from(*other == token));
                    count[1] += p;
                    count[2] += p * (1.0 - p);
                }
            }
        }
        for (what, [found, expected, variance]) in counts {
            let off = (found - expected).abs();
            assert!(off <= 5.0 * variance.sqrt() + 1e-6, "{what:?}: {found}, not {expected}");
        }
        if base.noise_rate > 0.0 {
            let sd = (base.noise_rate * (1.0 - base.noise_rate) * subject as f64).sqrt();
            assert!((wrong as f64 - base.noise_rate * subject as f64).abs() < 5.0 * sd);
        } else {
            assert_eq!(subject, 0);
        }
    }
}

#[test]
fn rows_hold_a_number_per_character() {
    let language = Language::new(1, settings("uniform-50").unwrap());
    let row = row(&language, 1, "uniform-50", 4);
    let text = row["text"].as_str().unwrap();
    for column in ["class", "entropy", "p", "wrong"] {
        assert_eq!(row["tokens"][column].as_array().unwrap().len(), text.chars().count(), "{column}");
    }
    let prefix = tokens(text).unwrap();
    for (at, p) in row["tokens"]["p"].as_array().unwrap().iter().enumerate() {
        let next = language.next(&prefix[..at]).unwrap();
        assert!((next.p(prefix[at]) - p.as_f64().unwrap()).abs() < 1e-12);
    }
    assert!(settings("uniform-101").unwrap_err().to_string().contains("confusable-N"));
}

#[test]
fn predictions_are_those_of_every_prefix_with_and_without_noise() {
    for split in ["pretrain", "confusable-30", "uniform-100", "deep", "paraphrase"] {
        let language = Language::new(3, settings(split).unwrap());
        let truthful = Language::new(3, Settings { noise_rate: 0.0, ..settings(split).unwrap() });
        let drawn = language.document(&mut HashedStream::new(1, "predictions"));
        let document: Vec<Token> = drawn.iter().map(|(token, _)| *token).collect();
        let predictions = language.predictions(&document).unwrap();
        assert_eq!(predictions.len(), document.len());
        for (place, prediction) in predictions.iter().enumerate() {
            assert_eq!(Some(&prediction.data), language.next(&document[..place]).as_ref());
            assert!(prediction.data.entropy().is_finite());
            assert_eq!(prediction.data.class, prediction.truth.class);
            let right = &prediction.data.tokens[..prediction.data.right];
            let same = |pair: (&(Token, f64), &(Token, f64))| pair.0.0 == pair.1.0;
            assert!(
                right.len() == prediction.truth.tokens.len()
                    && right.iter().zip(&prediction.truth.tokens).all(same)
            );
        }
        if split == "pretrain" {
            assert!(predictions.iter().zip(&drawn).all(|(prediction, (_, next))| prediction.truth == *next));
            assert_eq!(truthful.predictions(&document).unwrap(), predictions);
        }
        assert_eq!(language.predictions(&document[..document.len() - 1]), Err(document.len() - 1));
        assert_eq!(language.predictions(&[&document[..], &[Token(1)]].concat()), Err(document.len()));
        assert_eq!(language.predictions(&[document[0], Token(85)]), Err(1));
    }
}

#[test]
fn classes_tell_changed_facts_and_the_steps_of_chains_apart() {
    let language = Language::new(5, settings("deep").unwrap());
    let document = tokens("{R1+1:2#1:5-1:4+0:4+0:4.$").unwrap();
    let classes = language.predictions(&document).unwrap();
    let results: Vec<String> =
        classes.iter().map(|p| p.data.class.full_name()).filter(|name| name.contains('/')).collect();
    assert_eq!(results, ["rule/1", "new-rule/2", "rule/3", "rule/4", "rule/5"]);
    let halves = (0..12_u8).flat_map(|a| (0..12_u8).map(move |b| (a, b)));
    let mut names: Vec<String> = halves
        .map(|(a, b)| format!("{{F{}{}:", symbols()[usize::from(62 + a)], symbols()[usize::from(74 + b)]))
        .map(|prefix| language.next(&tokens(&prefix).unwrap()).unwrap().class.full_name())
        .collect();
    names.sort_unstable();
    names.dedup();
    let expected = [
        "choice",
        "frequent-fact/changed",
        "frequent-fact/unchanged",
        "rare-fact/changed",
        "rare-fact/unchanged",
    ];
    assert_eq!(names, expected);
}
