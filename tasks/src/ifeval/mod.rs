//! IFEval: prompts with instructions whose following a program can check (Zhou et al., arXiv 2311.07911).
//!
//! 541 prompts hold 834 instructions of 25 types; one file per family of types. The strict verdict is about
//! the response as it is, the loose one about the best of its relaxed versions.
#![expect(clippy::unnecessary_wraps, reason = "the checks that cannot fail have the shape of those that can")]

mod arguments;
mod case;
mod combination;
mod content;
mod format;
mod keywords;
mod language;
mod length;
mod punkt;
mod python;
mod relaxed;
mod startend;
mod treebank;

use serde::Deserialize;
use serde_json::Value;
use tokensieve_data::Catalogue;

use self::arguments::Arguments;
use crate::task::one;
use crate::{Answer, Error, Measure, Question, Result, Task, Unit, rows};

type Check = fn(&Arguments, &str) -> Result<bool>;

/// The types of instruction by name.
const CHECKS: [(&str, Check); 25] = [
    ("change_case:capital_word_frequency", case::capital_word_frequency),
    ("change_case:english_capital", case::english_capital),
    ("change_case:english_lowercase", case::english_lowercase),
    ("combination:repeat_prompt", combination::repeat_prompt),
    ("combination:two_responses", combination::two_responses),
    ("detectable_content:number_placeholders", content::number_placeholders),
    ("detectable_content:postscript", content::postscript),
    ("detectable_format:constrained_response", format::constrained_response),
    ("detectable_format:json_format", format::json_format),
    ("detectable_format:multiple_sections", format::multiple_sections),
    ("detectable_format:number_bullet_lists", format::number_bullet_lists),
    ("detectable_format:number_highlighted_sections", format::number_highlighted_sections),
    ("detectable_format:title", format::title),
    ("keywords:existence", keywords::existence),
    ("keywords:forbidden_words", keywords::forbidden_words),
    ("keywords:frequency", keywords::frequency),
    ("keywords:letter_frequency", keywords::letter_frequency),
    ("language:response_language", language::response_language),
    ("length_constraints:nth_paragraph_first_word", length::nth_paragraph_first_word),
    ("length_constraints:number_paragraphs", length::number_paragraphs),
    ("length_constraints:number_sentences", length::number_sentences),
    ("length_constraints:number_words", length::number_words),
    ("punctuation:no_comma", startend::no_comma),
    ("startend:end_checker", startend::end_checker),
    ("startend:quotation", startend::quotation),
];

/// Maximum number of new tokens, as in lm-evaluation-harness and lighteval.
const LIMIT: usize = 1280;

pub(crate) const MEASURES: &[Measure] = &[
    Measure {
        name: "average",
        meaning: "the mean of prompt-strict and instruction-strict, as leaderboards give it",
        unit: Unit::Share,
        more_is_better: Some(true),
        least: 0.0,
        of: |sums| f64::midpoint(sums[0] / sums[1], sums[2] / sums[3]),
    },
    Measure::share("prompt-strict", "prompts whose instructions are all followed"),
    Measure::share("instruction-strict", "instructions that are followed"),
    Measure::share("prompt-loose", "prompts whose instructions are all followed, loosely"),
    Measure::share("instruction-loose", "instructions that are followed, loosely"),
];

/// A prompt with its instructions, as the data have it.
#[derive(Deserialize)]
struct PromptRow {
    key: u64,
    prompt: String,
    #[serde(rename = "instruction_id_list")]
    instructions: Vec<String>,
    #[serde(rename = "kwargs")]
    arguments: Vec<Value>,
}

pub(crate) fn open() -> Result<Task> {
    let files = Catalogue::load()?.fetch("ifeval")?;
    let rows: Vec<PromptRow> = rows::json_lines(files.path("prompts"))?;
    let items =
        rows.into_iter().map(|row| (Question::reply(row.key.to_string(), row.prompt.clone(), LIMIT), row));
    Ok(Task::new("ifeval", items, MEASURES, mark))
}

fn mark(row: &PromptRow, answer: &Answer) -> Result<Vec<Vec<f64>>> {
    let response = answer.text()?;
    let relaxed = relaxed::versions(response);
    let (mut strict, mut loose) = (Vec::new(), Vec::new());
    for (instruction, arguments) in row.instructions.iter().zip(&row.arguments) {
        strict.push(check(instruction, arguments, &row.prompt, response)?);
        loose.push(check_any(instruction, arguments, &row.prompt, &relaxed)?);
    }
    let share = |followed: &[bool]| {
        vec![followed.iter().filter(|followed| **followed).count() as f64, followed.len() as f64]
    };
    let all = |followed: &[bool]| one(followed.iter().all(|followed| *followed));
    let average = [all(&strict), share(&strict)].concat();
    Ok(vec![average, all(&strict), share(&strict), all(&loose), share(&loose)])
}

/// The names of all instructions.
pub fn names() -> impl Iterator<Item = &'static str> {
    CHECKS.iter().map(|(name, _)| *name)
}

/// Whether the response follows an instruction of the prompt, strictly. An empty response follows none.
pub fn check(instruction: &str, arguments: &Value, prompt: &str, response: &str) -> Result<bool> {
    let Some((_, follows)) = CHECKS.iter().find(|(name, _)| *name == instruction) else {
        let names = names().collect::<Vec<_>>().join(", ");
        return Err(Error::Setting(format!("there is no instruction `{instruction}`; there are {names}")));
    };
    let arguments = Arguments { instruction, values: arguments, prompt };
    Ok(!python::strip(response).is_empty() && follows(&arguments, response)?)
}

/// Whether the response follows an instruction of the prompt, loosely.
pub fn check_loosely(instruction: &str, arguments: &Value, prompt: &str, response: &str) -> Result<bool> {
    check_any(instruction, arguments, prompt, &relaxed::versions(response))
}

fn check_any(instruction: &str, arguments: &Value, prompt: &str, responses: &[String]) -> Result<bool> {
    for response in responses {
        if check(instruction, arguments, prompt, response)? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "reads better in a test")]
fn follows(instruction: &str, arguments: Value, response: &str) -> bool {
    check(instruction, &arguments, "", response).unwrap()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Arguments that every type finds its own among.
    fn arguments() -> Value {
        json!({
            "relation": "at least", "let_relation": "less than", "capital_relation": "at least",
            "num_sentences": 2, "num_words": 3, "num_paragraphs": 2, "num_bullets": 1, "num_highlights": 1,
            "num_placeholders": 1, "num_sections": 1, "nth_paragraph": 1, "frequency": 2, "let_frequency": 3,
            "capital_frequency": 1, "first_word": "a", "keyword": "a", "keywords": ["a", "ß"],
            "forbidden_words": ["b", "é"], "letter": "İ", "section_spliter": "§", "postscript_marker": "P.S.",
            "end_phrase": "a", "language": "en", "prompt_to_repeat": "a",
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_text_is_judged(text in "(\\PC|[.?!\"'*\\[\\]<>{}#\\-\n\t\x1c ]|P\\.S\\.|```|\\*{3}){0,60}") {
            for (name, _) in CHECKS {
                let strict = check(name, &arguments(), "a", &text).unwrap();
                let loose = check_loosely(name, &arguments(), "a", &text).unwrap();
                prop_assert!(loose || !strict, "{}", name);
            }
        }
    }

    #[test]
    fn nothing_follows_nothing() {
        for (name, _) in CHECKS {
            assert!(!check(name, &arguments(), "a", " \n").unwrap(), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_judged_is_said() {
        let says = |id: &str, arguments: Value| check(id, &arguments, "", "a").unwrap_err().to_string();
        assert!(
            says("keywords:exists", json!({}))
                .contains("there is no instruction `keywords:exists`; there are ch")
        );
        assert_eq!(
            says("keywords:frequency", json!({"keyword": null})),
            "instruction `keywords:frequency`: `keyword` is nothing, not a text"
        );
        assert!(says("keywords:existence", json!({"keywords": ["(a"]})).contains("the pattern `(?i)(a`: "));
    }

    #[test]
    fn a_prompt_is_followed_if_all_of_it_is() {
        let row = PromptRow {
            key: 1,
            prompt: String::new(),
            instructions: vec!["punctuation:no_comma".into(), "startend:quotation".into()],
            arguments: vec![json!({}), json!({})],
        };
        let tally =
            |text: &str| mark(&row, &Answer::Reply { text: text.into(), tokens: 1, ended: true }).unwrap();
        let (none, half, all) = (vec![0.0, 1.0], vec![1.0, 2.0], vec![2.0, 2.0]);
        let average = vec![0.0, 1.0, 1.0, 2.0];
        assert_eq!(tally("a"), [average, none, half, vec![0.0, 1.0], vec![1.0, 2.0]]);
        let loosely = tally("Sure:\n\"a\"");
        assert_eq!(loosely[3..], [vec![1.0, 1.0], all]);
        assert!(((MEASURES[0].of)(&[1.0, 4.0, 6.0, 8.0]) - 0.5).abs() < 1e-12);
    }
}
