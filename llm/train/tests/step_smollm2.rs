//! The step on the real default model: the first rows of GSM8K cost what they should, and the loss from bf16 logits is the
//! loss. Needs libtorch and the model (`./just setup libtorch`); run:
//! `cargo test -p tokensieve-train --test step_smollm2 -- --nocapture`.

#[path = "../../../tasks/tests/data/mod.rs"]
mod others;

use std::collections::BTreeMap;

use others::at_hand;
use tch::{Device, Kind, Tensor, no_grad};
use tokensieve_data::Catalogue;
use tokensieve_documents::{DataSet, DataSource};
use tokensieve_kernels::Backend;
use tokensieve_kernels::backend::runs_test_of;
use tokensieve_model::head::{Head, Reference, Request, Rows, Unembedding};
use tokensieve_model::text::Tokenizer;
use tokensieve_model::weights::Checkpoint;
use tokensieve_model::{Adapter, Document, LoraConfig, Model, Pack};
use tokensieve_objective::{Objective, Plan};
use tokensieve_train::Trained;
use tokensieve_train::step::{Ranking, StepOptions, StepReport, evaluate, step};

/// The default model and the first rows of GSM8K, if they are here.
fn first_rows(limit: usize) -> Option<(Checkpoint, Tokenizer, DataSet)> {
    at_hand(Catalogue::load().unwrap().fetch("gsm8k"))?;
    let checkpoint = Checkpoint::open("smollm2-135m").unwrap();
    let tokenizer = Tokenizer::open(&checkpoint).unwrap();
    let mut source = DataSource::new("gsm8k");
    source.limit = Some(limit);
    let set = tokensieve_documents::load(&source, &tokenizer).unwrap();
    Some((checkpoint, tokenizer, set))
}

#[test]
fn the_first_rows_of_gsm8k_cost_what_they_should() {
    let Some((checkpoint, tokenizer, set)) = first_rows(8) else { return };
    let model = Model::load(&checkpoint, Kind::BFloat16, Device::Cpu).unwrap();
    let documents: Vec<&Document> = set.documents.iter().collect();
    let mut head = Head::default();
    let evaluation = evaluate(&mut head, &model, &documents, 4096, None, None).unwrap();
    println!("{evaluation:?}");
    // transformers, in f32 on the same eight rows: 1.497.
    assert!((evaluation.nll - 1.497).abs() < 0.03, "{evaluation:?}");
    for document in &documents[..1] {
        let learned = document.tokens.iter().zip(&document.weights).filter(|(_, weight)| **weight != 0.0);
        let learned: Vec<u32> = learned.map(|(token, _)| *token).collect();
        let text = tokenizer.decode(&learned).unwrap();
        println!("{text:?}");
    }

    // The same hidden states, with logits in bf16 and in f32.
    let pack = Pack::new(&documents, true, Device::Cpu).targets_only();
    let labels: Vec<u32> = pack.targets.iter().map(|target| target.label).collect();
    let hidden = no_grad(|| model.forward(&pack));
    let bf16 = head.statistics(
        &Rows { hidden_rd: &hidden, labels: &labels, unembedding: model.unembedding() },
        &Request::default(),
    );
    let (hidden, weight) = (hidden.to_kind(Kind::Float), model.unembedding().weight.to_kind(Kind::Float));
    let unembedding = Unembedding { weight: &weight, ..model.unembedding() };
    let f32 =
        head.statistics(&Rows { hidden_rd: &hidden, labels: &labels, unembedding }, &Request::default());
    let errors: Vec<f64> = bf16.iter().zip(&f32).map(|(a, b)| a.loss - b.loss).collect();
    let n = errors.len() as f64;
    let mean = errors.iter().sum::<f64>() / n;
    let size = errors.iter().map(|error| error.abs()).sum::<f64>() / n;
    let largest = errors.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
    println!(
        "loss in bf16 minus in f32 over {n} tokens: mean {mean:.2e}, mean size {size:.2e}, largest {largest:.2e}"
    );
    // As everybody writes it: the label's logit rounded with the others.
    let logits = no_grad(|| model.unembedding().weight.shallow_clone());
    let naive = no_grad(|| {
        let z = hidden.to_kind(Kind::BFloat16).mm(&logits.tr()).to_kind(Kind::Float);
        let index = Tensor::from_slice(&labels.iter().map(|label| i64::from(*label)).collect::<Vec<_>>());
        Vec::<f64>::try_from(
            z.log_softmax(1, Kind::Float)
                .gather(1, &index.unsqueeze(1), false)
                .neg()
                .squeeze_dim(1)
                .to_kind(Kind::Double),
        )
        .unwrap()
    });
    let naive: Vec<f64> = naive.iter().zip(&f32).map(|(a, b)| a - b.loss).collect();
    println!(
        "label's logit rounded too: mean {:.2e}, mean size {:.2e}",
        naive.iter().sum::<f64>() / n,
        naive.iter().map(|error| error.abs()).sum::<f64>() / n
    );
    assert!(mean.abs() < 1e-3, "{mean}");
}

#[test]
fn bytes_put_documents_in_nearly_the_same_order() {
    // Every processor with AVX-512's bf16 instructions has int8 products, too.
    if !runs_test_of(Backend::Avx512Bf16) {
        return;
    }
    let Some((checkpoint, _, set)) = first_rows(32) else { return };
    let mut model = Model::load(&checkpoint, Kind::BFloat16, Device::Cpu).unwrap();
    let lora = LoraConfig { r: 32, ..LoraConfig::default() };
    let adapter = Adapter::new(model.config(), &lora, 1, Device::Cpu).unwrap();
    model.attach(Some(&adapter)).unwrap();
    let trained = Trained::Adapter(adapter);
    let documents: Vec<&Document> = set.documents.iter().collect();
    let toml = "preset = 'masked-mle'\nselect.of = 'documents'";
    let mut objective = Objective::from_toml(toml).unwrap().begin(Plan { steps: 1, seed: 1 });
    let mut ranked = |ranking| {
        let options =
            StepOptions { micro_tokens: 2048, checkpointing: false, dropout: 0, ranking, processes: None };
        let head = &mut Head::default();
        step(head, &mut model, &trained, &Reference::None, &mut objective, &documents, &options)
    };
    let exact = ranked(Ranking::Exact).unwrap();
    let rough = ranked(Ranking::Int8).unwrap();
    println!("exact: {:?}\nbytes: {:?}", exact.phases, rough.phases);
    // Of each document its mean loss, and whether it was chosen.
    let documents = |report: &StepReport| {
        let mut of: BTreeMap<u32, (Vec<f64>, bool)> = BTreeMap::new();
        for record in &report.records {
            let (losses, chosen) = of.entry(record.document).or_default();
            losses.push(record.loss);
            *chosen = record.selected;
        }
        let mean = |losses: Vec<f64>| losses.iter().sum::<f64>() / losses.len() as f64;
        of.into_values().map(|(losses, chosen)| (mean(losses), chosen)).collect::<Vec<_>>()
    };
    let (exact, rough) = (documents(&exact), documents(&rough));
    let both = exact.iter().zip(&rough).filter(|(exact, rough)| exact.1 && rough.1).count();
    // Chosen documents' losses are exact; the others' are those that ranked them.
    let off = |(exact, rough): (&(f64, bool), &(f64, bool))| (!rough.1).then_some(rough.0 - exact.0);
    let off: Vec<f64> = exact.iter().zip(&rough).filter_map(off).collect();
    let size = (off.iter().map(|off| off * off).sum::<f64>() / off.len() as f64).sqrt();
    let mut losses: Vec<f64> = exact.iter().map(|(loss, _)| *loss).collect();
    losses.sort_by(|a, b| b.total_cmp(a));
    println!(
        "{both} of the exact ranking's 8 documents chosen; the others' mean losses are {size:.4} off, {off:.3?}; \
         around the eighth stand {:.3?}",
        &losses[5..11]
    );
    assert!(both >= 7, "{both}");
    // Exact mean losses lie 0.36 apart.
    assert!(size < 0.06, "{size}");
}
