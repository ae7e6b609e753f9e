//! Our verdicts on IFEval beside every recorded one: the responses of three models, judged by the original checker.

mod data;

use std::collections::{BTreeMap, HashMap};
use std::fs;

use data::at_hand;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokensieve_data::Catalogue;
use tokensieve_tasks::{Answer, Options, ifeval, open};

#[derive(Deserialize)]
struct Asked {
    key: u64,
    prompt: String,
    #[serde(rename = "instruction_id_list")]
    instructions: Vec<String>,
    #[serde(rename = "kwargs")]
    arguments: Vec<Value>,
}

#[derive(Deserialize)]
struct Recorded {
    key: u64,
    response: String,
    strict: Vec<bool>,
    loose: Vec<bool>,
}

/// The original detects languages from n-grams drawn at random, otherwise on every run; ours are drawn with a fixed seed.
const LANGUAGE: &str = "the original's language detection is random";
/// The original of that time put a random letter in the place of `#` and `!`; later it counted these, as ours does.
const LETTER: &str = "the original counted a random letter in the place of a sign";
/// The recorded run asked for one placeholder; the data, corrected later, ask for three.
const PROMPT: &str = "the recorded run had an older text of the prompt";

/// Model, prompt, instruction, kind of verdict, ours, and why the recorded one is the opposite.
const DISAGREEMENTS: &[(&str, u64, &str, &str, bool, &str)] = &[
    ("gpt4", 1122, "keywords:letter_frequency", "loose", true, LETTER),
    ("llama-3.1-8b", 1122, "keywords:letter_frequency", "strict", true, LETTER),
    ("llama-3.1-8b", 1813, "change_case:english_capital", "strict", true, LANGUAGE),
    ("llama-3.1-8b", 1813, "change_case:english_capital", "loose", true, LANGUAGE),
    ("llama-3.1-8b", 279, "change_case:english_lowercase", "strict", true, LANGUAGE),
    ("llama-3.1-8b", 3617, "change_case:english_capital", "loose", true, LANGUAGE),
    ("qwen2.5-7b", 1122, "keywords:letter_frequency", "strict", true, LETTER),
    ("qwen2.5-7b", 1129, "keywords:letter_frequency", "strict", true, LETTER),
    ("qwen2.5-7b", 2785, "detectable_content:number_placeholders", "strict", false, PROMPT),
    ("qwen2.5-7b", 2785, "detectable_content:number_placeholders", "loose", false, PROMPT),
    ("qwen2.5-7b", 3456, "change_case:english_capital", "strict", true, LANGUAGE),
    ("qwen2.5-7b", 3617, "change_case:english_capital", "loose", true, LANGUAGE),
];

const MODELS: [&str; 3] = ["gpt4", "llama-3.1-8b", "qwen2.5-7b"];

fn rows<T: DeserializeOwned>(set: &str, file: &str) -> Option<Vec<T>> {
    let files = at_hand(Catalogue::load().unwrap().fetch(set))?;
    let text = fs::read_to_string(files.path(file)).unwrap();
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn prompts() -> Option<HashMap<u64, Asked>> {
    Some(rows::<Asked>("ifeval", "prompts")?.into_iter().map(|prompt| (prompt.key, prompt)).collect())
}

#[test]
fn verdicts_are_those_of_the_original() {
    let Some(prompts) = prompts() else { return };
    let mut disagreements = Vec::new();
    let mut table: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for model in MODELS {
        let Some(recorded) = rows("ifeval-results", model) else { return };
        for Recorded { key, response, strict, loose } in recorded {
            let Asked { prompt, instructions, arguments, .. } = &prompts[&key];
            for (index, id) in instructions.iter().enumerate() {
                let (id, arguments) = (id.as_str(), &arguments[index]);
                let ours = [
                    ("strict", ifeval::check(id, arguments, prompt, &response).unwrap(), strict[index]),
                    ("loose", ifeval::check_loosely(id, arguments, prompt, &response).unwrap(), loose[index]),
                ];
                let counts = table.entry(id).or_default();
                counts[2] += 1;
                for (place, (kind, ours, theirs)) in ours.into_iter().enumerate() {
                    counts[place] += usize::from(ours == theirs);
                    if ours != theirs {
                        disagreements.push((model, key, id.to_owned(), kind, ours));
                    }
                }
            }
        }
    }
    println!("{:50} {:>6} {:>6} {:>6}", "verdicts that agree", "strict", "loose", "of");
    let mut sums = [0; 3];
    for (id, counts) in table {
        println!("{id:50} {:6} {:6} {:6}", counts[0], counts[1], counts[2]);
        sums = [sums[0] + counts[0], sums[1] + counts[1], sums[2] + counts[2]];
    }
    println!("{:50} {:6} {:6} {:6}", "all", sums[0], sums[1], sums[2]);
    for (model, key, id, kind, ours, why) in DISAGREEMENTS {
        println!("{model}, prompt {key}, {id}: {kind}ly {ours}, recorded {}: {why}", !ours);
    }
    let listed: Vec<_> = DISAGREEMENTS
        .iter()
        .map(|(model, key, id, kind, ours, _)| (*model, *key, (*id).to_owned(), *kind, *ours))
        .collect();
    assert_eq!(disagreements, listed);
}

#[test]
fn of_the_older_prompt_the_verdict_is_the_recorded_one() {
    let Some(recorded) = rows::<Recorded>("ifeval-results", "qwen2.5-7b") else { return };
    let answer = recorded.iter().find(|answer| answer.key == 2785).unwrap();
    let id = "detectable_content:number_placeholders";
    assert!(ifeval::check(id, &json!({"num_placeholders": 1}), "", &answer.response).unwrap());
}

/// Prompt-strict, instruction-strict, prompt-loose and instruction-loose in percent: as recorded, and ours.
const SCORES: [(&str, [f64; 4], [f64; 4]); 3] = [
    ("gpt4", [77.22, 83.77, 79.63, 85.58], [77.22, 83.77, 79.81, 85.70]),
    ("llama-3.1-8b", [71.16, 79.50, 75.23, 83.21], [71.53, 79.86, 75.42, 83.45]),
    ("qwen2.5-7b", [73.01, 80.58, 75.79, 82.61], [73.20, 80.82, 75.79, 82.61]),
];

#[test]
fn scores_are_the_recorded_ones_but_for_the_disagreements() {
    let Some(task) = at_hand(open("ifeval", &Options::default())) else { return };
    let place: HashMap<u64, usize> = task
        .questions()
        .iter()
        .enumerate()
        .map(|(index, question)| (question.id.parse().unwrap(), index))
        .collect();
    assert_eq!(place.len(), 541);
    for (model, as_recorded, as_ours) in SCORES {
        let Some(answers) = rows::<Recorded>("ifeval-results", model) else { return };
        let (mut recorded, mut ours) = (vec![vec![0.0; 2]; 4], vec![vec![0.0; 2]; 4]);
        for answer in answers {
            for (place, verdicts) in [(0, &answer.strict), (2, &answer.loose)] {
                let followed = verdicts.iter().filter(|followed| **followed).count();
                add(&mut recorded[place], &[f64::from(u8::from(followed == verdicts.len())), 1.0]);
                add(&mut recorded[place + 1], &[followed as f64, verdicts.len() as f64]);
            }
            let reply = Answer::Reply { text: answer.response, tokens: 1, ended: true };
            let tallies = task.tally(place[&answer.key], &reply).unwrap();
            for (sum, tally) in ours.iter_mut().zip(&tallies[1..]) {
                add(sum, tally);
            }
        }
        let percent = |sums: &[Vec<f64>]| -> Vec<f64> {
            let values = task.measures()[1..].iter().zip(sums).map(|(measure, sums)| (measure.of)(sums));
            values.map(|value| (value * 1e4).round() / 1e2).collect()
        };
        println!("{model}: recorded {:?}, ours {:?}", percent(&recorded), percent(&ours));
        assert_eq!(percent(&recorded), as_recorded, "{model}");
        assert_eq!(percent(&ours), as_ours, "{model}");
    }
}

fn add(sum: &mut [f64], numbers: &[f64]) {
    for (sum, number) in sum.iter_mut().zip(numbers) {
        *sum += number;
    }
}
