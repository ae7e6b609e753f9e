//! Writes a checkpoint as a Hugging Face folder that `transformers` loads.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use tch::{Kind, Tensor};

use tokensieve_base::files::write_atomically;

use crate::adapter::is_of_adapter;
use crate::modules::{HEAD, shapes};
use crate::text::{self, BuiltTokenizer, Tokenizer, TokenizerSource};
use crate::weights::safetensors::{INDEX, OTHERS_TOKENIZER, TEXT_FILES, WHOLE};
use crate::weights::save::{Planned, save_lazily};
use crate::weights::{Checkpoint, entries, new_folder};
use crate::{Error, Result};

/// Whether a file of this name holds an exported model's weights, or says which files do.
pub fn is_of_weights(name: &str) -> bool {
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let shard =
        name.strip_prefix("model-").and_then(|rest| rest.strip_suffix(".safetensors")?.split_once("-of-"));
    name == WHOLE || name == INDEX || shard.is_some_and(|(which, of)| is_number(which) && is_number(of))
}

/// The files in a folder that are an exported model's: its weights, its configuration and its texts.
pub fn of_model(folder: &Path) -> Result<Vec<PathBuf>> {
    let is_of_model = |name: &str| {
        is_of_weights(name) || [CONFIG, OTHERS_TOKENIZER].contains(&name) || TEXT_FILES.contains(&name)
    };
    let mut files = named(folder, is_of_model)?;
    files.extend(text::further(folder)?.into_iter().map(|name| folder.join(name)));
    Ok(files)
}

/// The files in a folder that are an exported model's or an adapter's.
pub fn exported(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = named(folder, is_of_adapter)?;
    files.extend(of_model(folder)?);
    Ok(files)
}

fn named(folder: &Path, is_it: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let mut paths = entries(folder)?;
    paths.retain(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(&is_it));
    Ok(paths)
}

/// Maximum size of a file of weights, as in `transformers`.
const SHARD: usize = 5_000_000_000;

/// The model's configuration.
const CONFIG: &str = "config.json";

/// How replies are generated, and at which tokens they end.
const GENERATION: &str = "generation_config.json";
const EOS: &str = "eos_token_id";

/// Writes the checkpoint with its own weights as type `kind`. NaN and infinite weights are an error.
pub fn convert(checkpoint: &Checkpoint, folder: &Path, kind: Kind) -> Result<()> {
    export(checkpoint, folder, kind, |name| {
        finite(checkpoint, name, checkpoint.tensor(name, kind)?, kind, "converted")
    })
}

/// A tensor that is to be stored as `kind`, unless NaN or infinite values would be. The error says what was done to it.
pub(crate) fn finite(
    checkpoint: &Checkpoint,
    name: &str,
    tensor: Tensor,
    kind: Kind,
    done: &str,
) -> Result<Tensor> {
    // As it will be stored: f16 has no room for large numbers.
    if tensor.to_kind(kind).isfinite().all().int64_value(&[]) == 0 {
        let what = format!("{name} contains NaN or infinite values, once {done} and stored");
        return Err(Error::file(checkpoint.source(), what));
    }
    Ok(tensor)
}

/// Writes the checkpoint with weights of type `kind`. `tensor` returns the values by name, one tensor at a time: the
/// checkpoint's own, or others of the same shape. Tensors that are not floating-point are not weights and are copied.
pub fn export(
    checkpoint: &Checkpoint,
    folder: &Path,
    kind: Kind,
    tensor: impl FnMut(&str) -> Result<Tensor>,
) -> Result<()> {
    checkpoint.check_tied()?;
    for (name, shape) in shapes(checkpoint.config()) {
        checkpoint.require_shape(&name, &shape)?;
    }
    new_folder(folder, |folder| fill(checkpoint, folder, kind, SHARD, tensor))
}

/// Fills a folder with shards of at most `limit` bytes and everything beside the weights.
fn fill(
    checkpoint: &Checkpoint,
    folder: &Path,
    kind: Kind,
    limit: usize,
    mut tensor: impl FnMut(&str) -> Result<Tensor>,
) -> Result<()> {
    let names = checkpoint.names();
    // The output matrix of a tied model would be a second copy of the embedding.
    let names = names.iter().filter(|name| !(checkpoint.config().tied && *name == HEAD));
    let plan: Vec<Planned> = names
        .map(|name| {
            let shape = checkpoint.shape(name).expect("its own name");
            Planned { name, shape, kind: checkpoint.kind_when_written(name, kind) }
        })
        .collect();
    let shards = shards(plan, limit);
    let file = |i: usize| match shards.len() {
        1 => WHOLE.to_owned(),
        n => format!("model-{:05}-of-{n:05}.safetensors", i + 1),
    };
    for (i, shard) in shards.iter().enumerate() {
        save_lazily(&folder.join(file(i)), shard, &[("format", "pt")], |i| {
            let Planned { name, kind: planned, .. } = shard[i];
            if planned == kind { Ok(tensor(name)?.to_kind(kind)) } else { checkpoint.tensor(name, planned) }
        })?;
    }
    if shards.len() > 1 {
        let places =
            shards.iter().enumerate().flat_map(|(i, shard)| shard.iter().map(move |tensor| (i, tensor)));
        let map: Map<String, Value> =
            places.map(|(i, tensor)| (tensor.name.to_owned(), json!(file(i)))).collect();
        let total: usize = shards.iter().flatten().map(Planned::bytes).sum();
        write_json(&folder.join(INDEX), &json!({"metadata": {"total_size": total}, "weight_map": map}))?;
    }
    copy_or_write_config(checkpoint, folder, kind)?;
    checkpoint.write_template(folder)
}

fn shards(plan: Vec<Planned>, limit: usize) -> Vec<Vec<Planned>> {
    let mut shards = vec![Vec::new()];
    let mut filled = 0;
    for tensor in plan {
        if filled > 0 && filled + tensor.bytes() > limit {
            shards.push(Vec::new());
            filled = 0;
        }
        filled += tensor.bytes();
        shards.last_mut().expect("one at least").push(tensor);
    }
    shards
}

fn copy_or_write_config(checkpoint: &Checkpoint, folder: &Path, kind: Kind) -> Result<()> {
    let path = folder.join(CONFIG);
    let dtype = match kind {
        Kind::BFloat16 => "bfloat16",
        Kind::Half => "float16",
        _ => "float32",
    };
    match checkpoint.tokenizer_source()? {
        TokenizerSource::Folder(source) => {
            let from = source.join(CONFIG);
            let text = fs::read_to_string(&from).map_err(Error::io(&from))?;
            let mut config: Map<String, Value> =
                serde_json::from_str(&text).map_err(|error| Error::file(&from, error))?;
            // Newer versions of transformers write `dtype`, older ones `torch_dtype`.
            let key = if config.contains_key("dtype") { "dtype" } else { "torch_dtype" };
            config.insert(key.to_owned(), json!(dtype));
            write_json(&path, &Value::Object(config))?;
            let copied = TEXT_FILES.into_iter().chain([OTHERS_TOKENIZER]);
            for name in copied.filter(|name| source.join(name).is_file()) {
                let to = folder.join(name);
                fs::copy(source.join(name), &to).map_err(Error::io(&to))?;
            }
            // A template of one's own may end turns with another token than the model's, and writes all conversations.
            if checkpoint.template().is_some() {
                end_with(checkpoint, &folder.join(GENERATION))
            } else {
                copy_further_templates(&source, folder)
            }
        }
        TokenizerSource::Built(text) => {
            let mut config = checkpoint.config().to_json(&path)?;
            config.insert("torch_dtype".to_owned(), json!(dtype));
            let ids = ids(&text, &checkpoint.config().family);
            config.extend(ids.clone());
            write_json(&path, &Value::Object(config))?;
            write_json(&folder.join(GENERATION), &Value::Object(ids))?;
            end_with(checkpoint, &folder.join(GENERATION))?;
            write_tokenizer(&text, folder, checkpoint.config().max_positions)
        }
    }
}

fn copy_further_templates(source: &Path, folder: &Path) -> Result<()> {
    for path in text::further(source)? {
        let to = folder.join(&path);
        let made = fs::create_dir_all(to.parent().unwrap_or(folder));
        made.and_then(|()| fs::copy(source.join(&path), &to)).map_err(Error::io(&to))?;
    }
    Ok(())
}

/// Adds to a `generation_config.json` the tokens at which replies end here, so that they end in other programs, too.
fn end_with(checkpoint: &Checkpoint, path: &Path) -> Result<()> {
    let mut settings: Map<String, Value> = match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| Error::file(path, error))?,
        Err(_) => Map::new(),
    };
    let tokenizer = Tokenizer::open(checkpoint)?;
    let own = settings.get(EOS);
    let is_known = |id: &u32| {
        own.is_some_and(|own| *own == json!(id) || own.as_array().is_some_and(|own| own.contains(&json!(id))))
    };
    if tokenizer.eos().iter().all(is_known) {
        return Ok(());
    }
    let ids = match tokenizer.eos() {
        [id] => json!(id),
        ids => json!(ids),
    };
    settings.insert(EOS.to_owned(), ids);
    write_json(path, &Value::Object(settings))
}

/// `bos_token_id` and the like.
fn ids(text: &BuiltTokenizer, family: &str) -> Map<String, Value> {
    let tokens = [("bos_token_id", &text.bos), (EOS, &text.eos), ("pad_token_id", &text.pad)];
    let id = |token: &String| text.tokenizer.token_to_id(token);
    let known =
        tokens.into_iter().filter_map(|(key, token)| Some((key.to_owned(), json!(id(token.as_ref()?)?))));
    let mut ids: Map<String, Value> = known.collect();
    if family == "phi3" {
        // Without the key, transformers takes token 32,000, which a small vocabulary does not have.
        ids.entry("pad_token_id").or_insert(Value::Null);
    }
    ids
}

fn write_tokenizer(text: &BuiltTokenizer, folder: &Path, max_length: i64) -> Result<()> {
    let path = folder.join("tokenizer.json");
    let json = text.tokenizer.to_string(false).map_err(|error| Error::file(&path, error))?;
    write_atomically(&path, json)?;
    let mut config = Map::new();
    let tokens = [
        ("bos_token", &text.bos),
        ("eos_token", &text.eos),
        ("unk_token", &text.unk),
        ("pad_token", &text.pad),
    ];
    config
        .extend(tokens.into_iter().filter_map(|(key, token)| Some((key.to_owned(), json!(token.as_ref()?)))));
    if let Some(default) = &text.chat_template {
        let templates = match &text.tool_use {
            Some(tool_use) => {
                let named = |name: &str, template: &str| json!({"name": name, "template": template});
                json!([named("default", default), named("tool_use", tool_use)])
            }
            None => json!(default),
        };
        config.insert("chat_template".to_owned(), templates);
    }
    config.insert("add_bos_token".to_owned(), json!(text.add_bos));
    config.insert("add_eos_token".to_owned(), json!(text.add_eos));
    config.insert("clean_up_tokenization_spaces".to_owned(), json!(false));
    config.insert("model_max_length".to_owned(), json!(max_length));
    config.insert("tokenizer_class".to_owned(), json!("PreTrainedTokenizerFast"));
    write_json(&folder.join("tokenizer_config.json"), &Value::Object(config))
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    Ok(write_atomically(path, format!("{value:#}\n"))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::characters::characters;
    use crate::weights::DEFAULT;

    #[test]
    fn shards_hold_what_fits_and_one_tensor_at_least() {
        let tensor = |name, n| Planned { name, shape: vec![n], kind: Kind::Float };
        let plan = vec![tensor("a", 2), tensor("b", 2), tensor("c", 100), tensor("d", 1)];
        let names =
            |shard: Vec<Planned>| shard.iter().map(|tensor| tensor.name.to_owned()).collect::<String>();
        let found: Vec<String> = shards(plan, 16).into_iter().map(names).collect();
        assert_eq!(found, ["ab", "c", "d"]);
    }

    #[test]
    fn replies_end_in_other_programs_where_they_end_here() {
        let folder = tempfile::tempdir().unwrap();
        let (template, path) = (folder.path().join("chat.jinja"), folder.path().join(GENERATION));
        // SmolLM2's own ends a turn with its end-of-text token, 2.
        let source = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|endoftext|>{% endfor %}\
                      {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
        fs::write(&template, source).unwrap();
        for (template, before, after) in [
            (None, json!({EOS: 2, "top_k": 5}), json!({EOS: 2, "top_k": 5})),
            (Some(&template), json!({EOS: 2, "top_k": 5}), json!({EOS: [2, 0], "top_k": 5})),
            (Some(&template), json!({EOS: [0, 2, 7]}), json!({EOS: [0, 2, 7]})),
        ] {
            let template = template.map(|path| path.to_str().unwrap().parse().unwrap());
            let checkpoint = Checkpoint::open_with(DEFAULT, template).unwrap();
            write_json(&path, &before).unwrap();
            end_with(&checkpoint, &path).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{after:#}\n"));
        }
    }

    #[test]
    fn a_padding_token_is_named_where_transformers_would_take_another() {
        let mut text = characters("ab", None).unwrap();
        let end = json!(text.tokenizer.token_to_id(text.pad.as_ref().unwrap()));
        assert_eq!(ids(&text, "phi3")["pad_token_id"], end);
        text.pad = None;
        assert_eq!(ids(&text, "phi3").get("pad_token_id"), Some(&Value::Null));
        assert_eq!(ids(&text, "llama").get("pad_token_id"), None);
    }

    #[test]
    fn both_templates_of_a_file_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut text = characters("ab", None).unwrap();
        text.chat_template = Some("D".to_owned());
        let written = |text: &BuiltTokenizer| {
            write_tokenizer(text, folder.path(), 8).unwrap();
            let config = fs::read_to_string(folder.path().join("tokenizer_config.json")).unwrap();
            serde_json::from_str::<Value>(&config).unwrap()["chat_template"].take()
        };
        assert_eq!(written(&text), "D");
        text.tool_use = Some("T".to_owned());
        let both = json!([{"name": "default", "template": "D"}, {"name": "tool_use", "template": "T"}]);
        assert_eq!(written(&text), both);
    }

    #[test]
    fn a_folders_templates_are_copied() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/gguf/gemma2");
        let [source, folder] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        for name in ["config.json", WHOLE] {
            fs::copy(fixture.join(name), source.path().join(name)).unwrap();
        }
        let templates = [
            "chat_template.json",
            "chat_template.jinja",
            "additional_chat_templates/tool_use.jinja",
            "additional_chat_templates/rag.jinja",
        ];
        fs::create_dir(source.path().join("additional_chat_templates")).unwrap();
        for name in templates {
            fs::write(source.path().join(name), name).unwrap();
        }
        let checkpoint = Checkpoint::open(source.path().to_str().unwrap()).unwrap();
        let kind = Kind::BFloat16;
        export(&checkpoint, folder.path(), kind, |name| checkpoint.tensor(name, kind)).unwrap();
        for name in templates {
            assert_eq!(fs::read_to_string(folder.path().join(name)).unwrap(), name);
        }
    }

    #[test]
    fn beside_a_template_of_ones_own_no_other_one_counts() {
        let folder = tempfile::tempdir().unwrap();
        let [source, to] = ["source", "to"].map(|name| folder.path().join(name));
        let plain = Some("plain".parse().unwrap());
        let kind = Kind::BFloat16;
        let checkpoint = Checkpoint::open(DEFAULT).unwrap();
        export(&checkpoint, &source, kind, |name| checkpoint.tensor(name, kind)).unwrap();
        let tool_use = source.join("additional_chat_templates/tool_use.jinja");
        fs::create_dir(tool_use.parent().unwrap()).unwrap();
        fs::write(tool_use, "of the model").unwrap();
        let checkpoint = Checkpoint::open_with(source.to_str().unwrap(), plain).unwrap();
        export(&checkpoint, &to, kind, |name| checkpoint.tensor(name, kind)).unwrap();
        assert!(to.join("chat_template.jinja").is_file() && !to.join("additional_chat_templates").exists());
    }

    #[test]
    fn a_model_that_does_not_fit_its_configuration_is_not_written() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/gguf/gemma2");
        let [source, parent] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        fs::copy(fixture.join(WHOLE), source.path().join(WHOLE)).unwrap();
        let config = fs::read_to_string(fixture.join(CONFIG)).unwrap();
        let mut config: Map<String, Value> = serde_json::from_str(&config).unwrap();
        config["intermediate_size"] = json!(config["intermediate_size"].as_u64().unwrap() + 1);
        write_json(&source.path().join(CONFIG), &Value::Object(config)).unwrap();
        let checkpoint = Checkpoint::open(source.path().to_str().unwrap()).unwrap();
        let to = parent.path().join("to");
        let error = convert(&checkpoint, &to, Kind::BFloat16).unwrap_err().to_string();
        assert!(error.contains("mlp.gate_proj.weight has the shape") && !to.exists(), "{error}");
    }

    #[test]
    fn a_checkpoint_in_shards_is_read_again() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/gguf/gemma2");
        let checkpoint = Checkpoint::open(source.to_str().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let kind = Kind::Float;
        fill(&checkpoint, folder.path(), kind, 8192, |name| checkpoint.tensor(name, kind)).unwrap();
        let index = fs::read_to_string(folder.path().join(INDEX)).unwrap();
        assert!(index.contains("model-00001-of-"), "{index}");
        let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut others: Vec<_> = names.filter(|name| !is_of_weights(name.to_str().unwrap())).collect();
        others.sort();
        assert_eq!(others[0], "config.json");
        assert!(others.iter().all(|name| !name.to_str().unwrap().contains("safetensors")), "{others:?}");
        let read = Checkpoint::open(folder.path().to_str().unwrap()).unwrap();
        assert_eq!(read.names(), checkpoint.names());
        assert_eq!(read.config(), checkpoint.config());
        for name in checkpoint.names() {
            assert_eq!(read.tensor(&name, kind).unwrap(), checkpoint.tensor(&name, kind).unwrap(), "{name}");
        }
        let again =
            export(&checkpoint, folder.path(), kind, |name| checkpoint.tensor(name, kind)).unwrap_err();
        assert!(again.to_string().contains("not empty"), "{again}");
    }

    #[test]
    fn an_export_that_fails_can_be_made_again() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/gguf/gemma2");
        let checkpoint = Checkpoint::open(source.to_str().unwrap()).unwrap();
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("out");
        let kind = Kind::Float;
        let mut left = 2;
        let tensor = |name: &str| {
            left -= 1;
            if left < 0 { Err(Error::Run("no".into())) } else { checkpoint.tensor(name, kind) }
        };
        let failed = new_folder(&folder, |folder| fill(&checkpoint, folder, kind, 8192, tensor));
        assert_eq!(failed.unwrap_err().to_string(), "no");
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
        export(&checkpoint, &folder, kind, |name| checkpoint.tensor(name, kind)).unwrap();
        assert!(folder.join(CONFIG).is_file() && folder.join(WHOLE).is_file());
    }
}
