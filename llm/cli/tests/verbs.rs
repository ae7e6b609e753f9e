//! Verbs and flags that no other test runs to their end: a chat, sampling, a bundle and its script, `doctor`, and
//! the uncertainty of tokens as numbers.
//!
//! Needs libtorch, and for one test python3; makes its own model and data in a temporary folder.
//! `cargo test -p tokensieve-cli --test verbs`.

#[path = "../../tests/bench/mod.rs"]
mod bench;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bench::{Folder, MODEL, failure, printed, said};
use serde_json::{Value, json};
use tokensieve_base::testing::skipped;

const RUN: &str = r#"
[model]
source = "model"
dtype = "f32"
device = "cpu"
[data]
train = "rows.jsonl"
[lora]
r = 2
[train]
steps = 2
batch_size = 2
save_every = 1
out = "out"
"#;

fn folder() -> Folder {
    Folder::new(&bench::sums(4), RUN)
}

/// The texts of the replies to these rows.
fn replies(folder: &Folder, rows: &[Value], rest: &str) -> Vec<String> {
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    fs::write(folder.path("prompts.jsonl"), lines.join("\n")).unwrap();
    folder.prints(&format!("generate prompts.jsonl --out replies.jsonl --fresh {MODEL} {rest}"));
    let replies = fs::read_to_string(folder.path("replies.jsonl")).unwrap();
    replies.lines().skip(1).map(|line| json_of(line)["text"].as_str().unwrap().to_owned()).collect()
}

fn json_of(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

/// An answer of the chat is the reply that `generate` gives to the same conversation.
#[test]
fn a_chat_answers_and_forgets() {
    let folder = folder();
    let chat = |input: &[u8]| {
        let words = format!("chat {MODEL} --limit 8");
        let mut command = folder.command(&words);
        command.args(["--system", "Be brief."]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let conversation = |turns: &[&str]| {
        let roles = ["user", "assistant"].into_iter().cycle();
        let turns = roles.zip(turns).map(|(role, text)| json!({ "role": role, "content": text }));
        let system = json!({ "role": "system", "content": "Be brief." });
        let messages: Vec<Value> = [system].into_iter().chain(turns).collect();
        json!({ "messages": messages })
    };
    let [first, second] = ["What is 2 + 3?", "And 4 + 4?"];
    let alone = replies(&folder, &[conversation(&[first]), conversation(&[second])], "--limit 8");
    let after = replies(&folder, &[conversation(&[first, &alone[0], second])], "--limit 8").remove(0);
    assert_ne!(after, alone[1]);

    let input = format!("{first}\n{second}\n/reset\n\n{second}\n");
    assert_eq!(chat(input.as_bytes()), format!("{}\n{after}\n{}\n", alone[0], alone[1]));
    // Nothing of what follows the end is answered.
    assert_eq!(chat(format!("{second}\n/quit\n{first}\n").as_bytes()), format!("{}\n", alone[1]));
    assert_eq!(chat(b""), "");

    let path = folder.path("model/tokenizer_config.json");
    let mut config = json_of(&fs::read_to_string(&path).unwrap());
    assert!(config.as_object_mut().unwrap().remove("chat_template").is_some());
    fs::write(&path, config.to_string()).unwrap();
    assert_eq!(
        folder.fails(&format!("chat {MODEL}")),
        "error: model has no chat template: choose one with --chat-template, or continue a text with `tokensieve \
         generate --prompt`\n"
    );
}

#[test]
fn one_seed_gives_one_reply_and_one_token_to_choose_from_the_greedy_one() {
    let folder = folder();
    let reply = |rest: &str| folder.prints(&format!("generate --prompt Hi --limit 12 {MODEL}{rest}"));
    let greedy = reply("");
    for flags in [
        "--temperature 1 --top-k 1",
        "--temperature 1 --top-p 0.000001",
        "--temperature 1 --min-p 1",
        "--temperature 0.000001",
        "--top-k 7 --top-p 0.5 --min-p 0.1",
    ] {
        assert_eq!(reply(&format!(" {flags} --seed 5")), greedy, "{flags}");
    }
    let sampled = reply(" --temperature 1 --seed 7");
    assert_eq!(reply(" --temperature 1 --seed 7 --top-p 1 --min-p 0 --repetition-penalty 1"), sampled);
    assert_ne!(reply(" --temperature 1 --seed 8"), sampled);
    assert_ne!(greedy, sampled);
    let plain = replies(&folder, &[json!({ "prompt": "Hi" })], "--limit 12").remove(0);
    assert_eq!(reply(" --plain"), format!("{plain}\n"));

    for (flags, complaint) in [
        ("--temperature inf", "temperature: must be a finite number, 0 or more, not inf"),
        ("--top-p 0", "top-p: must be above 0 and at most 1, not 0"),
        ("--min-p 1.5", "min-p: must be from 0 to 1, not 1.5"),
        ("--repetition-penalty 0", "repetition-penalty: must be a finite number above 0, not 0"),
    ] {
        for verb in ["generate --prompt Hi", "chat"] {
            assert_eq!(folder.fails(&format!("{verb} {MODEL} {flags}")), format!("error: {complaint}\n"));
        }
    }
}

#[test]
fn a_file_of_replies_says_how_they_were_sampled() {
    let folder = folder();
    let flags = "--temperature 0.7 --top-k 5 --top-p 0.9 --min-p 0.05 --repetition-penalty 1.2 --stop zz";
    let words = |seed: u64, out: &str| {
        format!("generate rows.jsonl -n 3 --limit 5 {MODEL} {flags} --seed {seed} --out {out}")
    };
    let read = |name: &str| fs::read_to_string(folder.path(name)).unwrap();
    for out in ["a.jsonl", "b.jsonl"] {
        folder.prints(&words(7, out));
    }
    let replies = read("a.jsonl");
    assert_eq!((replies.lines().count(), &replies), (4, &read("b.jsonl")));
    let header = json_of(replies.lines().next().unwrap())["header"].clone();
    for (key, value) in [
        ("temperature", json!(0.7)),
        ("top_k", json!(5)),
        ("top_p", json!(0.9)),
        ("min_p", json!(0.05)),
        ("repetition_penalty", json!(1.2)),
        ("stop", json!(["zz"])),
        ("limit", json!(5)),
        ("seed", json!(7)),
    ] {
        assert_eq!(header[key], value, "{key}");
    }
    assert_eq!(
        folder.fails(&words(8, "a.jsonl")),
        "error: a.jsonl: was made with other settings:\n  seed: 7 in the file, 8 now\n--fresh starts over; another --out \
         keeps this file\n"
    );
    assert_eq!(read("a.jsonl"), replies);
    folder.prints(&format!("{} --fresh", words(8, "a.jsonl")));
    assert_ne!(read("a.jsonl"), replies);
}

/// A folder whose model has a context of 16 tokens.
fn of_a_small_context() -> Folder {
    let folder = folder();
    let config = folder.path("model/config.json");
    let mut small = json_of(&fs::read_to_string(&config).unwrap());
    small["max_position_embeddings"] = json!(16);
    fs::write(&config, small.to_string()).unwrap();
    folder
}

#[test]
fn prompts_too_long_for_the_context_are_counted() {
    let folder = of_a_small_context();
    let rows =
        [json!({"prompt": "one two three four five six seven eight nine ten"}), json!({"prompt": "one"})];
    fs::write(folder.path("p.jsonl"), rows.map(|row| row.to_string()).join("\n")).unwrap();
    let words = |n: usize| format!("generate p.jsonl -n {n} --out r.jsonl --limit 2 {MODEL}");
    let note = "p.jsonl: 1 of 2 prompts are too long for the model's context of 16 tokens\n";
    let output = folder.command(&words(2)).output().unwrap();
    assert!(output.status.success() && said(&output).contains(note), "{}", said(&output));
    // Of prompts that have their replies, nothing is said again.
    let output = folder.command(&words(2)).output().unwrap();
    assert!(output.status.success() && !said(&output).contains("too long"), "{}", said(&output));
}

/// Makes one of the model's weights NaN.
fn spoil(folder: &Folder) {
    let weights = folder.path("model/model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let end = bytes.len() - 4;
    bytes[end..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&weights, bytes).unwrap();
}

#[test]
fn a_question_whose_output_is_not_finite_is_named_with_its_task() {
    let folder = folder();
    spoil(&folder);
    for (task, after) in [("arithmetic", " after 122 tokens"), ("arithmetic-paired", "")] {
        let text = folder.fails(&format!("evaluate --suite {task} --limit 1 --out {task}.json {MODEL}"));
        let complaint = format!("error: {task}, question 52: the model's output is not finite{after}\n");
        assert!(text.contains(&complaint), "{text}");
    }
}

#[test]
fn a_row_whose_output_is_not_finite_is_named_by_its_line() {
    let folder = of_a_small_context();
    spoil(&folder);
    // The first row has no room for a reply, so that nothing is computed for it.
    let rows =
        [json!({"prompt": "one two three four five six seven eight nine ten"}), json!({"prompt": "one"})];
    fs::write(folder.path("p.jsonl"), rows.map(|row| row.to_string()).join("\n\n")).unwrap();
    let words = format!("generate p.jsonl --out r.jsonl --batch 1 {MODEL}");
    // The second time it is the only one that is left.
    for left in ["", "1 replies are in the file already, 1 are left\n"] {
        let text = folder.fails(&words);
        assert!(text.contains(left), "{text}");
        assert!(text.contains("error: p.jsonl:3: the model's output is not finite after "), "{text}");
    }
}

/// A tokenizer of words whose decoder drops the blank at the beginning of a text, as those of `SentencePiece` do.
#[test]
fn a_text_is_continued_with_the_blank_between_the_words() {
    let folder = folder();
    let vocab: serde_json::Map<_, _> = (0..420).map(|id| (format!("▁w{id}"), json!(id))).collect();
    let metaspace =
        json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true});
    let tokenizer = json!({
        "pre_tokenizer": metaspace, "decoder": metaspace,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "▁w0"},
    });
    let config = json!({"chat_template": "{% for message in messages %}{{ message.content }} {% endfor %}"});
    for (file, content) in [("tokenizer.json", tokenizer), ("tokenizer_config.json", config)] {
        fs::write(folder.path("model").join(file), content.to_string()).unwrap();
    }
    fs::remove_file(folder.path("model/generation_config.json")).unwrap();
    let printed = |flag: &str| {
        let mut command = folder.command(&format!("generate --limit 2 {MODEL} --prompt w7{flag}"));
        printed(&mut command)
    };
    assert!(printed(" --plain").starts_with(" w"), "{:?}", printed(" --plain"));
    assert!(printed("").starts_with('w'), "{:?}", printed(""));
    let conversation = json!({"messages": [{"role": "user", "content": "w7"}]});
    let texts = replies(&folder, &[json!({"prompt": "w7"}), conversation], "--limit 2");
    assert!(texts[0].starts_with(" w") && texts[1].starts_with('w'), "{texts:?}");
}

#[test]
fn questions_too_long_for_the_context_are_counted() {
    let folder = of_a_small_context();
    let suite = format!("evaluate --suite arithmetic,arithmetic-paired --limit 2 --out e.json {MODEL}");
    let output = folder.command(&suite).output().unwrap();
    for task in ["arithmetic", "arithmetic-paired"] {
        let note = format!("{task}: 2 of 2 questions are too long for the model's context of 16 tokens\n");
        assert!(output.status.success() && said(&output).contains(&note), "{}", said(&output));
    }
}

/// The folder of the libtorch that this test itself has loaded.
fn libtorch() -> PathBuf {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let path = maps.lines().find(|line| line.ends_with("/libtorch_cpu.so")).unwrap();
    Path::new(&path[path.find('/').unwrap()..]).parent().unwrap().to_owned()
}

/// Moved to another place, and without what it was made from.
#[test]
fn a_bundle_trains_by_itself() {
    let folder = folder();
    assert_eq!(folder.prints("bundle bundle --config run.toml"), "bundle: ./run.sh train train.toml\n");
    assert_eq!(
        folder.fails("bundle bundle --config run.toml"),
        "error: bundle: is not empty; name a new folder\n"
    );
    folder.prints("train run.toml");
    let moved = tempfile::tempdir_in(folder.root()).unwrap();
    let moved = moved.path().join("moved");
    fs::rename(folder.path("bundle"), &moved).unwrap();
    fs::remove_dir_all(folder.path("model")).unwrap();
    for name in ["rows.jsonl", "run.toml"] {
        fs::remove_file(folder.path(name)).unwrap();
    }
    let run = |arguments: &[&str]| {
        let mut command = Command::new(moved.join("run.sh"));
        command.args(arguments).current_dir("/").env("TORCH_LIB", libtorch());
        printed(command.env("OMP_NUM_THREADS", "1").env("OMP_WAIT_POLICY", "passive"))
    };
    assert_eq!(run(&["--version"]), folder.prints("--version"));
    assert!(run(&["train", "train.toml"]).starts_with("all 2 steps done\n"));
    for file in ["metrics.jsonl", "adapter/adapter_model.safetensors"] {
        let [here, there] = [folder.path("out"), moved.join("out")].map(|out| fs::read(out.join(file)));
        assert!(here.unwrap() == there.unwrap(), "{file} differs");
    }
}

/// The script of bundles and releases with a program that prints what it is started with.
struct Script(tempfile::TempDir);

impl Script {
    fn new() -> Self {
        let script = Self(tempfile::tempdir().unwrap());
        let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/run.sh");
        fs::copy(run, script.path("run.sh")).unwrap();
        fs::write(script.path("train.toml"), "").unwrap();
        // Where C++'s libraries are OLD, it starts with those of the bundle alone.
        let program = "#!/bin/sh\n\
            case $1$LD_LIBRARY_PATH in --version*/lib) ;; --version*) [ -z \"${OLD:-}\" ] || exit 1 ;; esac\n\
            echo \"$LD_LIBRARY_PATH $TOKENSIEVE_CACHE $TOKENSIEVE_MIRROR $PWD $*\"\n";
        fs::write(script.path("program"), program).unwrap();
        // Not a copy by this process: while it writes, another thread's child may hold the file, which is busy then.
        let install = ["-D", "-m", "755", "program", "lib/tokensieve"];
        let installed = Command::new("install").args(install).current_dir(script.0.path()).status();
        assert!(installed.unwrap().success());
        script
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().canonicalize().unwrap().join(name)
    }

    fn command(&self, variables: &[(&str, &Path)]) -> Command {
        Self::command_by(&self.path("run.sh"), variables)
    }

    /// By the script itself, or a link to it.
    fn command_by(script: &Path, variables: &[(&str, &Path)]) -> Command {
        let mut command = Command::new("sh");
        command.arg(script).args(["train", "train.toml"]).current_dir("/");
        for variable in ["LD_LIBRARY_PATH", "TOKENSIEVE_CACHE", "TOKENSIEVE_MIRROR", "TORCH_LIB", "PYTHON"] {
            command.env_remove(variable);
        }
        command.envs(variables.iter().copied());
        command
    }

    /// What the program prints if it is started with these libraries.
    fn started_with(&self, libraries: &str) -> String {
        let here = self.path("");
        let here = here.to_str().unwrap().trim_end_matches('/');
        format!("{libraries} {here} none {here} train train.toml\n")
    }
}

#[test]
fn the_script_of_a_bundle_starts_the_program_with_the_libraries_that_fit() {
    let script = Script::new();
    let torch = ("TORCH_LIB", Path::new("/torch"));
    assert_eq!(printed(&mut script.command(&[torch])), script.started_with("/torch"));
    let own = [torch, ("LD_LIBRARY_PATH", Path::new("/own"))];
    assert_eq!(printed(&mut script.command(&own)), script.started_with("/torch:/own"));
    let old = [torch, ("OLD", Path::new("yes"))];
    let both = format!("/torch:{}", script.path("lib").display());
    assert_eq!(printed(&mut script.command(&old)), script.started_with(&both));
    let elsewhere =
        [torch, ("TOKENSIEVE_CACHE", Path::new("/cache")), ("TOKENSIEVE_MIRROR", Path::new("/mirror"))];
    let started = printed(&mut script.command(&elsewhere));
    assert!(started.starts_with("/torch /cache /mirror "), "{started}");
    assert_eq!(
        failure(&mut script.command(&[("PYTHON", Path::new("false"))])),
        "error: false has no torch; pip install torch==2.11.0, or name another Python in PYTHON\n"
    );
}

#[test]
fn the_script_of_a_release_leaves_folder_and_cache_to_the_user() {
    let script = Script::new();
    fs::remove_file(script.path("train.toml")).unwrap();
    let link = script.path("site/a link");
    fs::create_dir(script.path("site")).unwrap();
    symlink(script.path("run.sh"), &link).unwrap();
    let variables = [("TORCH_LIB", Path::new("/torch")), ("TOKENSIEVE_CACHE", Path::new("/cache"))];
    let mut command = Script::command_by(&link, &variables);
    assert_eq!(printed(command.current_dir("/usr")), "/torch /cache  /usr train train.toml\n");
}

#[test]
fn the_script_of_a_bundle_finds_torch_without_importing_it() {
    if !Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return skipped("there is no python3");
    }
    let script = Script::new();
    let torch = script.path("site/torch");
    fs::create_dir_all(&torch).unwrap();
    fs::write(torch.join("__init__.py"), "raise ImportError\n").unwrap();
    symlink(libtorch(), torch.join("lib")).unwrap();
    let site = script.path("site");
    let found = [("PYTHONPATH", site.as_path())];
    let version = |version: &str| {
        fs::write(torch.join("version.py"), format!("debug = False\n__version__ = '{version}'\n")).unwrap();
    };
    version("2.11.0+cpu");
    let libraries = format!("{}/lib", torch.display());
    assert_eq!(printed(&mut script.command(&found)), script.started_with(&libraries));
    version("2.10.0");
    assert_eq!(
        failure(&mut script.command(&found)),
        format!("error: torch in {} is 2.10.0; tokensieve needs 2.11.0\n", torch.display())
    );
}

#[test]
fn doctor_names_libtorch_and_what_computes() {
    let folder = folder();
    let mut command = folder.command("doctor");
    let printed = printed(command.env("OMP_NUM_THREADS", "2").env("CUDA_VISIBLE_DEVICES", ""));
    let lines: Vec<(&str, &str)> = printed
        .lines()
        .map(|line| (line[..22].trim_end(), line[22..].trim_start()))
        .filter(|(label, _)| *label != "GPU")
        .collect();
    let labels: Vec<&str> = lines.iter().map(|(label, _)| *label).collect();
    let expected = [
        "tokensieve",
        "torch",
        "CUDA library",
        "device",
        "back end",
        "threads per operator",
        "f32 matmul",
        "bf16 matmul",
        "memory, read",
        "memory, copied",
    ];
    assert_eq!(labels, expected, "{printed}");
    let value = |label: &str| lines.iter().find(|(one, _)| *one == label).unwrap().1;
    assert_eq!(value("tokensieve"), env!("CARGO_PKG_VERSION"));
    assert!(value("torch").starts_with("2.11.0"), "{printed}");
    assert!(value("torch").ends_with(&format!(" in {}", libtorch().display())), "{printed}");
    assert_eq!((value("device"), value("threads per operator")), ("Cpu (0 CUDA devices)", "2"));
    assert!(value("back end").contains(" (auto computes in "), "{printed}");
    for (label, unit) in [
        ("f32 matmul", " GFLOP/s"),
        ("bf16 matmul", " GFLOP/s"),
        ("memory, read", " GB/s"),
        ("memory, copied", " GB/s"),
    ] {
        let number = value(label).strip_suffix(unit).unwrap();
        assert!(number.parse::<u64>().is_ok(), "{label}: {number}");
    }
}

/// The table of `show --uncertainty`, from the lines of a file of estimates.
fn table(estimates: &str, keep: f64) -> String {
    let records: Vec<Value> = estimates.lines().skip(1).map(json_of).collect();
    let tokens = |record: &Value| record["tokens"].as_array().unwrap().clone();
    let number = |token: &Value, key: &str| token[key].as_f64().unwrap() as f32;
    let predicted = |token: &Value| token["response"] == true;
    let mut losses: Vec<f32> =
        records.iter().flat_map(tokens).filter(predicted).map(|token| number(&token, "loss")).collect();
    losses.sort_by(|a, b| b.total_cmp(a));
    let left_out = (losses.len() as f64 * (100.0 - keep) / 100.0).round() as usize;
    let least = losses[losses.len() - left_out - 1];
    let mut table = "row\tposition\ttext\tepistemic\taleatoric\ttotal\tloss\tentropy\tselected\n".to_owned();
    for record in &records {
        for (position, token) in tokens(record).iter().enumerate().filter(|(_, token)| predicted(token)) {
            let text = token["text"].as_str().unwrap();
            let _ = write!(table, "{}\t{position}\t{text:?}", record["row"]);
            for key in ["epistemic", "aleatoric", "total", "loss", "entropy"] {
                let _ = write!(table, "\t{:.4}", number(token, key));
            }
            let _ = writeln!(table, "\t{}", u8::from(number(token, "loss") >= least));
        }
    }
    table
}

#[test]
fn uncertainty_is_shown_from_a_file_and_computed_alike() {
    let folder = folder();
    folder.prints(&format!("uncertainty rows.jsonl -n 2 --passes 3 {MODEL} --out estimates.jsonl"));
    let estimates = fs::read_to_string(folder.path("estimates.jsonl")).unwrap();
    let shown = folder.prints("show --uncertainty estimates.jsonl -n 2");
    assert!(shown.lines().count() > 8, "{shown}");
    assert_eq!(shown, table(&estimates, 25.0));
    assert_eq!(
        folder.prints("show --uncertainty estimates.jsonl -n 2 --by selected --keep 50"),
        table(&estimates, 50.0)
    );
    let first: String = estimates.split_inclusive('\n').take(2).collect();
    assert_eq!(folder.prints("show --uncertainty estimates.jsonl -n 1"), table(&first, 25.0));
    assert_eq!(folder.prints(&format!("show rows.jsonl -n 2 --uncertainty --passes 3 {MODEL}")), shown);
}
