//! Runs of the real program on a tiny random model: killed, interrupted, out of disk, misused. Whatever happens, the
//! curve and the adapter of a run that was continued are those of one that was not, byte for byte.
//!
//! Needs libtorch; makes its own model and data in a temporary folder. `cargo test -p tokensieve-llm --test resume`.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;

/// Everything that has state: a running quantile, dropout, a growing rank, early stopping, epochs, evaluations.
const EVERYTHING: &str = r#"
[model]
source = "FOLDER/model"
dtype = "f32"
device = "cpu"
[data]
train = "FOLDER/rows.jsonl"
[eval.held]
data = "FOLDER/rows.jsonl"
skip = 20
[objective]
preset = "masked-mle"
select.keep = "top 50%"
select.within = "running"
select.window = 64
[lora]
r = 2
lora_alpha = 4
lora_dropout = 0.1
[train]
steps = 60
batch_size = 4
micro_tokens = 96
lr = 1e-2
weight_decay = 0.1
eval_every = 7
early_stop.on = "held"
early_stop.patience = 100
save_every = 2
grow_rank = [{ step = 30, rank = 4 }]
"#;

/// For runs that end before the adapter would grow.
const NO_GROWTH: &str = "train.grow_rank=[]";

/// A model, data and a configuration.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        model(&folder.path().join("model"));
        let row = |i: usize| {
            let (a, b) = (i * 7 % 23, i * 5 % 19);
            format!("{{\"question\": \"What is {a} + {b}?\", \"answer\": \"{a} + {b} = {}.\"}}\n", a + b)
        };
        fs::write(folder.path().join("rows.jsonl"), (0..26).map(row).collect::<String>()).unwrap();
        let text = EVERYTHING.replace("FOLDER", folder.path().to_str().unwrap());
        fs::write(folder.path().join("run.toml"), text).unwrap();
        Self { folder }
    }

    /// All weights by plain SGD instead.
    fn full() -> Self {
        let bench = Self::new();
        let text = fs::read_to_string(bench.path("run.toml")).unwrap();
        let (before, after) = (text.split("[lora]").next().unwrap(), text.split("[train]").nth(1).unwrap());
        let after: Vec<&str> = after.lines().filter(|line| !line.contains("grow_rank")).collect();
        let text = format!("{before}[train]\nfull = true\noptimizer = \"sgd\"\n{}\n", after.join("\n"));
        fs::write(bench.path("run.toml"), text).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, out: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tokensieve"));
        command.arg("train").arg(self.path("run.toml")).arg("--out").arg(self.path(out)).args(arguments);
        // Waiting threads of many small programs would take the cores from the working ones.
        command.env("OMP_WAIT_POLICY", "passive");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, out: &str, arguments: &[&str]) -> Output {
        self.command(out, arguments).output().unwrap()
    }

    /// The run that nothing happens to.
    fn undisturbed(&self, out: &str, arguments: &[&str]) {
        let output = self.run(out, arguments);
        assert!(output.status.success(), "{}", said(&output));
    }

    fn same(&self, one: &str, other: &str, files: &[&str]) {
        for file in files {
            let [a, b] = [one, other].map(|out| fs::read(self.path(out).join(file)).unwrap());
            assert!(!a.is_empty() && a == b, "{file} of {one} and {other} differ");
        }
    }

    fn steps(&self, out: &str) -> usize {
        let text = fs::read(self.path(out).join("metrics.jsonl")).unwrap_or_default();
        text.split(|byte| *byte == b'\n').count() - 1
    }
}

const RESULTS: [&str; 4] =
    ["metrics.jsonl", "selection.jsonl", "adapter/adapter_model.safetensors", "adapter/adapter_config.json"];

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A Llama of two layers with random weights, in a Hugging Face folder.
fn model(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizer");
    for entry in fs::read_dir(fixture).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
    let (vocabulary, width, inner, kv) = (420, 32, 48, 16);
    let config = serde_json::json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": vocabulary, "hidden_size": width,
        "intermediate_size": inner, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 8, "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
        "max_position_embeddings": 256, "tie_word_embeddings": true, "attention_bias": false, "mlp_bias": false,
    });
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    tch::manual_seed(3);
    let matrix = |rows: i64, columns: i64| Tensor::randn([rows, columns], (Kind::Float, Device::Cpu)) * 0.2;
    let ones = || Tensor::ones([width], (Kind::Float, Device::Cpu));
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_owned(), matrix(vocabulary, width)),
        ("model.norm.weight".to_owned(), ones()),
    ];
    for layer in 0..2 {
        for (name, tensor) in [
            ("self_attn.q_proj", matrix(width, width)),
            ("self_attn.k_proj", matrix(kv, width)),
            ("self_attn.v_proj", matrix(kv, width)),
            ("self_attn.o_proj", matrix(width, width)),
            ("mlp.gate_proj", matrix(inner, width)),
            ("mlp.up_proj", matrix(inner, width)),
            ("mlp.down_proj", matrix(width, inner)),
            ("input_layernorm", ones()),
            ("post_attention_layernorm", ones()),
        ] {
            tensors.push((format!("model.layers.{layer}.{name}.weight"), tensor));
        }
    }
    Tensor::write_safetensors(&tensors, folder.join("model.safetensors")).unwrap();
}

/// Kills a child when the curve has got `lines` longer and then some milliseconds have passed. Says whether it still ran.
fn kill_after(bench: &Bench, mut child: Child, out: &str, lines: usize, then: Duration) -> bool {
    let (start, goal) = (Instant::now(), bench.steps(out) + lines);
    while bench.steps(out) < goal && start.elapsed() < Duration::from_secs(30) {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(then);
    let running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    running
}

/// Runs are killed with SIGKILL at random points, `kills` times, each continued; the end is that of one that was not.
fn killed(bench: &Bench, arguments: &[&str], kills: usize, results: &[&str]) {
    bench.undisturbed("whole", arguments);
    let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut killed = 0;
    for _ in 0..kills * 2 {
        let child =
            bench.command("killed", arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Some while it loads, most within steps and checkpoints.
        let lines = random.next_u32() as usize % 6;
        let then = Duration::from_millis(u64::from(random.next_u32() % 40));
        if !kill_after(bench, child, "killed", lines, then) {
            break;
        }
        killed += 1;
        if killed == kills {
            break;
        }
    }
    println!("killed {killed} times, the last after {} lines", bench.steps("killed"));
    assert!(killed >= kills * 3 / 4, "the run was over after {killed} kills");
    bench.undisturbed("killed", arguments);
    bench.same("whole", "killed", results);
}

#[test]
fn an_adapter_killed_twenty_times_is_the_same() {
    killed(&Bench::new(), &[], 20, &RESULTS);
}

#[test]
fn weights_killed_are_the_same() {
    let results = ["metrics.jsonl", "selection.jsonl", "model/model.safetensors"];
    killed(&Bench::full(), &["--set", "train.steps=20"], 4, &results);
}

#[test]
fn one_interruption_ends_with_a_checkpoint() {
    let bench = Bench::new();
    bench.undisturbed("whole", &[]);
    let child = bench.command("out", &["--set", "train.save_every=1000"]).spawn().unwrap();
    while bench.steps("out") < 5 {
        std::thread::sleep(Duration::from_millis(1));
    }
    // Sound: a signal to a child of ours that has not been waited for.
    unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert!(said(&output).contains("interrupted after step"), "{}", said(&output));
    bench.undisturbed("out", &["--set", "train.save_every=1000"]);
    bench.same("whole", "out", &RESULTS);
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
        ("new", &["--set", "model.source=nowhere"], "`nowhere`"),
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

/// Files and folders below a folder, with what is in them.
fn below(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(below(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn beginning_afresh_removes_the_former_run_once_everything_is_open() {
    let bench = Bench::new();
    let rows = fs::read_to_string(bench.path("rows.jsonl")).unwrap();
    fs::write(bench.path("rows.jsonl"), format!("{rows}{{}}\n")).unwrap();
    let first = ["--set", "train.steps=3", "--set", NO_GROWTH, "--set", "data.skip_bad=true"];
    bench.undisturbed("out", &first);
    let out = bench.path("out");
    for own in ["notes.txt", "tensorboard/other", "model/model.safetensors"].map(|name| out.join(name)) {
        fs::create_dir_all(own.parent().unwrap()).unwrap();
        fs::write(own, "of the user's own").unwrap();
    }
    let before = below(&out);
    for left in
        ["best/", "adapter/", "checkpoints/step-00000003/", "skipped-train.jsonl", "skipped-held.jsonl"]
    {
        assert!(before.keys().any(|path| path.to_str().unwrap().contains(left)), "{left}: {before:?}");
    }

    let own = format!("reference.adapter={}", out.join("adapter").display());
    for (set, complaint) in [
        ("model.source=nowhere", "`nowhere`"),
        ("data.train=nowhere.jsonl", "`nowhere.jsonl`"),
        ("eval.held.data=nowhere.jsonl", "`nowhere.jsonl`"),
        ("reference.adapter=nowhere", "there is no folder `nowhere`"),
        ("objective.preset=rho", "reference.adapter"),
        ("lora.target_modules=[\"q_porj\"]", "q_porj"),
        (own.as_str(), "lies in what --fresh removes"),
    ] {
        let output = bench.run("out", &[&first[..], &["--fresh", "--set", set]].concat());
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(complaint), "{complaint}\n{}", said(&output));
        assert!(below(&out) == before, "{set}");
    }

    // A run that writes as little as there is, and does not get far.
    fs::write(bench.path("rows.jsonl"), rows).unwrap();
    let text = fs::read_to_string(bench.path("run.toml")).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("early_stop")).collect();
    fs::write(bench.path("run.toml"), lines.join("\n")).unwrap();
    let little =
        ["log.selection=false", "log.tensorboard=false", "train.lr=1e30", "train.clip=0", "train.warmup=0"];
    let little: Vec<&str> = little.iter().flat_map(|set| ["--set", set]).collect();
    let output = bench.run("out", &[&["--fresh", "--set", "train.save_every=50"], &little[..]].concat());
    assert!(said(&output).contains("error: step "), "{}", said(&output));
    let names: Vec<PathBuf> =
        below(&out).keys().map(|path| path.strip_prefix(&out).unwrap().to_owned()).collect();
    let expected =
        [".lock", "config.toml", "metrics.jsonl", "model/model.safetensors", "notes.txt", "run.json"];
    let expected = [&expected[..], &["tensorboard/other", "timing.jsonl"]].concat();
    assert_eq!(names, expected.into_iter().map(PathBuf::from).collect::<Vec<_>>());
}

#[test]
fn what_is_too_large_is_refused_without_a_trace_of_calls() {
    let bench = Bench::new();
    for (set, complaint) in [
        // More bytes than there are addresses.
        ("lora.r=1000000000000", "error: memory ran out ("),
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
    let child = bench.command("out", &["--set", "train.steps=9223372036854775807"]).spawn().unwrap();
    while bench.steps("out") < 5 {
        std::thread::sleep(Duration::from_millis(1));
    }
    // Sound: a signal to a child of ours that has not been waited for.
    unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
}

#[test]
fn a_checkpoint_that_is_damaged_gives_way_to_an_older_one() {
    let bench = Bench::new();
    let short = ["--set", "train.steps=5", "--set", NO_GROWTH];
    bench.undisturbed("whole", &short);
    for file in ["state.toml", "optimizer.safetensors", "config.toml", "adapter_model.safetensors"] {
        bench.undisturbed(file, &short);
        let [older, newest] =
            [4, 5].map(|step| bench.path(file).join(format!("checkpoints/step-0000000{step}")));
        let halve = |folder: &Path| {
            let whole = fs::read(folder.join(file)).unwrap();
            // In the middle of a text or of a word of letters: what is left is not TOML.
            fs::write(folder.join(file), [&whole[..whole.len() / 2], b"\"x"].concat()).unwrap();
        };
        halve(&newest);
        let output = bench.run(file, &short);
        let text = said(&output);
        assert!(output.status.success(), "{text}");
        assert!(text.contains("warning: ") && text.contains("damaged-step-00000005"), "{text}");
        assert!(text.contains("continuing after step 4"), "{text}");
        bench.same("whole", file, &RESULTS);
        bench.undisturbed(file, &short);

        halve(&older);
        halve(&newest);
        let output = bench.run(file, &short);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(
            said(&output).contains("no checkpoint can be read") && said(&output).contains("--fresh"),
            "{}",
            said(&output)
        );
        bench.undisturbed(file, &[&short[..], &["--fresh"]].concat());
    }
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
        text.contains("error: step ") && text.contains("on the rows ") && text.contains("is sound"),
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

/// Flips the last byte.
fn spoil(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_reference_that_changed_is_refused() {
    let bench = Bench::new();
    bench.undisturbed("mle", &["--set", "train.steps=1", "--set", NO_GROWTH]);
    model(&bench.path("other"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_tokensieve"));
    command.arg("topk").arg(bench.path("run.toml")).arg(bench.path("top.safetensors"));
    assert!(command.output().unwrap().status.success());
    for (key, reference, file) in [
        ("adapter", "mle/adapter", "mle/adapter/adapter_model.safetensors"),
        ("model", "other", "other/model.safetensors"),
        ("topk", "top.safetensors", "top.safetensors"),
    ] {
        let reference = format!("reference.{key}={}", bench.path(reference).display());
        let distill = "objective.preset=masked-mle+distill";
        let arguments = ["--set", "train.steps=2", "--set", NO_GROWTH, "--set", distill, "--set", &reference];
        bench.undisturbed(key, &arguments);
        bench.undisturbed(key, &arguments);
        spoil(&bench.path(file));
        let output = bench.run(key, &arguments);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains("made with another reference, though under"), "{}", said(&output));
        spoil(&bench.path(file));
        bench.undisturbed(key, &arguments);

        let state = bench.path(key).join("checkpoints/step-00000002/state.toml");
        let text = fs::read_to_string(&state).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("reference")).collect();
        fs::write(&state, lines.join("\n")).unwrap();
        let output = bench.run(key, &arguments);
        assert!(said(&output).contains("does not say what its reference was"), "{}", said(&output));
    }
}

/// What `tokensieve uncertainty` says of the rows.
fn estimates(bench: &Bench) -> PathBuf {
    let file = bench.path("uncertainty.jsonl");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tokensieve"));
    command.arg("uncertainty").arg(bench.path("rows.jsonl")).arg("--model").arg(bench.path("model"));
    let output = command.args(["--precision", "f32", "--passes", "4", "--out"]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    file
}

#[test]
fn estimates_serve_an_objective_that_reads_them() {
    let bench = Bench::new();
    let file = estimates(&bench);
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
    let selected = |out: &str, by: &str, file: &Path| {
        let (by, file) = (format!("objective.select.by={by}"), setting(file));
        let first = ["lora.lora_dropout=0", "train.steps=1", NO_GROWTH, &by, &file];
        bench.undisturbed(out, &first.map(|setting| ["--set", setting]).concat());
        fs::read_to_string(bench.path(out).join("selection.jsonl")).unwrap()
    };
    let by_loss = selected("by_loss", "loss", &file);
    assert_eq!(selected("by_losses", "bald", &losses), by_loss);
    assert_ne!(selected("by_bald", "bald", &file), by_loss);

    for (arguments, complaint) in [
        (&["--set", "objective.select.by=bald"][..], "data.uncertainty"),
        (&["--set", &setting(&bench.path("rows.jsonl"))], "no header of `tokensieve uncertainty`"),
        (&["--set", "objective=policy-gradient"], "row 0 has no `advantage`"),
    ] {
        let output = bench.run("refused", arguments);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(complaint), "{complaint}\n{}", said(&output));
    }
    write(&records[..9]);
    let output = bench.run("refused", &["--set", &setting(&losses)]);
    assert!(said(&output).contains("losses.jsonl: holds no estimates of row 8"), "{}", said(&output));
}

/// All weights trained, there is no model of before to ask.
#[test]
fn estimates_say_the_loss_before_training() {
    let bench = Bench::full();
    let by = ["--set", "train.steps=2", "--set", "objective.select.by=base_loss"];
    let output = bench.run("unknown", &by);
    assert!(said(&output).contains("base_loss"), "{}", said(&output));
    let known = format!("data.uncertainty={}", estimates(&bench).display());
    bench.undisturbed("known", &[&by[..], &["--set", &known]].concat());
}

#[test]
fn two_runs_do_not_share_a_folder() {
    let bench = Bench::new();
    let mut first = bench.command("out", &["--set", "train.steps=100000"]).spawn().unwrap();
    while bench.steps("out") < 1 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let second = bench.run("out", &[]);
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(said(&second).contains("another run is writing into this folder"), "{}", said(&second));
}

/// A limit on the size of files stands for a disk that is full: the checkpoint after the rank has grown does not fit.
#[test]
fn a_full_disk_costs_nothing_that_was_written() {
    let bench = Bench::new();
    let grows = ["--set", "train.grow_rank=[{step=5,rank=64}]", "--set", "train.steps=8"];
    bench.undisturbed("whole", &grows);
    let command = bench.command("out", &grows);
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 200; exec \"$0\" \"$@\""]);
    let output = limited.arg(command.get_program()).args(command.get_args()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("checkpoints"), "{}", said(&output));
    let left: Vec<_> =
        fs::read_dir(bench.path("out/checkpoints")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    bench.undisturbed("out", &grows);
    bench.same("whole", "out", &RESULTS);
}
