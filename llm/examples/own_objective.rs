//! One's own objective in Rust: here, labels pull by how surprised the model is, but never more than `cap` nats' worth.
//! Run: `cargo run --release -p tokensieve-train --example own_objective`.

use tch::{Device, Kind};
use tokensieve_model::head::{Head, Reference};
use tokensieve_model::text::{Conversation, Tokenizer};
use tokensieve_model::weights::Checkpoint;
use tokensieve_model::{Adapter, Document, LoraConfig, Model, Result};
use tokensieve_objective::{Pull, Pulls, TokenStats};
use tokensieve_train::Trained;
use tokensieve_train::step::{Ranking, Rule, StepOptions, step};

struct Surprise {
    cap: f64,
}

impl Rule for Surprise {
    fn pulls(&mut self, tokens: &[TokenStats], _micro_batches: &[usize]) -> Result<Pulls> {
        let pull =
            |token: &TokenStats| Pull { label: token.weight * token.loss.min(self.cap), reference: 0.0 };
        Ok(Pulls::of(tokens.iter().map(pull).collect()))
    }
}

fn main() -> Result<()> {
    let checkpoint = Checkpoint::open("smollm2-135m")?;
    let tokenizer = Tokenizer::open(&checkpoint)?;
    let document: Document =
        tokenizer.document(&Conversation::exchange("What is tokensieve?", "A sieve for tokens."), 0)?;
    let mut model = Model::load(&checkpoint, Kind::BFloat16, Device::Cpu)?;
    let trained = Trained::Adapter(Adapter::new(model.config(), &LoraConfig::default(), 0, model.device())?);
    let mut head = Head::default();
    let options = StepOptions {
        micro_tokens: 4096,
        checkpointing: false,
        dropout: 0,
        ranking: Ranking::Exact,
        processes: None,
    };
    for _ in 0..3 {
        let rule = &mut Surprise { cap: 4.0 };
        let report = step(&mut head, &mut model, &trained, &Reference::None, rule, &[&document], &options)?;
        println!("loss {:.3} over {} tokens", report.loss, report.tokens);
        let _ =
            trained.parameters().values().shallow_clone().g_sub_(&(trained.parameters().gradients() * 1e-2));
        trained.refresh(&mut model)?;
    }
    Ok(())
}
