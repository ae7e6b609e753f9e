//! Our verdicts on IFEval beside every recorded one: three models' responses, judged by the original checker.

use std::collections::{BTreeMap, HashMap};
use std::fs;

use serde::Deserialize;
use serde_json::Value;
use tokensieve_data::Catalogue;
use tokensieve_tasks::ifeval;

#[derive(Deserialize)]
struct Prompt {
    key: u64,
    prompt: String,
    instruction_id_list: Vec<String>,
    kwargs: Vec<Value>,
}

#[derive(Deserialize)]
struct Recorded {
    key: u64,
    response: String,
    strict: Vec<bool>,
    loose: Vec<bool>,
}

fn rows<T: serde::de::DeserializeOwned>(set: &str, file: &str) -> Vec<T> {
    let files = Catalogue::load().unwrap().fetch(set).unwrap();
    let text = fs::read_to_string(files.path(file)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const MODELS: [&str; 3] = ["gpt4", "llama-3.1-8b", "qwen2.5-7b"];

#[test]
fn verdicts_are_those_of_the_original() {
    let prompts: HashMap<u64, Prompt> =
        rows::<Prompt>("ifeval", "prompts").into_iter().map(|prompt| (prompt.key, prompt)).collect();
    let mut agreement: BTreeMap<String, [usize; 4]> = BTreeMap::new();
    for model in MODELS {
        for recorded in rows::<Recorded>("ifeval-results", model) {
            let prompt = &prompts[&recorded.key];
            for (index, id) in prompt.instruction_id_list.iter().enumerate() {
                let arguments = &prompt.kwargs[index];
                let strict = ifeval::check(id, arguments, &prompt.prompt, &recorded.response).unwrap();
                let loose = ifeval::check_loosely(id, arguments, &prompt.prompt, &recorded.response).unwrap();
                let counts = agreement.entry(id.clone()).or_default();
                for (place, ours, theirs) in
                    [(0, strict, recorded.strict[index]), (2, loose, recorded.loose[index])]
                {
                    counts[place] += usize::from(ours == theirs);
                    counts[place + 1] += 1;
                    if ours != theirs {
                        println!(
                            "{model} {} {id} {} ours {ours} theirs {theirs}",
                            recorded.key,
                            ["strict", "", "loose"][place]
                        );
                    }
                }
            }
        }
    }
    for (id, [strict, of, loose, _]) in agreement {
        println!("{id:50} {strict:4} {loose:4} {of:4}");
    }
}
