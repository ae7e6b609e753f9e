//! Logits and gradients equal those of transformers and PEFT: tiny models of every family with all of its settings in
//! use, document by document, packed, with a shared prefix, and with a cache; gradients of adapters and of all weights
//! against autograd. Expected numbers: `llm/tests/fixtures/models.py`. Needs libtorch (`./just setup libtorch`).

#[path = "../../tests/fixture/mod.rs"]
mod fixture;

use fixture::{Fixture, NAMES, assert_close};
use tch::{Device, Kind, Tensor};
use tokensieve_model::weights::Checkpoint;
use tokensieve_model::{Adapter, Cache, Document, Keep, LoraConfig, Model, Pack, Parameters};

const CPU: Device = Device::Cpu;

/// What every logit must agree within, relative to the largest.
const LOGITS: f64 = 1e-4;
/// What every gradient must agree within, relative to its length.
const GRADIENT: f64 = 1e-3;

fn logits(model: &Model, pack: &Pack) -> Tensor {
    model.unembedding().logits(&model.forward(pack))
}

/// The rows of a pack with a prefix, document by document with the prefix in front of each.
fn unshared(pack: &Pack, rows: &Tensor) -> Tensor {
    let prefix = rows.narrow(0, 0, pack.layout.prefix as i64);
    let parts: Vec<_> = pack
        .layout
        .ranges()
        .flat_map(|range| [prefix.shallow_clone(), rows.narrow(0, range.start as i64, range.len() as i64)])
        .collect();
    Tensor::cat(&parts, 0)
}

#[test]
fn logits_one_by_one() {
    for name in NAMES {
        let fixture = Fixture::new(name);
        let model = fixture.model(Kind::Float);
        let each: Vec<_> =
            fixture.documents.iter().map(|d| logits(&model, &Pack::new(&[d], false, CPU))).collect();
        assert_close(name, &Tensor::cat(&each, 0), &fixture.expected["logits"], LOGITS);
    }
}

#[test]
fn logits_packed_and_with_a_shared_prefix() {
    for name in NAMES {
        let fixture = Fixture::new(name);
        let model = fixture.model(Kind::Float);
        let documents: Vec<&Document> = fixture.documents.iter().collect();
        let packed = logits(&model, &Pack::new(&documents, false, CPU));
        assert_close(name, &packed, &fixture.expected["logits"], LOGITS);
        // Long documents of this one turn with other angles than short ones, so that they cannot share a prefix.
        let (sharing, expected) = if name == "phi3" {
            let long = &documents[1..3];
            (long, fixture.expected["logits"].narrow(0, 5, 17 + 23))
        } else {
            (&documents[..], fixture.expected["logits"].shallow_clone())
        };
        let pack = Pack::new(sharing, true, CPU);
        assert_eq!(pack.layout.prefix, 3);
        assert_close(name, &unshared(&pack, &logits(&model, &pack)), &expected, LOGITS);
    }
}

#[test]
fn logits_with_a_cache() {
    for name in NAMES {
        let fixture = Fixture::new(name);
        let model = fixture.model(Kind::Float);
        for (document, expected) in fixture.documents.iter().zip(fixture.of_documents("logits")) {
            // Short and long angles do not mix in one sequence's cache (nor do they in transformers).
            if name == "phi3" && document.tokens.len() > 12 {
                continue;
            }
            let run = |chunks: &[&[u32]]| {
                let mut cache = Cache::new(&model, 4);
                let hidden: Vec<_> =
                    chunks.iter().map(|chunk| model.forward_cached(&mut [(&mut cache, *chunk)])).collect();
                assert_eq!(cache.tokens(), document.tokens.len());
                model.unembedding().logits(&Tensor::cat(&hidden, 0))
            };
            let by_token: Vec<&[u32]> = document.tokens.chunks(1).collect();
            assert_close(name, &run(&by_token), &expected, LOGITS);
            let (a, b) = document.tokens.split_at(document.tokens.len() * 2 / 3);
            assert_close(name, &run(&[a, b]), &expected, LOGITS);
        }
    }
}

#[test]
fn logits_with_an_adapter_from_peft() {
    for name in NAMES {
        let fixture = Fixture::new(name);
        let mut model = fixture.model(Kind::Float);
        let adapter = fixture.adapter(&model);
        let documents: Vec<&Document> = fixture.documents.iter().collect();
        let pack = Pack::new(&documents, false, CPU);
        model.attach(Some(&adapter)).unwrap();
        assert_close(name, &logits(&model, &pack), &fixture.expected["adapted"], LOGITS);
        model.attach(None).unwrap();
        assert_close(name, &logits(&model, &pack), &fixture.expected["logits"], LOGITS);
    }
}

/// Adds the gradients of the mean cross-entropy of all targets, as the documents lie in `pack`.
fn add_gradients(model: &Model, pack: &Pack, targets: f64, keep: Keep, into: &Parameters) {
    let (hidden, trace) = model.forward_traced(pack, keep, None);
    let rows: Vec<i64> = pack.targets.iter().map(|target| i64::from(target.row)).collect();
    let labels: Vec<i64> = pack.targets.iter().map(|target| i64::from(target.label)).collect();
    // Only the head is autograd's here.
    let hidden = hidden.set_requires_grad(true);
    let weight = model.unembedding().weight.copy().set_requires_grad(true);
    let logits = hidden.index_select(0, &Tensor::from_slice(&rows)).mm(&weight.tr());
    let logits = match model.unembedding().soft_cap {
        Some(cap) => (logits / cap).tanh() * cap,
        None => logits,
    };
    let loss = logits.cross_entropy_loss(
        &Tensor::from_slice(&labels),
        None::<Tensor>,
        tch::Reduction::Sum,
        -100,
        0.0,
    ) / targets;
    loss.backward();
    if let Some(mut gradient) = into.gradient(model.unembedding().name) {
        gradient += weight.grad();
    }
    model.backward(trace, &hidden.grad(), into, None);
}

#[test]
fn gradients_of_adapters() {
    for name in NAMES {
        let fixture = Fixture::new(name);
        let mut model = fixture.model(Kind::Float);
        let adapter = fixture.adapter(&model);
        model.attach(Some(&adapter)).unwrap();
        let documents: Vec<&Document> = fixture.documents.iter().collect();
        let targets = documents.iter().map(|d| d.response_tokens()).sum::<usize>() as f64;
        for (keep, share) in
            [(Keep::Everything, false), (Keep::LayerInputs, false), (Keep::Everything, name != "phi3")]
        {
            let _ = adapter.parameters.gradients().shallow_clone().zero_();
            add_gradients(&model, &Pack::new(&documents, share, CPU), targets, keep, &adapter.parameters);
            for parameter in adapter.parameters.names() {
                let found = adapter.parameters.gradient(parameter).unwrap();
                let what = format!("{name} {parameter} {keep:?} {share}");
                let expected = &fixture.expected[&format!("lora.{parameter}")];
                assert_close(&what, &found, expected, GRADIENT);
            }
        }
    }
}

#[test]
fn gradients_of_all_weights() {
    for name in NAMES {
        let fixture = Fixture::new(name);
        let model = fixture.model(Kind::Float);
        let masters = model.parameters();
        let documents: Vec<&Document> = fixture.documents.iter().collect();
        let targets = documents.iter().map(|d| d.response_tokens()).sum::<usize>() as f64;
        // In two packs: gradients add up.
        for half in documents.chunks(2) {
            add_gradients(&model, &Pack::new(half, false, CPU), targets, Keep::Everything, &masters);
        }
        let expected: Vec<_> = fixture.expected.keys().filter_map(|key| key.strip_prefix("full.")).collect();
        let mut names: Vec<&str> = masters.names().collect();
        names.sort_unstable();
        assert_eq!(names, expected, "{name}");
        for parameter in names {
            let found = fixture::sketch(parameter, &masters.gradient(parameter).unwrap());
            let expected = &fixture.expected[&format!("full.{parameter}")];
            // The last number is the gradient's length.
            let scale = expected.double_value(&[4]);
            let worst = (&found - expected).abs().max().double_value(&[]);
            assert!(worst <= GRADIENT * scale, "{name} {parameter}: off by {worst} of {scale}");
        }
    }
}

#[test]
fn the_model_takes_over_its_masters() {
    for name in ["gemma2", "llama3", "phi3"] {
        let fixture = Fixture::new(name);
        let mut model = fixture.model(Kind::Float);
        let masters = model.parameters();
        let mut values = masters.values().shallow_clone();
        values += fixture::numbers("change", &values.size()) / 64.0;
        model.refresh(&masters);
        assert_close(name, model.parameters().values(), masters.values(), 1e-6);
        let pack = Pack::new(&[&fixture.documents[0]], false, CPU);
        let moved = logits(&model, &pack) - fixture.of_documents("logits").swap_remove(0);
        assert!(moved.abs().max().double_value(&[]) > 1e-3, "{name}");
    }
}

/// A model with an adapter whose input is dropped at a rate.
fn dropping(fixture: &Fixture, rate: f64) -> (Model, Adapter) {
    let mut model = fixture.model(Kind::Float);
    let mut adapter = fixture.adapter(&model);
    adapter.config.dropout = rate;
    model.attach(Some(&adapter)).unwrap();
    (model, adapter)
}

#[test]
fn backward_of_some_documents_is_that_of_those_alone() {
    for name in ["gemma2", "qwen3", "llama3"] {
        let fixture = Fixture::new(name);
        let (model, adapter) = dropping(&fixture, 0.2);
        let documents: Vec<&Document> = fixture.documents.iter().collect();
        let kept = [true, false, true, false];
        for (share, keep, dropout) in [
            (false, Keep::Everything, None),
            (true, Keep::Everything, None),
            (true, Keep::LayerInputs, Some(5)),
            (true, Keep::Everything, Some(5)),
        ] {
            let pack = Pack::new(&documents, share, CPU);
            let rows: Vec<f32> = std::iter::repeat_n(1.0, pack.layout.prefix)
                .chain(
                    pack.layout
                        .lengths
                        .iter()
                        .zip(kept)
                        .flat_map(|(own, kept)| std::iter::repeat_n(if kept { 1.0 } else { 0.0 }, *own)),
                )
                .collect();
            let d_hidden = fixture::numbers("d_hidden", &[pack.layout.tokens() as i64, 32])
                * Tensor::from_slice(&rows).unsqueeze(1);
            let gradient = |kept: Option<&[bool]>| {
                let _ = adapter.parameters.gradients().shallow_clone().zero_();
                let (_, trace) = model.forward_traced(&pack, keep, dropout.map(|seed| keys(&pack, seed)));
                model.backward(trace, &d_hidden, &adapter.parameters, kept);
                adapter.parameters.gradients().copy()
            };
            let all = gradient(None);
            assert_close(name, &gradient(Some(&kept)), &all, 1e-5);
            assert!(gradient(Some(&[false; 4])).abs().max().double_value(&[]) <= 0.0);
        }
    }
}

/// Some key for every row.
fn keys(pack: &Pack, seed: u64) -> Vec<u64> {
    (0..pack.layout.tokens() as u64).map(|row| (row + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect()
}

/// With output rows, the last layer computes no other rows, and hidden states and gradients do not change.
#[test]
fn rows_that_nobody_asks_for_change_nothing() {
    for name in NAMES {
        let fixture = Fixture::new(name);
        let (model, adapter) = dropping(&fixture, 0.2);
        let documents: Vec<&Document> = fixture.documents.iter().collect();
        let kept = [true, false, true, false];
        for (keep, dropout, kept) in [
            (Keep::Everything, None, None),
            (Keep::Everything, Some(5), None),
            (Keep::Everything, Some(5), Some(kept.as_slice())),
            (Keep::LayerInputs, Some(5), Some(kept.as_slice())),
        ] {
            let pack = || Pack::new(&documents, true, CPU);
            let asked = pack().targets_only().output_rows.unwrap();
            assert!(asked.len() < pack().layout.tokens());
            let rows = Tensor::from_slice(&asked);
            let d_asked = fixture::numbers("d_hidden", &[asked.len() as i64, 32]);
            let d_all = Tensor::zeros([pack().layout.tokens() as i64, 32], (Kind::Float, CPU));
            let d_all = d_all.index_copy(0, &rows, &d_asked);
            let both = |pack: Pack, d_hidden: &Tensor| {
                let _ = adapter.parameters.gradients().shallow_clone().zero_();
                let (hidden, trace) =
                    model.forward_traced(&pack, keep, dropout.map(|seed| keys(&pack, seed)));
                model.backward(trace, d_hidden, &adapter.parameters, kept);
                (hidden, adapter.parameters.gradients().copy())
            };
            let (all, expected) = both(pack(), &d_all);
            let (found, gradient) = both(pack().targets_only(), &d_asked);
            assert_close(name, &found, &all.index_select(0, &rows), 1e-5);
            assert_close(name, &gradient, &expected, 1e-5);
        }
        let packs = [&documents[..2], &documents[2..]].map(|half| Pack::new(half, true, CPU));
        let rows: Vec<Tensor> = packs
            .iter()
            .map(|pack| pack.targets.iter().map(|t| i64::from(t.row)).collect::<Vec<_>>())
            .map(|rows| Tensor::from_slice(&rows))
            .collect();
        let apart: Vec<Tensor> =
            packs.iter().zip(&rows).map(|(pack, rows)| model.forward(pack).index_select(0, rows)).collect();
        let together = model.forward_together(&packs.map(Pack::targets_only));
        assert_close(name, &together, &Tensor::cat(&apart, 0), 1e-5);
        let nothing = Pack { output_rows: Some(Vec::new()), ..Pack::new(&documents, true, CPU) };
        assert_eq!(model.forward(&nothing).size(), [0, 32]);
    }
}

#[test]
fn dropout_drops_the_adapters_input_in_both_directions() {
    let fixture = Fixture::new("llama3");
    let (mut model, adapter) = dropping(&fixture, 0.3);
    let documents: Vec<&Document> = fixture.documents.iter().collect();
    let pack = Pack::new(&documents, true, CPU);
    let d_hidden = fixture::numbers("d_hidden", &[pack.layout.tokens() as i64, 32]);
    let value = |model: &Model| {
        let (hidden, trace) = model.forward_traced(&pack, Keep::Everything, Some(keys(&pack, 11)));
        ((hidden.to_kind(Kind::Double) * &d_hidden).sum(Kind::Double).double_value(&[]), trace)
    };
    let (_, trace) = value(&model);
    model.backward(trace, &d_hidden, &adapter.parameters, None);
    let gradient = adapter.parameters.gradients().copy();
    // Along a random direction, the slope of the same dropped function.
    let direction = fixture::numbers("direction", &gradient.size());
    let step = 1e-3;
    let mut ends = [0.0; 2];
    for (end, sign) in ends.iter_mut().zip([1.0, -1.0]) {
        let mut values = adapter.parameters.values().shallow_clone();
        values += &direction * (sign * step);
        model.attach(Some(&adapter)).unwrap();
        *end = value(&model).0;
        values -= &direction * (sign * step);
    }
    let slope = (ends[0] - ends[1]) / (2.0 * step);
    let expected = (&gradient * &direction).sum(Kind::Double).double_value(&[]);
    assert!((slope - expected).abs() < 1e-2 * expected.abs(), "slope {slope}, gradient {expected}");
}

#[test]
fn bf16_stays_near_f32() {
    for name in NAMES {
        let fixture = Fixture::new(name);
        let (mut model, mut rounded) = (fixture.model(Kind::Float), fixture.model(Kind::BFloat16));
        let documents: Vec<&Document> = fixture.documents.iter().collect();
        let pack = Pack::new(&documents, true, CPU);
        let d_hidden = fixture::numbers("d_hidden", &[pack.layout.tokens() as i64, 32]);
        let gradient = |model: &mut Model| {
            let adapter = fixture.adapter(model);
            model.attach(Some(&adapter)).unwrap();
            let (_, trace) = model.forward_traced(&pack, Keep::Everything, None);
            model.backward(trace, &d_hidden, &adapter.parameters, None);
            adapter.parameters.gradients().copy()
        };
        let (exact, near) = (gradient(&mut model), gradient(&mut rounded));
        // Lengths, not single numbers: 8 bits at every one of some thirty steps.
        let off = (&near - &exact).norm().double_value(&[]) / exact.norm().double_value(&[]);
        assert!(off < 0.1, "{name}: gradient off by {off} of its length");
    }
}

#[test]
fn a_grown_adapter_computes_the_same() {
    let fixture = Fixture::new("llama-linear");
    let mut model = fixture.model(Kind::Float);
    let adapter = fixture.adapter(&model);
    let grown = adapter.grow(model.config(), 9, 1).unwrap();
    let documents: Vec<&Document> = fixture.documents.iter().collect();
    model.attach(Some(&grown)).unwrap();
    let found = logits(&model, &Pack::new(&documents, false, CPU));
    assert_close("grown", &found, &fixture.expected["adapted"], LOGITS);
    assert!(grown.parameters.values().size() > adapter.parameters.values().size());
}

#[test]
fn a_fresh_adapter_changes_nothing_and_survives_a_file() {
    let fixture = Fixture::new("qwen2");
    let mut model = fixture.model(Kind::Float);
    let lora = LoraConfig { r: 3, alpha: 4.5, ..LoraConfig::default() };
    let fresh = Adapter::new(model.config(), &lora, 5, CPU).unwrap();
    let documents: Vec<&Document> = fixture.documents.iter().collect();
    model.attach(Some(&fresh)).unwrap();
    let found = logits(&model, &Pack::new(&documents, false, CPU));
    assert_close("fresh", &found, &fixture.expected["logits"], LOGITS);
    let folder = tempfile::tempdir().unwrap();
    fresh.save(folder.path(), "base").unwrap();
    let again = Adapter::load(model.config(), folder.path(), CPU).unwrap();
    assert_eq!(again.config, fresh.config);
    assert!(again.parameters.values() == fresh.parameters.values());
    // The same seed draws the same numbers.
    let same = Adapter::new(model.config(), &lora, 5, CPU).unwrap();
    assert!(same.parameters.values() == fresh.parameters.values());
}

#[derive(serde::Deserialize)]
struct SmolLm2 {
    prompt: Vec<u32>,
    stride: i64,
    logits: Vec<f32>,
    greedy: Vec<u32>,
}

/// Greedy decoding with a cache, and what the logits after the prompt were.
fn decode(model: &Model, prompt: &[u32], tokens: usize) -> (Vec<u32>, Tensor) {
    let mut cache = Cache::new(model, prompt.len() + tokens);
    let last = |hidden: &Tensor| model.unembedding().logits(&hidden.narrow(0, -1, 1)).squeeze();
    let first = last(&model.forward_cached(&mut [(&mut cache, prompt)]));
    let mut logits = first.shallow_clone();
    let mut found = Vec::new();
    for _ in 0..tokens {
        let next = logits.argmax(-1, false).int64_value(&[]) as u32;
        found.push(next);
        logits = last(&model.forward_cached(&mut [(&mut cache, &[next][..])]));
    }
    (found, first)
}

#[test]
fn the_default_models_logits_and_greedy_text() {
    let expected: SmolLm2 = serde_json::from_str(include_str!("../../tests/fixtures/smollm2.json")).unwrap();
    // Other tests run beside this one: two threads that wait for each other at every small product take ten times as long.
    tch::set_num_threads(1);
    let checkpoint = Checkpoint::open("smollm2-135m").unwrap();
    let model = Model::load(&checkpoint, Kind::Float, CPU).unwrap();
    let (greedy, logits) = decode(&model, &expected.prompt, expected.greedy.len());
    let some = logits.slice(0, 0, None, expected.stride);
    assert_close("smollm2", &some, &Tensor::from_slice(&expected.logits), LOGITS);
    assert_eq!(greedy, expected.greedy);
}
