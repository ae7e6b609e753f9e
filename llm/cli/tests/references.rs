//! References that are not what the configuration says or hold less than the objective reads, and data from which the
//! model cannot learn to stop: what real runs of a tiny model say and refuse.
//!
//! Needs libtorch; makes its own models and data in temporary folders. `cargo test -p tokensieve-cli --test references`.

#[path = "../../tests/bench/mod.rs"]
mod bench;

use std::fs;
use std::path::Path;

use bench::{Folder, model, said, sums};

const RUN: &str = "[model]\nsource = \"model\"\ndtype = \"f32\"\ndevice = \"cpu\"\n[data]\ntrain = \"rows.jsonl\"\n\
                   [train]\nsteps = 1\nbatch_size = 4\n";

const FULL: &str = "--set train.full=true --set train.optimizer=sgd";

fn folder() -> Folder {
    Folder::new(&sums(6), RUN)
}

/// What a run says that ends well.
fn says(folder: &Folder, words: &str) -> String {
    let output = folder.command(words).output().unwrap();
    assert!(output.status.success(), "{words}\n{}", said(&output));
    said(&output)
}

/// Sets a key of a JSON file.
fn set(path: &Path, key: &str, value: impl Into<serde_json::Value>) {
    let mut file: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    file[key] = value.into();
    fs::write(path, file.to_string()).unwrap();
}

#[test]
fn the_base_is_the_trained_model_without_an_adapter() {
    let folder = folder();
    says(&folder, "train run.toml --out mle");
    says(&folder, "topk run.toml base.safetensors");
    says(&folder, "topk run.toml adapter.safetensors --adapter mle/adapter");
    let asft = "--set objective=asft --set objective.top_k=20";
    let by =
        |file: &str| format!("train run.toml --out {file} {asft} --set reference.topk={file}.safetensors");
    for full in ["", FULL] {
        let words = |file| format!("{} {full}", by(file)).trim_end().to_owned();
        let error = folder.fails(&words("adapter"));
        let wanted =
            "--set reference.topk: holds predictions of an adapter on model.source, but `against = \"base\"`";
        assert!(error.contains(wanted), "{error}");
    }
    assert!(!says(&folder, &by("base")).contains("warning"));

    model(&folder.path("other"));
    let full = |model: &str| format!("train run.toml --out full {asft} {FULL} --set reference.model={model}");
    says(&folder, &full("other"));
    set(&folder.path("other/config.json"), "rope_theta", 500.0);
    let error = folder.fails(&format!("{} --fresh", full("other")));
    assert!(error.contains("--set reference.model: is another model than model.source, but"), "{error}");
}

#[test]
fn a_reference_model_has_room_for_every_document() {
    let folder = folder();
    model(&folder.path("other"));
    set(&folder.path("other/config.json"), "max_position_embeddings", 20);
    let distill = "train run.toml --out out --set objective=distill --set reference.model=other";
    let what = "has a context of 20 tokens, but row ";
    let error = folder.fails(distill);
    assert!(error.contains(&format!("--set reference.model: {what}")), "{error}");
    assert!(error.contains("; set data.max_length = 20, and data.truncate = \"end\""), "{error}");
    let error = folder.fails("topk run.toml top.safetensors --model other");
    assert!(error.contains(&format!("--model: {what}")), "{error}");
}

#[test]
fn a_narrow_file_says_how_much_of_the_prediction_it_holds() {
    let folder = folder();
    says(&folder, "topk run.toml top.safetensors");
    let run = |objective: &str| {
        let words = format!("train run.toml --out {objective} --set objective={objective}");
        says(&folder, &format!("{words} --set reference.topk=top.safetensors"))
    };
    let said = run("distill");
    assert!(
        said.contains("warning: reference.topk: the objective reads the whole prediction, of which"),
        "{said}"
    );
    assert!(said.contains("holds the 20 most probable tokens, "), "{said}");
    assert!(!run("rho").contains("warning"));
}

/// It writes the last question and its answer alone.
const FORGETS: &str = "{% for m in messages[(messages|length - 1) // 2 * 2:] %}<|im_start|>{{ m.role }}\n\
    {{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

#[test]
fn of_a_row_that_loses_a_document_the_others_keep_their_reference() {
    let question = "Why? ".repeat(40);
    let turn = |role: &str, content: &str| format!(r#"{{"role": "{role}", "content": "{content}"}}"#);
    let long = [turn("user", &question), turn("assistant", "A")];
    let short = ["B", "C"].map(|answer| [turn("user", "Q"), turn("assistant", answer)]);
    let turns = [&long[..], &short[0], &short[1]].concat().join(", ");
    let folder = Folder::new(&format!("{{\"messages\": [{turns}]}}\n"), RUN);
    fs::write(folder.path("forgets.jinja"), FORGETS).unwrap();
    let data = "--set model.chat_template=forgets.jinja --set data.max_length=40 --set data.truncate=end";
    says(&folder, &format!("topk run.toml top.safetensors {data}"));
    let distill = "--set objective=distill --set reference.topk=top.safetensors";
    let said = says(&folder, &format!("train run.toml --out out {data} {distill}"));
    assert!(said.contains("2 documents"), "{said}");
}

#[test]
fn data_without_an_end_of_a_reply_are_said() {
    let folder = folder();
    let ends = "warning: no trained token ends a reply, so that the model does not learn to stop: ";
    let run = |out: &str, set: &str| {
        let words = format!("train run.toml --out {out} {set}");
        let said = says(&folder, words.trim_end());
        said.lines().find_map(|line| line.strip_prefix(ends)).map(str::to_owned)
    };
    assert_eq!(run("whole", ""), None);
    let cut = run("cut", "--set data.max_length=20 --set data.truncate=end").unwrap();
    assert!(cut.starts_with("all documents are cut before <|im_end|>"), "{cut}");
    let open = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}\
                {% if add_generation_prompt %}assistant: {% endif %}";
    fs::write(folder.path("open.jinja"), open).unwrap();
    let open = run("open", "--set model.chat_template=open.jinja").unwrap();
    assert!(
        open.starts_with("<|im_end|>") && open.ends_with("follows no answer, or has the weight 0 there"),
        "{open}"
    );
}
