//! The step on the real default model: the first rows of GSM8K cost what they should, and the loss from bf16 logits is the
//! loss. Needs libtorch and the model (`./just setup libtorch`); run:
//! `cargo test -p tokensieve-llm --test step_smollm2 -- --nocapture`.

use tch::{Device, Kind, Tensor, no_grad};
use tokensieve_llm::data::{self, DataSource};
use tokensieve_llm::head::{Head, Rows, Unembedding};
use tokensieve_llm::model::Model;
use tokensieve_llm::step::evaluate;
use tokensieve_llm::text::Tokenizer;
use tokensieve_llm::weights::Checkpoint;
use tokensieve_llm::{Document, Pack};

#[test]
fn the_first_rows_of_gsm8k_cost_what_they_should() {
    let checkpoint = Checkpoint::open("smollm2-135m").unwrap();
    let tokenizer = Tokenizer::open(&checkpoint).unwrap();
    let mut source = DataSource::new("gsm8k");
    source.limit = Some(8);
    let set = match data::load(&source, &tokenizer) {
        Ok(set) if set.substitution.is_none() => set,
        _ => return eprintln!("skipped: GSM8K is not here"),
    };
    let model = Model::load(&checkpoint, Kind::BFloat16, Device::Cpu).unwrap();
    let documents: Vec<&Document> = set.documents.iter().collect();
    let mut head = Head::default();
    let evaluation = evaluate(&mut head, &model, &documents, 4096, None);
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
    let pack = Pack::new(&documents, true, Device::Cpu);
    let rows: Vec<i64> = pack.targets.iter().map(|target| i64::from(target.row)).collect();
    let labels: Vec<u32> = pack.targets.iter().map(|target| target.label).collect();
    let hidden = no_grad(|| model.forward(&pack).index_select(0, &Tensor::from_slice(&rows)));
    let bf16 = head
        .statistics(&Rows { hidden_rd: &hidden, labels: &labels, unembedding: model.unembedding() }, false);
    let (hidden, weight) = (hidden.to_kind(Kind::Float), model.unembedding().weight.to_kind(Kind::Float));
    let unembedding = Unembedding { weight: &weight, ..model.unembedding() };
    let f32 = head.statistics(&Rows { hidden_rd: &hidden, labels: &labels, unembedding }, false);
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
