//! Estimating uncertainty takes no more memory with more passes. A program of its own, for the peak is the process's. Needs
//! libtorch; run: `cargo test -p tokensieve-infer --test uncertainty_memory`.

#[path = "../../tests/fixture/mod.rs"]
mod fixture;

use fixture::Fixture;
use tch::Kind;
use tokensieve_base::testing::skipped;
use tokensieve_documents::estimates::{MaskScope, PromptDropout};
use tokensieve_infer::uncertainty::{Budget, Documents, DropoutSettings, Posterior, estimate};
use tokensieve_kernels::memory;
use tokensieve_model::{Document, DropoutSite};

/// What the peak may grow by.
const LIMIT: usize = 6 << 20;

#[test]
fn memory_does_not_grow_with_the_passes() {
    let fixture = Fixture::new("llama3");
    let mut model = fixture.model(Kind::Float);
    let documents: Vec<&Document> = fixture.documents.iter().cycle().take(40).collect();
    // Few tokens at once, so that the model itself needs the same in both runs.
    let budget = Budget { tokens: 256, hidden_bytes: 1 << 19, sums_bytes: 1 << 19, logits_bytes: 1 << 19 };
    let mut run = |passes: usize| {
        let chances = DropoutSettings {
            passes,
            rate: 0.1,
            places: vec![DropoutSite::Attention],
            masks: MaskScope::Token,
            prompt: PromptDropout::Deterministic,
            seed: 0,
        };
        let posterior = Posterior::Dropout(chances);
        let documents = Documents::all(&documents);
        estimate(&mut model, None, documents, &posterior, 0, &budget, &mut |_, _| Ok(())).unwrap();
    };
    run(20);
    let Some(before) = memory::peak_bytes() else {
        return skipped("the system does not say how much memory a process has had");
    };
    run(300);
    let grown = memory::peak_bytes().unwrap() - before;
    let rows: usize = documents.iter().map(|document| document.response_tokens()).sum();
    // In f32, at the model's width of 32.
    let hidden = rows * 300 * 32 * 4;
    assert!(hidden > 2 * LIMIT, "the test is too small to show anything: {hidden}");
    assert!(grown < LIMIT as u64, "{grown} more; all hidden states are {hidden}");
}
