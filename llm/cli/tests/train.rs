//! What the real program trains on a tiny random model, what it reads for that, and what it refuses.
//!
//! Needs libtorch; makes its own model and data in a temporary folder. `cargo test -p tokensieve-cli --test train`.

#[path = "../../tests/bench/mod.rs"]
mod bench;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bench::{Bench, NO_GROWTH, said};
use tch::Tensor;
use tokensieve_base::testing::skipped;
use tokensieve_kernels::memory;

#[test]
fn a_step_that_trains_nothing_is_mentioned_once() {
    let bench = Bench::new();
    for (within, mentions) in [("batch", 0), ("micro-batch", 1)] {
        let objective =
            format!("objective={{preset=\"masked-mle\",select={{of=\"documents\",within=\"{within}\"}}}}");
        // Each document is a micro-batch of its own, whose top quarter is empty.
        let sets = ["train.steps=3", NO_GROWTH, "train.micro_tokens=16", &objective];
        let output = bench.run(within, &sets.map(|set| ["--set", set]).concat());
        assert!(output.status.success(), "{}", said(&output));
        assert_eq!(said(&output).matches("trains nothing: none of its ").count(), mentions, "{within}");
    }
}

#[test]
fn what_cannot_be_is_refused_with_a_reason() {
    let bench = Bench::new();
    let short = ["--set", "train.steps=3", "--set", NO_GROWTH];
    bench.undisturbed("out", &short);
    // Done is done.
    let again = bench.run("out", &short);
    assert!(again.status.success() && said(&again).contains("all 3 steps done"), "{}", said(&again));
    for (out, arguments, complaint) in [
        ("out", &[&short[..], &["--set", "train.lr=0.5"]].concat()[..], "train.lr: 0.01 there, 0.5 here"),
        ("none", &["--resume"], "no checkpoint to continue from"),
        (
            "new",
            &["--set", "model.source=nowhere"],
            "--set model.source: there is no file or folder `nowhere`",
        ),
        (
            "new",
            &["--set", "objective=distill", "--set", "reference.topk=nowhere"],
            "--set reference.topk: there is no file `nowhere`",
        ),
        ("new", &["--set", "data.train=nowhere.jsonl"], "`nowhere.jsonl`"),
        ("new", &["--set", "train.lrr=1"], "did you mean `train.lr`?"),
        ("new", &["--set", "lora.target_modules=[\"q_porj\"]"], "q_porj"),
        (
            "new",
            &["--set", "lora.rank_pattern={\"q_porj\"=8}"],
            "lora.rank_pattern: `q_porj` matches no module",
        ),
        (
            "new",
            &["--set", "lora.alpha_pattern={\"q_porj\"=8}"],
            "lora.alpha_pattern: `q_porj` matches no module",
        ),
        (
            "new",
            &["--set", "train.epochs=1"],
            "run.toml:30: `train.grow_rank`: the rank grows to 4 after step 30",
        ),
    ] {
        let output = bench.run(out, arguments);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(complaint), "{complaint}\n{}", said(&output));
    }
    bench.undisturbed("out", &["--fresh", "--set", "train.steps=2", "--set", NO_GROWTH]);
}

#[test]
fn the_next_command_can_be_typed_as_it_is_printed() {
    let bench = Bench::new();
    let output = bench.run("my run", &["--set", "train.steps=1", "--set", NO_GROWTH]);
    assert!(output.status.success(), "{}", said(&output));
    let printed = String::from_utf8(output.stdout).unwrap();
    let next = printed.lines().find_map(|line| line.strip_prefix("next        tokensieve ")).unwrap();
    let typed =
        Command::new("sh").args(["-c", &format!("\"$0\" {next}"), env!("CARGO_BIN_EXE_tokensieve")]).output();
    let typed = typed.unwrap();
    assert!(typed.status.success(), "{next}\n{}", said(&typed));
    assert!(bench.path("my run/merged/model.safetensors").is_file(), "{next}");
}

#[test]
fn a_base_in_four_bits_is_trained_on_evaluated_and_not_mistaken_for_a_whole_one() {
    let bench = Bench::new();
    let short = ["--set", "train.steps=3", "--set", NO_GROWTH];
    bench.undisturbed("out", &[&short[..], &["--set", "model.dtype=nf4-f32"]].concat());
    assert!(fs::read_to_string(bench.path("out/run.json")).unwrap().contains("\"dtype\": \"nf4-f32\""));
    let whole = bench.run("out", &short);
    assert!(said(&whole).contains("model.dtype: \"nf4-f32\" there, \"f32\" here"), "{}", said(&whole));

    let mut merging = Command::new(env!("CARGO_BIN_EXE_tokensieve"));
    merging
        .args(["generate", "--prompt", "Hi", "--adapter", "any", "--merge", "--precision", "nf4", "--model"])
        .arg(bench.path("model"));
    let output = merging.output().unwrap();
    assert!(said(&output).contains("--merge: weights in four bits take up no adapter"), "{}", said(&output));

    let output = Command::new(env!("CARGO_BIN_EXE_tokensieve"))
        .env("TOKENSIEVE_BACKEND", "plain")
        .args(["generate", "--prompt", "Hi", "--adapter", "any", "--merge", "--model"])
        .arg(bench.path("model"))
        .output()
        .unwrap();
    assert!(
        said(&output).contains("--merge: the back end plain computes adapters beside"),
        "{}",
        said(&output)
    );

    let mean = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tokensieve"));
        command.args(["evaluate", "--suite"]).arg(format!("nll:{}", bench.path("rows.jsonl").display()));
        command.arg("--model").arg(bench.path("model")).args(arguments);
        command.arg("--out").arg(bench.path("results.json")).arg("--fresh");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let results: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(bench.path("results.json")).unwrap()).unwrap();
        let (_, task) = results["tasks"].as_object().unwrap().iter().next().unwrap();
        (
            results["precision"].as_str().unwrap().to_owned(),
            task["measures"]["nll"]["value"].as_f64().unwrap(),
        )
    };
    let adapter = bench.path("out/adapter").display().to_string();
    let (precision, before) = mean(&["--precision", "nf4-f32"]);
    assert_eq!(precision, "nf4-f32");
    let (_, after) = mean(&["--precision", "nf4-f32", "--adapter", &adapter]);
    let (_, on_another) = mean(&["--precision", "f32", "--adapter", &adapter]);
    assert!(after < before && (on_another - after).abs() > 1e-6, "{before} {after} {on_another}");
}

#[test]
fn bad_rows_are_left_out_by_flag_too() {
    let bench = Bench::new();
    let rows = fs::read_to_string(bench.path("rows.jsonl")).unwrap();
    fs::write(bench.path("rows.jsonl"), format!("{{}}\n{rows}")).unwrap();
    let short = ["--set", "train.steps=1", "--set", NO_GROWTH];
    let output = bench.run("out", &short);
    assert!(said(&output).contains("(--skip-bad or data.skip_bad skips such rows)"), "{}", said(&output));
    let topk = |flag: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tokensieve"));
        command.arg("topk").arg(bench.path("run.toml")).arg(bench.path("top.safetensors")).args(flag);
        command.arg("--set").arg(format!("train.out={}", bench.path("out").display()));
        command.output().unwrap()
    };
    assert!(said(&topk(&[])).contains("--skip-bad"));
    assert!(said(&topk(&["--model", "nowhere"])).contains("--model: there is no file or folder `nowhere`"));
    let output = topk(&["--skip-bad"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("1 of 27 rows left out, the first at line 1: "), "{}", said(&output));
    // Nothing of it stands in the way of the run that it is for.
    bench.undisturbed("out", &[&short[..], &["--skip-bad"]].concat());
    assert!(bench.path("out/skipped-train.jsonl").exists());
}

#[test]
fn what_is_too_large_is_refused_without_a_trace_of_calls() {
    let bench = Bench::new();
    for (set, complaint) in [
        ("lora.r=1000000000000", "a whole number from 1 to 65536"),
        ("train.batch_size=9223372036854775807", "a whole number from 1 to 1000000"),
    ] {
        let output = bench.run("out", &["--set", set, "--set", NO_GROWTH]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(
            said(&output).contains(complaint) && !said(&output).contains("panicked"),
            "{}",
            said(&output)
        );
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_tokensieve"));
    command.arg("topk").arg(bench.path("run.toml")).arg(bench.path("top.safetensors")).args(["-k", "0"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));

    // No end in sight is no mistake.
    bench.interrupted("out", &["--set", "train.steps=9223372036854775807"], 5);
}

#[test]
fn a_model_that_cannot_be_read_is_named() {
    let bench = Bench::new();
    let path = bench.path("model/model.safetensors");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let output = bench.run("out", &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("model.safetensors"), "{}", said(&output));
    let narrow = fs::read_to_string(bench.path("model/config.json"))
        .unwrap()
        .replace("\"hidden_size\":32", "\"hidden_size\":40");
    fs::write(&path, whole).unwrap();
    fs::write(bench.path("model/config.json"), narrow).unwrap();
    let output = bench.run("out", &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("[420, 32]"), "{}", said(&output));
}

#[test]
fn a_loss_that_is_no_number_stops_with_the_last_good_checkpoint() {
    let bench = Bench::new();
    let arguments = [
        "--set",
        "train.lr=1e30",
        "--set",
        "train.clip=0",
        "--set",
        "train.save_every=1",
        "--set",
        "train.warmup=0",
    ];
    let output = bench.run("out", &arguments);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let text = said(&output);
    assert!(
        text.contains("error: step ")
            && text.contains("its rows, counted from 0: ")
            && text.contains("is intact"),
        "{text}"
    );
    assert!(bench.path("out/checkpoints").read_dir().unwrap().count() >= 1);
}

#[test]
fn a_file_of_probable_tokens_serves_in_place_of_the_model() {
    let bench = Bench::new();
    let (file, model) = (bench.path("top.safetensors"), bench.path("model"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_tokensieve"));
    command.arg("topk").arg(bench.path("run.toml")).arg(&file).args(["-k", "100000"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));

    let losses = |out: &str, reference: String| -> Vec<f64> {
        let distill = "objective.preset=masked-mle+distill";
        let settings = ["train.steps=4", NO_GROWTH, distill, &reference];
        bench.undisturbed(out, &settings.map(|setting| ["--set", setting]).concat());
        let text = fs::read_to_string(bench.path(out).join("metrics.jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.filter(|line| line.get("lr").is_some()).map(|line| line["loss"].as_f64().unwrap()).collect()
    };
    let of_file = losses("of_file", format!("reference.topk={}", file.display()));
    let of_model = losses("of_model", format!("reference.model={}", model.display()));
    assert_eq!(of_file.len(), 4);
    for (file, model) in of_file.iter().zip(&of_model) {
        assert!((file - model).abs() < 1e-5 * model, "{of_file:?} {of_model:?}");
    }
}

#[test]
fn the_best_result_has_the_lowest_nll_however_little_that_fell() {
    let bench = Bench::new();
    let run = |out: &str, least: &str| {
        let settings = ["train.steps=21", "objective=mle", NO_GROWTH, least];
        let output = bench.run(out, &settings.map(|setting| ["--set", setting]).concat());
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    };
    run("any", "train.early_stop.min_delta=0");
    let text = run("much", "train.early_stop.min_delta=100");
    let metrics = fs::read_to_string(bench.path("much/metrics.jsonl")).unwrap();
    let lines = metrics.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let nlls: Vec<f64> =
        lines.filter(|line| line["eval"] == "held").map(|line| line["nll"].as_f64().unwrap()).collect();
    let lowest = nlls.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(nlls.len() == 4 && lowest < nlls[0], "{nlls:?}");
    assert!(text.contains(&format!("best nll    {lowest:.4}, in ")), "{text}");
    bench.same("any", "much", &["best/adapter_model.safetensors"]);
}

/// A folder's `config.json` or `tokenizer.json`, changed.
fn edit(path: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let mut content = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut content);
    fs::write(path, content.to_string()).unwrap();
}

#[test]
fn a_reference_has_the_same_tokens_however_it_pads_them() {
    let bench = Bench::new();
    let [padded, other] = ["padded", "other"].map(|name| bench.path(name));
    for folder in [&padded, &other] {
        bench::model(folder);
    }
    let weights = padded.join("model.safetensors");
    let mut tensors = Tensor::read_safetensors(&weights).unwrap();
    for (_, tensor) in tensors.iter_mut().filter(|(name, _)| name == "model.embed_tokens.weight") {
        *tensor = Tensor::cat(&[&*tensor, &tensor.narrow(0, 0, 44)], 0);
    }
    Tensor::write_safetensors(&tensors, &weights).unwrap();
    edit(&padded.join("config.json"), |config| config["vocab_size"] = 464.into());
    edit(&other.join("tokenizer.json"), |tokenizer| {
        let vocabulary = &mut tokenizer["model"]["vocab"];
        (vocabulary["et"], vocabulary["est"]) = (301.into(), 300.into());
    });
    let arguments = |reference: &str| {
        let reference = format!("reference.{reference}");
        let settings = ["train.steps=3", NO_GROWTH, "objective.preset=masked-mle+distill", &reference];
        settings.map(|setting| ["--set".to_owned(), setting.to_owned()]).concat()
    };
    let run = |out: &str, reference: &str| {
        bench.run(out, &arguments(reference).iter().map(String::as_str).collect::<Vec<_>>())
    };
    let topk = |model: &Path, file: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tokensieve"));
        command.arg("topk").arg(bench.path("run.toml")).arg(bench.path(file)).arg("--model").arg(model);
        command.output().unwrap()
    };
    let good = |output: std::process::Output| assert!(output.status.success(), "{}", said(&output));
    good(run("same", &format!("model={}", bench.path("model").display())));
    good(run("padded-run", &format!("model={}", padded.display())));
    bench.same("same", "padded-run", &["metrics.jsonl"]);
    good(topk(&padded, "top.safetensors"));
    good(run("of_file", &format!("topk={}", bench.path("top.safetensors").display())));
    let complaint = "another tokenizer than the trained model: `et` is token 301 there and 300 here";
    for output in [run("other-run", &format!("model={}", other.display())), topk(&other, "none.safetensors")]
    {
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(complaint), "{}", said(&output));
    }
}

#[test]
fn what_is_not_trained_of_all_weights_stays_in_the_result() {
    let bench = Bench::full();
    let path = bench.path("model/model.safetensors");
    let mut tensors = Tensor::read_safetensors(&path).unwrap();
    let trained = tensors.len();
    tensors.extend([
        ("model.layers.0.self_attn.rotary_emb.inv_freq".to_owned(), Tensor::from_slice(&[1.0_f32, 0.1])),
        ("score.weight".to_owned(), Tensor::from_slice(&[0.5_f32, -3.0]).view([1, 2])),
        ("ids".to_owned(), Tensor::from_slice(&[1_i64 << 40, -7])),
        ("flags".to_owned(), Tensor::from_slice(&[true, false])),
    ]);
    Tensor::write_safetensors(&tensors, &path).unwrap();
    fs::write(bench.path("model/chat_template.json"), r#"{"chat_template": "unused"}"#).unwrap();
    let template = fs::read_to_string(bench.path("model/tokenizer_config.json")).unwrap();
    let template = serde_json::from_str::<serde_json::Value>(&template).unwrap()["chat_template"].clone();
    fs::write(bench.path("model/chat_template.jinja"), template.as_str().unwrap()).unwrap();
    bench.undisturbed("out", &["--set", "train.steps=2"]);
    let result = Tensor::read_safetensors(bench.path("out/model/model.safetensors")).unwrap();
    let result: BTreeMap<String, Tensor> = result.into_iter().collect();
    assert_eq!(result.len(), tensors.len());
    let (weights, others): (Vec<_>, Vec<_>) =
        tensors.iter().partition(|(name, _)| name.starts_with("model.") && !name.ends_with("inv_freq"));
    assert_eq!((weights.len(), others.len()), (trained, 4));
    for (name, tensor) in others {
        assert_eq!((result[name].kind(), &result[name]), (tensor.kind(), tensor), "{name}");
    }
    assert!(weights.iter().any(|(name, tensor)| result[name] != *tensor));
    for name in ["chat_template.json", "chat_template.jinja", "tokenizer_config.json"] {
        let [from, to] =
            ["model", "out/model"].map(|folder| fs::read(bench.path(folder).join(name)).unwrap());
        assert!(from == to, "{name}");
    }
}

/// What `tokensieve uncertainty` says of the rows.
fn estimates(bench: &Bench, passes: &str) -> PathBuf {
    let file = bench.path(&format!("uncertainty-{passes}.jsonl"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_tokensieve"));
    command.arg("uncertainty").arg(bench.path("rows.jsonl")).arg("--model").arg(bench.path("model"));
    let output =
        command.args(["--precision", "f32", "--passes", passes, "--out"]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    file
}

#[test]
fn estimates_serve_an_objective_that_reads_them() {
    let bench = Bench::new();
    let file = estimates(&bench, "4");
    // With the loss in the estimate's place, what is selected first is what has the largest loss.
    let mut records: Vec<serde_json::Value> =
        fs::read_to_string(&file).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for token in records[1..].iter_mut().flat_map(|record| record["tokens"].as_array_mut().unwrap()) {
        if token["response"] == true {
            token["epistemic"] = token["loss"].clone();
        }
    }
    let losses = bench.path("losses.jsonl");
    let write = |records: &[serde_json::Value]| {
        let lines: Vec<String> = records.iter().map(serde_json::Value::to_string).collect();
        fs::write(&losses, lines.join("\n") + "\n").unwrap();
    };
    write(&records);
    let setting = |file: &Path| format!("data.uncertainty={}", file.display());
    let selected = |out: &str, by: &str, file: Option<&Path>| {
        let (by, file) = (format!("objective.select.by={by}"), file.map(setting));
        let first =
            ["lora.lora_dropout=0", "train.steps=1", NO_GROWTH, &by].into_iter().chain(file.as_deref());
        bench.undisturbed(out, &first.flat_map(|setting| ["--set", setting]).collect::<Vec<_>>());
        fs::read_to_string(bench.path(out).join("selection.jsonl")).unwrap()
    };
    let by_loss = selected("by_loss", "loss", None);
    assert_eq!(selected("by_losses", "bald", Some(&losses)), by_loss);
    assert_ne!(selected("by_bald", "bald", Some(&file)), by_loss);

    for (arguments, complaint) in [
        (&["--set", "objective.select.by=bald"][..], "data.uncertainty"),
        (
            &["--set", "objective.select.by=bald", "--set", &setting(&bench.path("rows.jsonl"))],
            "is not the header of a file of `tokensieve uncertainty`",
        ),
        (&["--set", "objective=policy-gradient"], "row 0 has no `advantage`"),
    ] {
        let output = bench.run("refused", arguments);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(complaint), "{complaint}\n{}", said(&output));
    }
    write(&records[..9]);
    let by_bald = ["--set", "objective.select.by=bald", "--set", &setting(&losses)];
    let output = bench.run("refused", &by_bald);
    assert!(said(&output).contains("losses.jsonl: holds no estimates of row 8"), "{}", said(&output));
}

#[test]
fn estimates_without_what_the_objective_reads_are_refused_before_anything_is_written() {
    let bench = Bench::new();
    let run = |passes: &str| {
        let file = format!("data.uncertainty={}", estimates(&bench, passes).display());
        let settings = ["objective.select.by=bald", "train.steps=1", NO_GROWTH, &file];
        bench.run("out", &settings.map(|setting| ["--set", setting]).concat())
    };
    let output = run("0");
    assert!(said(&output).contains("uncertainty-0.jsonl: row 0 has no `bald`"), "{}", said(&output));
    let output = run("2");
    assert!(output.status.success(), "{}", said(&output));
}

/// All weights trained, there is no model of before to ask.
#[test]
fn scores_of_the_rows_serve_an_objective_that_reads_them() {
    let bench = Bench::new();
    let estimates = fs::read_to_string(estimates(&bench, "0")).unwrap();
    let rows = fs::read_to_string(bench.path("rows.jsonl")).unwrap();
    let json = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    // With the losses as scores, what is selected first is what has the largest loss. The first line is a header.
    let scored = estimates.lines().skip(1).zip(rows.lines()).map(|(estimates, row)| {
        let (estimates, mut row) = (json(estimates), json(row));
        let tokens = estimates["tokens"].as_array().unwrap().iter();
        let losses = tokens.filter(|token| token["response"] == true).map(|token| token["loss"].clone());
        row["token_scores"] = losses.collect();
        format!("{row}\n")
    });
    fs::write(bench.path("scored.jsonl"), scored.collect::<String>()).unwrap();
    let selected = |out: &str, by: &str| {
        let data = format!("data.train={}", bench.path("scored.jsonl").display());
        let by = format!("objective.select.by={by}");
        let settings = ["lora.lora_dropout=0", "train.steps=1", NO_GROWTH, &data, &by];
        bench.undisturbed(out, &settings.map(|setting| ["--set", setting]).concat());
        fs::read_to_string(bench.path(out).join("selection.jsonl")).unwrap()
    };
    let by_loss = selected("by_loss", "loss");
    assert_eq!(selected("by_score", "score"), by_loss);
    assert_ne!(selected("by_opposite", "-score"), by_loss);
}

#[test]
fn estimates_say_the_loss_before_training() {
    let bench = Bench::full();
    let by = ["--set", "train.steps=2", "--set", "objective.select.by=base_loss"];
    let output = bench.run("unknown", &by);
    assert!(said(&output).contains("base_loss"), "{}", said(&output));
    let known = format!("data.uncertainty={}", estimates(&bench, "4").display());
    bench.undisturbed("known", &[&by[..], &["--set", &known]].concat());
}

#[test]
fn a_model_without_a_chat_template_learns_with_a_chosen_one() {
    let bench = Bench::new();
    let path = bench.path("model/tokenizer_config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert!(config.as_object_mut().unwrap().remove("chat_template").is_some());
    fs::write(&path, config.to_string()).unwrap();
    let short = ["--set", "train.steps=2", "--set", NO_GROWTH];
    let output = bench.run("none", &short);
    assert!(
        said(&output).contains("no chat template: choose one (`model.chat_template`"),
        "{}",
        said(&output)
    );
    let plain = [&short[..], &["--set", "model.chat_template=plain"]].concat();
    bench.undisturbed("out", &plain);
    let written = |folder: &str| fs::read_to_string(bench.path(folder).join("chat_template.jinja"));
    for folder in ["out/adapter", "out/checkpoints/step-00000002"] {
        assert!(written(folder).unwrap().contains("### "), "{folder}");
    }

    // What is trained brings its template along; a model on its own has none yet.
    let tokensieve = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tokensieve"));
        command.args(arguments).current_dir(bench.path("")).output().unwrap()
    };
    let asked =
        ["generate", "rows.jsonl", "--model", "model", "-n", "2", "--limit", "4", "--out", "replies.jsonl"];
    let reply = tokensieve(&asked);
    assert!(!reply.status.success() && said(&reply).contains("no chat template"), "{}", said(&reply));
    let reply = tokensieve(&[&asked[..], &["--adapter", "out/adapter"]].concat());
    assert!(reply.status.success(), "{}", said(&reply));
    let merged = tokensieve(&["merge", "model", "out/adapter", "merged"]);
    assert!(merged.status.success(), "{}", said(&merged));
    assert_eq!(written("merged").unwrap(), written("out/adapter").unwrap());
}

#[test]
fn memory_does_not_grow_with_the_vocabulary() {
    if memory::peak_bytes().is_none() {
        return skipped("the system does not say how much memory a process has had");
    }
    let bench = Bench::new();
    let first = |out: &str, file: &str, key: &str| {
        let text = fs::read_to_string(bench.path(out).join(file)).unwrap();
        let mut lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.find(|line| line["eval"].is_null()).unwrap()[key].as_u64().unwrap()
    };
    let run = |rows: i64, out: &str| {
        bench::model_of(rows, &bench.path("model"));
        let step = ["train.steps=1", "train.batch_size=26", "train.micro_tokens=8192", NO_GROWTH];
        bench.undisturbed(out, &step.map(|set| ["--set", set]).concat());
        first(out, "timing.jsonl", "peak_bytes")
    };
    let [small, large] = [500_000, 1_000_000];
    let (before, after) = (run(small, "small"), run(large, "large"));
    let more = (large - small) as u64 * size_of::<f32>() as u64;
    // At the model's width of 32: as it lies in the file, in memory, and on the way from the one to the other.
    let limit = 4 * 32 * more;
    let logits = more * first("large", "metrics.jsonl", "tokens");
    assert!(logits > 2 * limit, "the test is too small to show anything: {logits}");
    assert!(after < before + limit, "from {before} to {after} bytes; logits would be {logits} more");
}
