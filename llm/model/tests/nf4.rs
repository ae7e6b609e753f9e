//! A model whose matrices are held in four bits computes what a whole model with those rounded matrices computes: logits,
//! with and without an adapter, and an adapter's gradient. Needs libtorch (`./just setup libtorch`).

#[path = "../../tests/fixture/mod.rs"]
mod fixture;

use std::fs;

use fixture::{Fixture, NAMES, assert_close};
use tch::{Device, Kind, Tensor};
use tokensieve_kernels::Nf4Weight;
use tokensieve_model::head::{Head, Request, Rows};
use tokensieve_model::text::Tokenizer;
use tokensieve_model::weights::{self, Checkpoint};
use tokensieve_model::{Adapter, Document, Keep, LoraConfig, Model, Pack, Precision, Precomputed};

const CPU: Device = Device::Cpu;

/// The fixture's model with its layers' matrices rounded to four bits and written out.
fn rounded(fixture: &Fixture) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let from = fixture.model_folder.path();
    fs::copy(from.join("config.json"), folder.path().join("config.json")).unwrap();
    let tensors = Tensor::read_safetensors(from.join("model.safetensors")).unwrap();
    let tensors: Vec<_> = tensors
        .into_iter()
        .map(|(name, tensor)| {
            let tensor = tensor.to_kind(Kind::Float);
            if name.contains(".layers.") && tensor.dim() == 2 {
                Nf4Weight::of(&tensor.copy()).write(&tensor);
            }
            (name, tensor)
        })
        .collect();
    Tensor::write_safetensors(&tensors, folder.path().join("model.safetensors")).unwrap();
    folder
}

/// Logits, and the adapter's gradient of a sum over them.
fn computed(model: &mut Model, adapter: &Adapter, pack: &Pack) -> [Tensor; 3] {
    let logits = |model: &Model| model.unembedding().logits(&model.forward(pack));
    let alone = logits(model);
    model.attach(Some(adapter)).unwrap();
    let (hidden, trace) = model.forward_traced(pack, Keep::LayerInputs, None);
    let ramp = Tensor::linspace(-1.0, 1.0, hidden.numel() as i64, (Kind::Float, CPU));
    let _ = adapter.parameters.gradients().shallow_clone().zero_();
    model.backward(trace, &ramp.reshape_as(&hidden), &adapter.parameters, None);
    [alone, logits(model), adapter.parameters.gradients().copy()]
}

#[test]
fn four_bits_compute_what_the_rounded_matrices_do() {
    for name in NAMES {
        let fixture = Fixture::new(name);
        let folder = rounded(&fixture);
        let whole = Checkpoint::open(folder.path().to_str().unwrap()).unwrap();
        let mut whole = Model::load(&whole, Kind::Float, CPU).unwrap();
        let precision = Precision { kind: Kind::Float, nf4: true };
        let mut held = Model::load(&fixture.checkpoint(), precision, CPU).unwrap();
        assert_eq!(held.precision(), precision);
        let documents: Vec<&Document> = fixture.documents.iter().collect();
        let pack = Pack::new(&documents, false, CPU);
        let adapter = fixture.adapter(&whole);
        let found = computed(&mut held, &adapter, &pack);
        for (found, wanted) in found.iter().zip(&computed(&mut whole, &adapter, &pack)) {
            assert_close(name, found, wanted, 1e-6);
        }
        // An adapter of another size, and back: the room for it stays wider.
        let wider = LoraConfig { r: 24, ..LoraConfig::default() };
        let wider = Adapter::new(whole.config(), &wider, 7, CPU).unwrap();
        for adapter in [&wider, &adapter] {
            let again = computed(&mut held, adapter, &pack);
            for (found, wanted) in again.iter().zip(&computed(&mut whole, adapter, &pack)).skip(1) {
                assert_close(name, found, wanted, 1e-6);
            }
        }
        held.attach(None).unwrap();
        assert_close(name, &held.unembedding().logits(&held.forward(&pack)), &found[0], 1e-6);
    }
}

#[test]
fn matrices_in_four_bits_are_not_trained() {
    let precision = Precision { kind: Kind::BFloat16, nf4: true };
    let model = Model::load(&Fixture::new("llama3").checkpoint(), precision, CPU).unwrap();
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| model.parameters())).is_err());
}

/// Needs the default model.
#[test]
fn smollm2_still_predicts_in_four_bits() {
    let checkpoint = Checkpoint::open(weights::DEFAULT).unwrap();
    let tokens =
        Tokenizer::open(&checkpoint).unwrap().encode(include_str!("../../../LICENSE-APACHE")).unwrap();
    let document = Document {
        row: 0,
        index_in_row: 0,
        weights: vec![1.0; tokens.len()],
        tokens: tokens.clone(),
        precomputed: Precomputed::default(),
    };
    let [whole, held] = [false, true].map(|nf4| {
        let model = Model::load(&checkpoint, Precision { kind: Kind::Float, nf4 }, CPU).unwrap();
        let hidden = model.forward(&model.pack(&[&document]));
        let rows = Rows { hidden_rd: &hidden, labels: &tokens[1..], unembedding: model.unembedding() };
        let losses = Head::default().statistics(&rows, &Request::default());
        losses.iter().map(|stats| stats.loss).sum::<f64>() / losses.len() as f64
    });
    println!("NLL {whole:.4}, in four bits {held:.4}");
    // Its published weights have been through four bits of another kind already, which costs more than it would of whole ones.
    assert!((whole + 1e-3..whole + 0.6).contains(&held), "{whole} {held}");
}
