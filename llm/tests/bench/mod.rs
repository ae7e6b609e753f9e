//! A tiny random model, data and a configuration, and the real program run on them.
// Each test program uses its part of it.
#![allow(dead_code, unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tch::{Device, Kind, Tensor};
use tempfile::TempDir;
use tokensieve_base::streams::Stream;
pub(crate) use tokensieve_base::testing::said;

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
# Else AdamW makes a whole step of a gradient that is nothing but rounding.
eps = 1e-4
"#;

/// For runs that end before the adapter would grow.
pub(crate) const NO_GROWTH: &str = "train.grow_rank=[]";

/// Arguments for the model in the folder `model`.
pub(crate) const MODEL: &str = "--model model --precision f32";

/// A folder with a model, rows and a configuration, in which the program runs.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn new(rows: &str, run: &str) -> Self {
        let folder = Self::empty();
        model(&folder.path("model"));
        fs::write(folder.path("rows.jsonl"), rows).unwrap();
        fs::write(folder.path("run.toml"), run).unwrap();
        folder
    }

    /// As the system names it, without links.
    pub(crate) fn root(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// The program with one thread; `words` are its arguments.
    pub(crate) fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tokensieve"));
        command.args(words.split(' ')).current_dir(self.0.path()).stdin(Stdio::null());
        command.env("OMP_NUM_THREADS", "1").env("OMP_WAIT_POLICY", "passive");
        command
    }

    /// What a command prints that succeeds.
    pub(crate) fn prints(&self, words: &str) -> String {
        printed(&mut self.command(words))
    }

    /// What a command says that fails.
    pub(crate) fn fails(&self, words: &str) -> String {
        failure(&mut self.command(words))
    }
}

/// What a command prints that succeeds.
pub(crate) fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// What a command says that fails.
pub(crate) fn failure(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{command:?}\n{}", said(&output));
    String::from_utf8(output.stderr).unwrap()
}

/// Sums, in the format of GSM8K.
pub(crate) fn sums(rows: usize) -> String {
    let row = |i: usize| {
        let (a, b) = (i * 7 % 23, i * 5 % 19);
        format!("{{\"question\": \"What is {a} + {b}?\", \"answer\": \"{a} + {b} = {}.\"}}\n", a + b)
    };
    (0..rows).map(row).collect()
}

/// A model, data and a configuration.
pub(crate) struct Bench {
    folder: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        model(&folder.path().join("model"));
        fs::write(folder.path().join("rows.jsonl"), sums(26)).unwrap();
        let text = EVERYTHING.replace("FOLDER", folder.path().to_str().unwrap());
        fs::write(folder.path().join("run.toml"), text).unwrap();
        Self { folder }
    }

    /// All weights by plain SGD instead.
    pub(crate) fn full() -> Self {
        let bench = Self::new();
        let text = fs::read_to_string(bench.path("run.toml")).unwrap();
        let (before, after) = (text.split("[lora]").next().unwrap(), text.split("[train]").nth(1).unwrap());
        let adamw = |line: &&str| line.starts_with("grow_rank") || line.starts_with("eps");
        let after: Vec<&str> = after.lines().filter(|line| !adamw(line)).collect();
        let text = format!("{before}[train]\nfull = true\noptimizer = \"sgd\"\n{}\n", after.join("\n"));
        fs::write(bench.path("run.toml"), text).unwrap();
        bench
    }

    /// A model that is initialised at random instead, on the oracle language.
    pub(crate) fn random() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let make = |split: &str, n: &str, file: &str| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_tokensieve"));
            command
                .args(["make", "oracle", "--split", split, "-n", n, "--out"])
                .arg(folder.path().join(file));
            assert!(command.output().unwrap().status.success());
        };
        make("pretrain", "400", "rows.jsonl");
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/oracle.toml");
        let rows = folder.path().join("rows.jsonl");
        let text = fs::read_to_string(example).unwrap().replace("oracle.jsonl", rows.to_str().unwrap());
        fs::write(folder.path().join("run.toml"), text).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn command(&self, out: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tokensieve"));
        command.arg("train").arg(self.path("run.toml")).arg("--out").arg(self.path(out)).args(arguments);
        // Waiting threads of many small programs would take the cores from the working ones.
        command.env("OMP_WAIT_POLICY", "passive");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, out: &str, arguments: &[&str]) -> Output {
        self.command(out, arguments).output().unwrap()
    }

    /// The run that nothing happens to.
    pub(crate) fn undisturbed(&self, out: &str, arguments: &[&str]) {
        let output = self.run(out, arguments);
        assert!(output.status.success(), "{}", said(&output));
    }

    /// Sees that files of two runs are the same.
    pub(crate) fn same(&self, one: &str, other: &str, files: &[&str]) {
        for file in files {
            let [a, b] = [one, other].map(|out| fs::read(self.path(out).join(file)).unwrap());
            assert!(!a.is_empty() && a == b, "{file} of {one} and {other} differ");
        }
    }

    /// Lines of its curve.
    pub(crate) fn steps(&self, out: &str) -> usize {
        let text = fs::read(self.path(out).join("metrics.jsonl")).unwrap_or_default();
        text.split(|byte| *byte == b'\n').count() - 1
    }

    /// A run that is asked to stop after so many lines of its curve. One that is over before begins again.
    pub(crate) fn interrupted(&self, out: &str, arguments: &[&str], lines: usize) -> Output {
        for _ in 0..20 {
            let mut child = self.command(out, arguments).spawn().unwrap();
            while self.steps(out) < lines && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            if child.try_wait().unwrap().is_none() {
                // SAFETY: a signal to a child of ours that has not been waited for.
                unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
            }
            let output = child.wait_with_output().unwrap();
            if output.status.code() == Some(130) {
                return output;
            }
            assert!(output.status.success(), "{}", said(&output));
            fs::remove_dir_all(self.path(out)).unwrap();
        }
        panic!("runs were over before they could be interrupted");
    }
}

pub(crate) const RESULTS: [&str; 4] =
    ["metrics.jsonl", "selection.jsonl", "adapter/adapter_model.safetensors", "adapter/adapter_config.json"];

/// A Llama of two layers with random weights, in a Hugging Face folder.
pub(crate) fn model(folder: &Path) {
    model_of(420, folder);
}

/// The same with so many rows in its embedding, which may be more than its tokenizer has tokens.
pub(crate) fn model_of(vocabulary: i64, folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tokenizer");
    for entry in fs::read_dir(fixture).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
    let (width, inner, kv) = (32, 48, 16);
    let config = serde_json::json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": vocabulary, "hidden_size": width,
        "intermediate_size": inner, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 8, "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
        "max_position_embeddings": 256, "tie_word_embeddings": true, "attention_bias": false, "mlp_bias": false,
    });
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    // Not libtorch's own generator: the tests beside share it, and would get another model each time.
    let mut stream = Stream::new(3, "model");
    let mut matrix = |rows: i64, columns: i64| {
        let numbers: Vec<f32> = (0..rows * columns).map(|_| stream.normal() as f32 * 0.2).collect();
        Tensor::from_slice(&numbers).reshape([rows, columns])
    };
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
