//! The default model's tokenizer and GSM8K, together: what people get who configure nothing.
//!
//! Needs the model (98 MB, from the Python package index) and GSM8K, through the catalogue; skips what it cannot get.
// Weights are exactly 0 or 1.
#![allow(clippy::float_cmp)]

#[path = "../../../tasks/tests/data/mod.rs"]
mod others;

use std::path::Path;

use others::at_hand;
use tokensieve_data::Catalogue;
use tokensieve_documents::DataSource;
use tokensieve_model::Document;
use tokensieve_model::text::Tokenizer;
use tokensieve_model::weights::Checkpoint;
use tokensieve_train::config::Config;

#[test]
fn gsm8k_is_as_long_as_measured_with_transformers() {
    let catalogue = Catalogue::load().unwrap();
    if ["smollm2-135m", "gsm8k"].into_iter().any(|set| at_hand(catalogue.fetch(set)).is_none()) {
        return;
    }
    let tokenizer = Tokenizer::open(&Checkpoint::open("smollm2-135m").unwrap()).unwrap();
    let set = tokensieve_documents::load(&DataSource::new("gsm8k"), &tokenizer).unwrap();
    assert_eq!((set.documents.len(), set.rows, set.truncated), (7473, 7473, 0));
    assert!(set.skipped.is_empty());

    // transformers on the same file: 90.27 and 126.57 tokens, 91.66 and 131.63 in the first 256 rows, where the longest
    // has 468; its responses count the line break after the end of the turn, and its prompts keep digits together that
    // the model's own tokenizer splits.
    for (rows, prompt, response, longest) in [(7473, 90.27, 125.57, 569), (256, 91.66, 130.63, 467)] {
        let documents = &set.documents[..rows];
        let mean = |count: &dyn Fn(&Document) -> usize| {
            documents.iter().map(count).sum::<usize>() as f64 / rows as f64
        };
        let found = mean(&|document| document.response_tokens());
        assert!((found - response).abs() < 0.02, "{found} response tokens in {rows} rows");
        let found = mean(&|document| document.tokens.len() - document.response_tokens());
        assert!((found - prompt).abs() < 0.02, "{found} prompt tokens in {rows} rows");
        assert_eq!(documents.iter().map(|document| document.tokens.len()).max(), Some(longest));
    }

    let first = &set.documents[0];
    let text = tokenizer.decode(&first.tokens).unwrap();
    assert!(text.starts_with("<|im_start|>system\nYou are a helpful AI assistant named SmolLM"), "{text}");
    let start = first.weights.iter().position(|weight| *weight == 1.0).unwrap();
    assert!(first.weights[start..].iter().all(|weight| *weight == 1.0));
    let (prompt, answer) = (&first.tokens[..start], &first.tokens[start..]);
    assert!(
        tokenizer.decode(prompt).unwrap().ends_with("in April and May?<|im_end|>\n<|im_start|>assistant\n")
    );
    let answer = tokenizer.decode(answer).unwrap();
    assert!(answer.starts_with("Natalia sold 48/2 = <<48/2=24>>24 clips in May.\n"), "{answer}");
    assert!(answer.ends_with("#### 72<|im_end|>"), "{answer}");
}

#[test]
fn the_examples_can_be_read_as_they_are_configured() {
    let catalogue = Catalogue::load().unwrap();
    if at_hand(catalogue.fetch("smollm2-135m")).is_none() {
        return;
    }
    let tokenizer = Tokenizer::open(&Checkpoint::open("smollm2-135m").unwrap()).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    for file in files.filter(|path| path.extension().is_some_and(|end| end == "toml")) {
        // The twin that one of them compares with is trained first: the text is checked, not what it names.
        let text = std::fs::read_to_string(&file).unwrap();
        let config = Config::parse(&file, &text, &[]).unwrap();
        if config.model.init.is_some() {
            continue; // Its rows are made first.
        }
        assert_eq!(config.model.source, "smollm2-135m");
        let evaluations = config.evaluations.iter().map(|(_, source)| source);
        for source in std::iter::once(&config.data).chain(evaluations) {
            if at_hand(catalogue.fetch(&source.source)).is_some() {
                let set =
                    tokensieve_documents::load(source, &tokenizer).unwrap_or_else(|error| panic!("{error}"));
                assert!(
                    set.rows > set.skipped.len() * 100,
                    "{}: {} bad rows",
                    file.display(),
                    set.skipped.len()
                );
            }
        }
    }
}
