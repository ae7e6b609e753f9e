//! SmolLM2 on every back end that this machine has, in f32 and in bf16, each in a process of its own with the back end
//! pinned: the same text has the same NLL within 0.003 nats per token as in f32 with libtorch's operators, and the same
//! most probable token wherever the two most probable logits differ by more than 0.25, but for one in 800. Needs the default
//! model.

use std::process::Command;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, no_grad};
use tokensieve_kernels::{Backend, backend};
use tokensieve_model::head::{Head, Request, Rows};
use tokensieve_model::text::Tokenizer;
use tokensieve_model::weights::{self, Checkpoint};
use tokensieve_model::{Document, Model, Pack, Precomputed};

/// Selects what [`one_back_end`] computes in; without it that test does nothing.
const KIND: &str = "TOKENSIEVE_TEST_KIND";

/// Two thousand tokens of a licence. In bf16 a token's loss is some 0.05 nats off, on either side, so that the mean over a
/// hundred says little.
const TEXT: &str = include_str!("../../../LICENSE-APACHE");

/// How far the most probable logit is above the next one where a token is sure.
const SURE: f64 = 0.25;

/// What a process found.
#[derive(Serialize, Deserialize)]
struct Found {
    backend: String,
    /// Nats per token.
    nll: f64,
    /// The most probable token of each position, and how far its logit is above the next one's.
    greedy: Vec<i64>,
    margins: Vec<f64>,
}

fn computed(kind: Kind) -> Found {
    let checkpoint = Checkpoint::open(weights::DEFAULT).unwrap();
    let tokens = Tokenizer::open(&checkpoint).unwrap().encode(TEXT).unwrap();
    let model = Model::load(&checkpoint, kind, Device::Cpu).unwrap();
    let (weights, targets) = (vec![1.0; tokens.len()], tokens.len() - 1);
    let document = Document {
        row: 0,
        index_in_row: 0,
        weights,
        tokens: tokens.clone(),
        precomputed: Precomputed::default(),
    };
    let hidden = model.forward(&Pack::new(&[&document], false, Device::Cpu)).narrow(0, 0, targets as i64);
    let unembedding = model.unembedding();
    let rows = Rows { hidden_rd: &hidden, labels: &tokens[1..], unembedding };
    let losses: f64 =
        Head::default().statistics(&rows, &Request::default()).iter().map(|stats| stats.loss).sum();
    let (top, ids) = unembedding.logits(&hidden).topk(2, 1, true, true);
    let column = |x: &Tensor, i| x.select(1, i).to_kind(Kind::Double);
    Found {
        backend: Backend::of_cpu().unwrap().to_string(),
        nll: losses / targets as f64,
        greedy: Vec::try_from(ids.select(1, 0)).unwrap(),
        margins: Vec::try_from(column(&top, 0) - column(&top, 1)).unwrap(),
    }
}

/// The process that [`back_ends_agree_on_smollm2`] starts.
#[test]
fn one_back_end() {
    let kind = match std::env::var(KIND).as_deref() {
        Ok("f32") => Kind::Float,
        Ok("bf16") => Kind::BFloat16,
        _ => return,
    };
    println!("found {}", serde_json::to_string(&no_grad(|| computed(kind))).unwrap());
}

fn found(of: Backend, kind: &str) -> Found {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["one_back_end", "--exact", "--nocapture"])
        .env(backend::VARIABLE, of.name())
        .env(KIND, kind)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.split_once("found ")).unwrap_or_else(|| {
        panic!("{of} in {kind}: {text}{}", String::from_utf8_lossy(&output.stderr));
    });
    let found: Found = serde_json::from_str(line.1).unwrap();
    assert_eq!(found.backend, of.name());
    found
}

#[test]
fn back_ends_agree_on_smollm2() {
    let exact = found(Backend::Plain, "f32");
    for of in Backend::CPU {
        if !of.is_supported() {
            assert!(!backend::runs_test_of(of));
            continue;
        }
        // What the others are compared with is not computed again.
        let kinds: &[_] = if of == Backend::Plain { &["bf16"] } else { &["f32", "bf16"] };
        for kind in kinds {
            let found = found(of, kind);
            println!("{of} {kind}: NLL {:.4}, {:.4} in f32", found.nll, exact.nll);
            assert!((found.nll - exact.nll).abs() < 0.003, "{of} {kind}: {} {}", found.nll, exact.nll);
            let sure = exact.margins.iter().enumerate().filter(|(_, margin)| **margin > SURE);
            let others = sure.filter(|(at, _)| found.greedy[*at] != exact.greedy[*at]);
            let others: Vec<f64> = others.map(|(_, margin)| *margin).collect();
            // Of 1,671 such tokens one is another in bf16 on every back end, with libtorch's operators too, by 0.30; in AVX2 two. A wrong
            // kernel changes hundreds.
            assert!(others.len() < 6 && others.iter().all(|margin| *margin < 0.5), "{of} {kind}: {others:?}");
        }
    }
}
