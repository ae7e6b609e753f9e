//! Adapters in PEFT's format: those that PEFT wrote are read, unsuitable ones are rejected with the reason, and merged
//! weights compute what base and adapter compute. Needs libtorch (`./just setup libtorch`).
//!
//! The other direction, our files in PEFT and transformers, needs Python: `TOKENSIEVE_KEEP=folder cargo test --test peft`, then
//! `llm/tests/fixtures/peft_check.py folder`.

#[path = "../../tests/fixture/mod.rs"]
mod fixture;

use std::fs;
use std::path::{Path, PathBuf};

use fixture::{Fixture, NAMES, assert_close};
use tch::{Device, Kind, Tensor};
use tokensieve_model::weights::Checkpoint;
use tokensieve_model::{Adapter, Document, LoraConfig, Model, Pack, Pattern, TargetModules, merge};

const CPU: Device = Device::Cpu;

fn logits(model: &Model, fixture: &Fixture) -> Tensor {
    let documents: Vec<&Document> = fixture.documents.iter().collect();
    model.unembedding().logits(&model.forward(&Pack::new(&documents, false, CPU)))
}

#[test]
fn an_adapter_that_peft_wrote() {
    let fixture = Fixture::new("llama-linear");
    let mut model = fixture.model(Kind::Float);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/models/llama-linear");
    let adapter = Adapter::load(model.config(), &folder, CPU).unwrap();
    model.attach(Some(&adapter)).unwrap();
    assert_close("peft's", &logits(&model, &fixture), &fixture.expected["adapted"], 1e-4);
}

#[test]
fn merged_weights_compute_the_same() {
    for name in NAMES {
        let fixture = Fixture::new(name);
        let mut model = fixture.model(Kind::Float);
        let adapter = fixture.adapter(&model);
        let folder = tempfile::tempdir().unwrap();
        merge(&fixture.checkpoint(), &adapter, folder.path(), Kind::Float).unwrap();
        let merged = Checkpoint::open(folder.path().to_str().unwrap()).unwrap();
        let merged = Model::load(&merged, Kind::Float, CPU).unwrap();
        assert_close(name, &logits(&merged, &fixture), &fixture.expected["adapted"], 1e-4);

        if let Some(kept) = std::env::var_os("TOKENSIEVE_KEEP") {
            let kept = PathBuf::from(kept).join(name);
            copy_folder(fixture.model_folder.path(), &kept.join("model"));
            copy_folder(folder.path(), &kept.join("merged"));
            adapter.save(&kept.join("adapter"), "base").unwrap();
            model.attach(Some(&adapter)).unwrap();
            let ours = logits(&model, &fixture);
            Tensor::write_safetensors(&[("logits", ours)], kept.join("logits.safetensors")).unwrap();
        }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// Loads the adapter after a change of its files, which must be refused.
fn refusal(change: impl FnOnce(&Path)) -> String {
    let fixture = Fixture::new("llama-linear");
    let folder = fixture.adapter_folder();
    change(folder.path());
    let config = fixture.checkpoint().config().clone();
    Adapter::load(&config, folder.path(), CPU).unwrap_err().to_string()
}

/// Replaces text in `adapter_config.json`.
fn edit(from: &str, to: &str) -> impl FnOnce(&Path) {
    move |folder| {
        let path = folder.join("adapter_config.json");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from));
        fs::write(path, text.replace(from, to)).unwrap();
    }
}

/// Says that the adapter began otherwise.
fn begins(begun: &'static str) -> impl FnOnce(&Path) {
    move |folder| {
        let key = "\"init_lora_weights\": ";
        edit(&format!("{key}true"), &format!("{key}{begun}"))(folder);
    }
}

/// Changes the matrices.
fn tensors(change: impl FnOnce(&mut Vec<(String, Tensor)>)) -> impl FnOnce(&Path) {
    move |folder| {
        let path = folder.join("adapter_model.safetensors");
        let mut all = Tensor::read_safetensors(&path).unwrap();
        change(&mut all);
        Tensor::write_safetensors(&all, path).unwrap();
    }
}

#[test]
fn what_does_not_fit_is_refused_with_the_reason() {
    let refused = |change: Box<dyn FnOnce(&Path)>, reason: &str| {
        let error = refusal(change);
        assert!(error.contains(reason), "{error}");
    };
    refused(Box::new(edit("\"LORA\"", "\"IA3\"")), "peft_type is \"IA3\"; only \"LORA\"");
    refused(Box::new(edit("\"use_dora\": false", "\"use_dora\": true")), "use_dora = true is not supported");
    for begun in ["\"pissa\"", "\"pissa_niter_4\"", "\"olora\"", "\"corda\"", "\"loftq\"", "\"lora_ga\"", "4"]
    {
        refused(Box::new(begins(begun)), &format!("init_lora_weights = {begun} is not supported"));
    }
    refused(
        Box::new(edit("\"modules_to_save\": null", "\"modules_to_save\": [\"lm_head\"]")),
        "modules_to_save",
    );
    refused(
        Box::new(edit("\"q_proj\"", "\"query\"")),
        "self_attn.q_proj.lora_A.weight belongs to none of the modules that adapter_config.json selects",
    );
    refused(Box::new(edit("\"r\": 3", "\"r\": \"four\"")), "invalid type");
    refused(Box::new(edit("\"r\": 3", "\"r\": 3,,")), "adapter_config.json:");
    refused(
        Box::new(edit("\"r\": 3", "\"r\": 5")),
        "has the shape [3, 48]; the model and adapter_config.json require [5, 48]",
    );
    refused(
        Box::new(tensors(|all| drop(all.pop()))),
        "1 tensors required by adapter_config.json are missing",
    );
    refused(
        Box::new(tensors(|all| {
            all.push(("lm_head.lora_A.weight".to_owned(), Tensor::zeros([4, 32], (Kind::Float, CPU))));
        })),
        "lm_head.lora_A.weight belongs to none of the modules",
    );
    refused(Box::new(|folder| fs::remove_file(folder.join("adapter_config.json")).unwrap()), "No such file");
    refused(
        Box::new(|folder| fs::remove_file(folder.join("adapter_model.safetensors")).unwrap()),
        "No such file",
    );
    refused(
        Box::new(|folder| fs::write(folder.join("adapter_model.safetensors"), [7; 40]).unwrap()),
        "adapter_model.safetensors",
    );
}

#[test]
fn how_an_adapter_began_does_not_matter_where_the_model_stays_as_it_is() {
    let fixture = Fixture::new("llama-linear");
    let config = fixture.checkpoint().config().clone();
    for begun in ["false", "null", "\"gaussian\"", "\"orthogonal\"", "\"eva\""] {
        let folder = fixture.adapter_folder();
        begins(begun)(folder.path());
        assert!(Adapter::load(&config, folder.path(), CPU).is_ok(), "{begun}");
    }
}

#[test]
fn of_the_modules_that_a_file_names_one_has_to_be_there() {
    let fixture = Fixture::new("llama-linear");
    let config = fixture.checkpoint().config().clone();
    let folder = fixture.adapter_folder();
    edit("\"q_proj\"", "\"q_proj\", \"c_attn\"")(folder.path());
    let adapter = Adapter::load(&config, folder.path(), CPU).unwrap();
    assert_eq!(adapted(&fixture, &adapter), adapted(&fixture, &fixture.adapter(&fixture.model(Kind::Float))));

    let names = |names: &[&str]| TargetModules::Names(names.iter().map(|name| (*name).to_owned()).collect());
    let error = |target_modules: TargetModules| {
        let lora = LoraConfig { target_modules, ..LoraConfig::default() };
        Adapter::new(&config, &lora, 0, CPU).unwrap_err().to_string()
    };
    // A new one is the user's, who may have mistyped.
    assert!(
        error(names(&["q_proj", "c_attn"]))
            .contains("there is no module `c_attn`; the modules are down_proj")
    );
    for name in ["c_attn", "down_proj", "q_proj", "up_proj", "v_proj"] {
        edit(&format!("\"{name}\""), "\"query\"")(folder.path());
    }
    let none = Adapter::load(&config, folder.path(), CPU).unwrap_err().to_string();
    assert!(none.contains("there is no module `query`; the modules are down_proj, gate_proj"), "{none}");
}

/// An adapter's logits, where B is not zero.
fn adapted(fixture: &Fixture, adapter: &Adapter) -> Tensor {
    let mut model = fixture.model(Kind::Float);
    model.attach(Some(adapter)).unwrap();
    logits(&model, fixture)
}

#[test]
fn an_adapter_that_grew_twice_is_saved_as_it_is() {
    let fixture = Fixture::new("llama-linear");
    let config = fixture.checkpoint().config().clone();
    let alphas = Pattern([("o_proj".to_owned(), 5.0), ("down_proj".to_owned(), 1.0)].into());
    let patterns = LoraConfig { r: 2, alpha_pattern: alphas, ..LoraConfig::default() };
    // The ratios of their roots are rounded.
    let rooted = LoraConfig { r: 24, use_rslora: true, ..LoraConfig::default() };
    for (lora, ranks) in [(patterns, [4, 8]), (rooted, [32, 48])] {
        let mut adapter = Adapter::new(&config, &lora, 0, CPU).unwrap();
        let names: Vec<String> = adapter.parameters.names().map(str::to_owned).collect();
        for name in &names {
            let mut value = adapter.parameters.value(name).unwrap();
            value.copy_(&(fixture::numbers(name, &value.size()) / 8.0));
        }
        let before = adapted(&fixture, &adapter);
        for rank in ranks {
            adapter = adapter.grow(&config, rank, 1).unwrap();
        }
        assert_close("grown", &adapted(&fixture, &adapter), &before, 1e-4);
        let folder = tempfile::tempdir().unwrap();
        adapter.save(folder.path(), "base").unwrap();
        let loaded = Adapter::load(&config, folder.path(), CPU).unwrap();
        assert_eq!(loaded.config, adapter.config);
        assert_eq!(adapted(&fixture, &loaded), adapted(&fixture, &adapter));
    }
}

#[test]
fn an_adapter_of_another_model_is_not_attached() {
    let (one, other) = (Fixture::new("qwen2"), Fixture::new("qwen3"));
    let (mut one, other) = (one.model(Kind::Float), other.model(Kind::Float));
    let adapter = Adapter::new(other.config(), &LoraConfig::default(), 0, CPU).unwrap();
    let error = one.attach(Some(&adapter)).unwrap_err().to_string();
    assert!(error.contains("self_attn.q_proj"), "{error}");
}

#[test]
fn targets_are_chosen_as_peft_chooses() {
    let config = Fixture::new("phi3").checkpoint().config().clone();
    let modules = |target_modules: TargetModules| {
        let lora = LoraConfig { target_modules, ..LoraConfig::default() };
        let adapter = Adapter::new(&config, &lora, 0, CPU)?;
        let names = adapter.parameters.names().filter_map(|name| name.strip_suffix(".lora_A.weight"));
        Ok(names
            .map(|name| name.trim_start_matches("base_model.model.model.layers.").to_owned())
            .collect::<Vec<_>>())
    };
    let expression = |text: &str| modules(TargetModules::Expression(text.to_owned()));
    let names =
        |names: &[&str]| modules(TargetModules::Names(names.iter().map(|name| (*name).to_owned()).collect()));
    let all = ["mlp.down_proj", "mlp.gate_up_proj", "self_attn.o_proj", "self_attn.qkv_proj"];
    let both = |which: &[&str]| {
        [0, 1].iter().flat_map(|i| which.iter().map(move |name| format!("{i}.{name}"))).collect::<Vec<_>>()
    };
    assert_eq!(expression("all-linear").unwrap(), both(&all));
    assert_eq!(expression(r".*\.1\.mlp\..*").unwrap(), ["1.mlp.down_proj", "1.mlp.gate_up_proj"]);
    assert_eq!(
        names(&["o_proj", "model.layers.0.mlp.down_proj"]).unwrap(),
        ["0.mlp.down_proj", "0.self_attn.o_proj", "1.self_attn.o_proj"]
    );
    let error = |result: tokensieve_model::Result<Vec<String>>| result.unwrap_err().to_string();
    assert!(error(names(&["proj"])).contains("there is no module `proj`"));
    assert!(error(names(&[])).contains("names no module"));
    assert!(error(expression("mlp")).contains("such as `.*mlp`; write names as a list, [\"mlp\"]"));
    assert!(error(expression("(")).contains("not a valid regular expression"));
}
