//! Outputs of a model for the 805 instructions: public ones, or those in a file.

use std::path::Path;

use serde::Deserialize;
use tokensieve_data::Catalogue;

use crate::{Error, Result, rows};

#[derive(Deserialize)]
struct Record {
    instruction: String,
    output: String,
}

/// The outputs of a model of the set `alpaca-eval-outputs`, such as `gpt4-1106-preview`.
pub fn outputs(catalogue: &Catalogue, model: &str) -> Result<Vec<String>> {
    let files = catalogue.fetch("alpaca-eval-outputs")?;
    let Some(path) = files.paths().get(model) else {
        let known: Vec<&str> = files.paths().keys().map(String::as_str).collect();
        return Err(Error::Setting(format!(
            "there are no outputs of `{model}`; there are those of {}",
            known.join(", ")
        )));
    };
    Ok(records(path)?.into_iter().map(|record| record.output).collect())
}

/// The outputs in a file for these instructions, in any order: a JSON array, or one object per line, each with `instruction`
/// and `output`. Of instructions whose places are not `asked` the output may be missing, and is then empty.
pub fn read_outputs(path: &Path, instructions: &[String], asked: &[usize]) -> Result<Vec<String>> {
    let mut records = records(path)?;
    instructions
        .iter()
        .enumerate()
        .map(|(i, instruction)| {
            // Files are mostly in order; an instruction that occurs twice takes its outputs in turn.
            let found = match records.get(i) {
                Some(record) if record.instruction == *instruction => Some(i),
                _ => records.iter().position(|record| record.instruction == *instruction),
            };
            let Some(found) = found else {
                if !asked.contains(&i) {
                    return Ok(String::new());
                }
                let start: String = instruction.chars().take(60).collect();
                return Err(Error::file(path, format!("no output for instruction {i}, `{start}…`")));
            };
            records[found].instruction.clear();
            Ok(std::mem::take(&mut records[found].output))
        })
        .collect()
}

/// Lengths in Unicode code points, as the length-controlled model counts them.
pub(super) fn lengths(outputs: &[String]) -> Vec<usize> {
    outputs.iter().map(|output| output.chars().count()).collect()
}

fn records(path: &Path) -> Result<Vec<Record>> {
    if rows::text(path)?.trim_start().starts_with('[') { rows::json(path) } else { rows::json_lines(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &str, instructions: &[&str]) -> Result<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outputs.json");
        std::fs::write(&path, content).unwrap();
        read_of(&path, instructions, &(0..instructions.len()).collect::<Vec<_>>())
    }

    fn read_of(path: &Path, instructions: &[&str], asked: &[usize]) -> Result<Vec<String>> {
        let instructions: Vec<String> = instructions.iter().map(|text| (*text).to_owned()).collect();
        read_outputs(path, &instructions, asked)
    }

    #[test]
    fn only_what_is_asked_needs_an_output() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outputs.json");
        std::fs::write(&path, r#"[{"instruction":"b","output":"2"}]"#).unwrap();
        assert_eq!(read_of(&path, &["a", "b", "c"], &[1]).unwrap(), ["", "2", ""]);
        let error = read_of(&path, &["a", "b", "c"], &[1, 2]).unwrap_err().to_string();
        assert!(error.contains("no output for instruction 2, `c…`"), "{error}");
    }

    #[test]
    fn outputs_find_their_instructions() {
        let array = r#"[{"instruction":"b","output":"2"},{"instruction":"a","output":"1","generator":"g"},{"instruction":"b","output":"3"}]"#;
        assert_eq!(read(array, &["a", "b", "b"]).unwrap(), ["1", "2", "3"]);
        let lines = "{\"instruction\":\"a\",\"output\":\"1\"}\n\n{\"instruction\":\"b\",\"output\":\"2\"}\n";
        assert_eq!(read(lines, &["a", "b"]).unwrap(), ["1", "2"]);
        assert_eq!(read(&format!("\u{feff}{lines}"), &["a", "b"]).unwrap(), ["1", "2"]);
    }

    #[test]
    fn what_is_missing_or_broken_is_named() {
        let error = read("[]", &["Tell me"]).unwrap_err().to_string();
        assert!(error.contains("instruction 0, `Tell me…`"), "{error}");
        let error =
            read("{\"instruction\":\"a\",\"output\":\"1\"}\n{\"inst", &["a"]).unwrap_err().to_string();
        assert!(error.contains("outputs.json:2"), "{error}");
        let error = read("[{\"instruction\":\"a\"}]", &["a"]).unwrap_err().to_string();
        assert!(error.contains("output"), "{error}");
    }
}
