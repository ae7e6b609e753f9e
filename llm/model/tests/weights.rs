//! Checkpoints and what is read from them, against the public Python packages' results (tests/fixtures/gguf.py).
//! Needs libtorch and the default model (98 MB, fetched once).
// What is written must be read again to the last bit.
#![allow(clippy::float_cmp)]

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde::Deserialize;
use tch::{Kind, Tensor};
use tokensieve_model::config::{Config, RopeScaling};
use tokensieve_model::export;
use tokensieve_model::text::{BuiltTokenizer, TokenizerSource, from_gguf};
use tokensieve_model::weights::gguf::{Gguf, Value};
use tokensieve_model::weights::{Checkpoint, DEFAULT};

const FAMILIES: [&str; 6] = ["llama", "gemma", "gemma2", "phi3", "qwen2", "qwen3"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/gguf").join(name)
}

fn open(name: &str) -> Checkpoint {
    Checkpoint::open(fixture(name).to_str().unwrap()).unwrap()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    Vec::<f32>::try_from(tensor.reshape([-1])).unwrap().into_iter().map(f32::to_bits).collect()
}

#[test]
fn every_format_is_dequantised_to_the_bit() {
    let gguf = Gguf::open(fixture("formats.gguf")).unwrap();
    let formats: Vec<&String> = gguf.tensors().keys().filter(|name| !name.ends_with(".expected")).collect();
    assert_eq!(formats.len(), 11);
    for name in formats {
        let found = gguf.tensor(name, Kind::Float).unwrap();
        let expected = gguf.tensor(&format!("{name}.expected"), Kind::Float).unwrap();
        assert_eq!(found.size(), expected.size(), "{name}");
        assert_eq!(bits(&found), bits(&expected), "{name}");
        // Rounding happens on the way into the tensor; torch rounds the same.
        for kind in [Kind::BFloat16, Kind::Half] {
            assert_eq!(gguf.tensor(name, kind).unwrap(), expected.to_kind(kind), "{name} as {kind:?}");
        }
    }
}

#[test]
fn metadata_of_every_type_are_read() {
    let gguf = Gguf::open(fixture("formats.gguf")).unwrap();
    let number = |key: &str| gguf.number(key).unwrap();
    assert_eq!(
        [number("a.u8"), number("a.i8"), number("a.u16"), number("a.i16")],
        [200.0, -100.0, 60_000.0, -30_000.0]
    );
    assert_eq!(gguf.integer("a.i32"), Some(-2_000_000_000));
    assert_eq!([gguf.integer("a.u64"), gguf.integer("a.i64")], [Some(1 << 52), Some(-(1 << 52))]);
    assert_eq!([number("a.f32"), number("a.f64")], [1e-5, 1e-300]);
    assert_eq!(gguf.truth("a.bool"), Some(true));
    assert_eq!(gguf.text("a.text"), Some("Grüße ▁"));
    assert_eq!(gguf.texts("a.texts").unwrap(), ["a", "", "ß"]);
    assert_eq!(gguf.metadata()["a.numbers"], Value::Numbers(vec![1.0, -2.0, 3.0]));
    assert_eq!(gguf.integer("a.f64"), None);
}

#[test]
fn a_gguf_file_has_the_tensors_of_its_original() {
    for family in FAMILIES {
        let (gguf, folder) = (open(&format!("{family}.gguf")), open(family));
        assert_eq!(gguf.names(), folder.names(), "{family}");
        for name in folder.names() {
            assert_eq!(gguf.shape(&name), folder.shape(&name), "{family} {name}");
            let (found, original) =
                (gguf.tensor(&name, Kind::BFloat16).unwrap(), folder.tensor(&name, Kind::BFloat16).unwrap());
            assert_eq!(found, original, "{family} {name}");
        }
        assert!(folder.shape("model.layers.2.mlp.down_proj.weight").is_none());
        let error = folder.tensor("nothing", Kind::Float).unwrap_err().to_string();
        assert!(error.contains("nothing"), "{error}");
    }
}

#[test]
fn a_gguf_file_has_the_configuration_of_its_original() {
    for family in FAMILIES {
        let (gguf, folder) = (open(&format!("{family}.gguf")), open(family));
        let (found, mut original) = (gguf.config().clone(), folder.config().clone());
        // The file has the divisors themselves; written out, they are Llama 3.1's settings again.
        if let RopeScaling::Divisors(_) = found.rope.scaling {
            original.rope.scaling = found.rope.scaling.clone();
        }
        if let (
            RopeScaling::Long { attention_factor: found, .. },
            RopeScaling::Long { attention_factor: original, .. },
        ) = (&found.rope.scaling, &mut original.rope.scaling)
        {
            assert!((*found - *original).abs() < 1e-6, "{family}: {found}, {original}");
            *original = *found;
        }
        assert_eq!(found, original, "{family}");
    }
}

#[test]
fn a_gguf_file_with_a_factor_and_no_type_of_scaling_scales_linearly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scaled.gguf");
    for (factor, scaling) in [(4.0_f32, RopeScaling::Linear { factor: 4.0 }), (1.0, RopeScaling::None)] {
        let key = b"qwen2.rope.scale_linear";
        let (length, number) = ((key.len() as u64).to_le_bytes(), factor.to_le_bytes());
        let entry = [&length[..], key, &6_u32.to_le_bytes(), &number].concat();
        let mut bytes = fs::read(fixture("qwen2.gguf")).unwrap();
        // Metadata begin after 24 bytes, the last 8 of which count them. The tensors move, by less than 64 bytes.
        bytes[16] += 1;
        bytes.splice(24..24, entry);
        bytes.extend([0; 64]);
        fs::write(&path, bytes).unwrap();
        let config = Config::from_gguf(&Gguf::open(&path).unwrap()).unwrap();
        assert_eq!(config.rope.scaling, scaling);
    }
}

#[test]
fn what_config_json_is_written_for_a_gguf_file_says_the_same() {
    for family in FAMILIES {
        let path = Path::new("config.json");
        let mut expected = open(family).config().clone();
        let json = serde_json::Value::Object(open(&format!("{family}.gguf")).config().to_json(path).unwrap());
        let mut found = Config::from_json(path, &json.to_string()).unwrap();
        if let (RopeScaling::Llama3 { factor: found, .. }, RopeScaling::Llama3 { factor: expected, .. }) =
            (&mut found.rope.scaling, &mut expected.rope.scaling)
        {
            assert!((*found - *expected).abs() < 1e-4);
            *found = *expected;
        }
        assert_eq!(found, expected, "{family}");
    }
}

#[derive(Deserialize)]
struct Row {
    text: String,
    ids: Vec<u32>,
    decoded: String,
}

fn rows(name: &str) -> Vec<Row> {
    let text = fs::read_to_string(fixture(&format!("{name}.encodings.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn check_encodings(name: &str, text: &BuiltTokenizer) {
    for row in rows(name) {
        let found = text.tokenizer.encode(row.text.as_str(), false).unwrap();
        assert_eq!(found.get_ids(), row.ids, "{name}: {:?}: {:?}", row.text, found.get_tokens());
        let decoded = text.tokenizer.decode(&row.ids, false).unwrap();
        assert_eq!(decoded, row.decoded, "{name}: {:?}", row.text);
    }
}

#[test]
fn tokenizers_of_every_kind_encode_as_in_python() {
    for name in ["llama2", "phi3", "gemma", "llama3", "qwen2", "gpt2"] {
        let gguf = Gguf::open(fixture(&format!("{name}.tokenizer.gguf"))).unwrap();
        check_encodings(name, &from_gguf::read(&gguf).unwrap());
    }
}

#[test]
fn a_plain_text_gets_the_tokens_around_it() {
    let read = |name: &str| from_gguf::read(&Gguf::open(fixture(name)).unwrap()).unwrap();
    let llama = read("llama2.tokenizer.gguf");
    assert_eq!(
        (llama.bos.as_deref(), llama.eos.as_deref(), llama.add_bos),
        (Some("<s>"), Some("</s>"), true)
    );
    assert_eq!(llama.chat_template.as_deref(), Some("{{ bos_token }}"));
    assert_eq!(llama.tokenizer.encode("a", true).unwrap().get_tokens()[0], "<s>");
    let gpt2 = read("gpt2.tokenizer.gguf");
    assert!(!gpt2.add_bos && gpt2.pad.is_none());
    assert_eq!(gpt2.tokenizer.encode("a", true).unwrap().len(), 1);
}

#[test]
fn a_second_template_is_that_of_conversations_with_tools() {
    let mut bytes = fs::read(fixture("llama2.tokenizer.gguf")).unwrap();
    // Another entry before the first: after the magic number, the version, and the numbers of tensors and of entries.
    let entries = u64::from_le_bytes(bytes[16..24].try_into().unwrap()) + 1;
    bytes[16..24].copy_from_slice(&entries.to_le_bytes());
    let text = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let entry = [text("tokenizer.chat_template.tool_use"), 8_u32.to_le_bytes().into(), text("{{ tools }}")];
    bytes.splice(24..24, entry.concat());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tools.gguf");
    fs::write(&path, bytes).unwrap();
    let read = from_gguf::read(&Gguf::open(&path).unwrap()).unwrap();
    assert_eq!(read.chat_template.as_deref(), Some("{{ bos_token }}"));
    assert_eq!(read.tool_use.as_deref(), Some("{{ tools }}"));
}

#[test]
fn the_default_model() {
    let checkpoint = Checkpoint::open(DEFAULT).unwrap();
    let TokenizerSource::Built(text) = checkpoint.tokenizer_source().unwrap() else { panic!("no GGUF") };
    check_encodings("smollm2", &text);
    assert_eq!(text.eos.as_deref(), Some("<|im_end|>"));
    assert!(text.chat_template.as_ref().unwrap().contains("<|im_start|>"));
    assert_eq!(checkpoint.names().len(), 272);
    assert_eq!(checkpoint.hash().len(), 64);

    // As a folder: the same, bit for bit.
    let folder = tempfile::tempdir().unwrap();
    let kind = Kind::BFloat16;
    export(&checkpoint, folder.path(), kind, |name| checkpoint.tensor(name, kind)).unwrap();
    let read = Checkpoint::open(folder.path().to_str().unwrap()).unwrap();
    assert_eq!(read.config(), checkpoint.config());
    assert_eq!(read.names(), checkpoint.names());
    for name in checkpoint.names() {
        let (found, original) = (read.tensor(&name, kind).unwrap(), checkpoint.tensor(&name, kind).unwrap());
        assert!(found.equal(&original), "{name}");
    }
    assert!(
        matches!(read.tokenizer_source().unwrap(), TokenizerSource::Folder(path) if path == folder.path())
    );
    let saved = tokenizers::Tokenizer::from_file(folder.path().join("tokenizer.json")).unwrap();
    for row in rows("smollm2") {
        assert_eq!(saved.encode(row.text.as_str(), false).unwrap().get_ids(), row.ids, "{:?}", row.text);
    }
}

#[test]
fn what_is_no_model_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let whole = fs::read(fixture("qwen2.gguf")).unwrap();
    let formats = fixture("formats.gguf");
    let cases = [
        ("nowhere.gguf".to_owned(), "no file or folder `nowhere.gguf`"),
        ("gsm8k".to_owned(), "a data set"),
        (file("empty.gguf", b""), "not a GGUF file"),
        (file("zip.gguf", b"PK\x03\x04 and so on"), "not a GGUF file"),
        (file("short.gguf", &whole[..whole.len() / 2]), "truncated"),
        (file("big-endian.gguf", b"GGUF\0\0\0\x03"), "big-endian"),
        (file("version.gguf", b"GGUF\x63\0\0\0"), "version 99"),
        (file("counts.gguf", b"GGUF\x03\0\0\0\xff\xff\xff\xff\xff\xff\xff\x7f\0\0\0\0\0\0\0\0"), "room for"),
        (formats.to_str().unwrap().to_owned(), "llama.embedding_length"),
        (folder.path().to_str().unwrap().to_owned(), "config.json"),
    ];
    for (source, complaint) in cases {
        let error = Checkpoint::open(&source).unwrap_err().to_string();
        assert!(error.contains(complaint), "{source}: {error}");
    }
}

#[test]
fn a_whole_file_counts_before_a_former_index() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let original = fixture("llama");
    for name in ["config.json", "model.safetensors"] {
        fs::copy(original.join(name), at(name)).unwrap();
    }
    let mut former = fs::read(at("model.safetensors")).unwrap();
    *former.last_mut().unwrap() ^= 1;
    fs::write(at("model-00001-of-00001.safetensors"), former).unwrap();
    let names = open("llama").names();
    let map: serde_json::Map<_, _> =
        names.iter().map(|name| (name.clone(), "model-00001-of-00001.safetensors".into())).collect();
    let index = serde_json::json!({ "weight_map": map });
    fs::write(at("model.safetensors.index.json"), index.to_string()).unwrap();
    let differing = || {
        let (found, whole) = (Checkpoint::open(folder.path().to_str().unwrap()).unwrap(), open("llama"));
        let values = |from: &Checkpoint, name: &str| bits(&from.tensor(name, Kind::Float).unwrap());
        names.iter().filter(|name| values(&found, name) != values(&whole, name)).count()
    };
    assert_eq!(differing(), 0);
    fs::remove_file(at("model.safetensors")).unwrap();
    assert_eq!(differing(), 1);
}

/// Everything that can be read from a GGUF file, each part an error or not.
fn read_all(path: &Path) {
    if let Ok(gguf) = Gguf::open(path) {
        let _ = from_gguf::read(&gguf);
        let _ = Config::from_gguf(&gguf);
    }
    if let Ok(checkpoint) = Checkpoint::open(path.to_str().unwrap()) {
        for name in checkpoint.names() {
            let _ = checkpoint.tensor(&name, Kind::Float);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Most of what matters lies in the first bytes: counts, lengths, offsets.
    #[test]
    fn no_changed_file_makes_a_panic(
        which in 0..3_usize,
        changes in prop::collection::vec((0.0..1.0_f64, prop::bool::ANY, prop::num::u8::ANY), 1..6),
        cut in prop::option::of(0.0..1.0_f64),
    ) {
        let name = ["gemma2.gguf", "llama.gguf", "llama2.tokenizer.gguf"][which];
        let mut bytes = fs::read(fixture(name)).unwrap();
        let head = 2500.min(bytes.len());
        for (place, early, value) in changes {
            let range = if early { head } else { bytes.len() };
            bytes[(place * range as f64) as usize] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate((cut * bytes.len() as f64) as usize);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("changed.gguf");
        fs::write(&path, bytes).unwrap();
        read_all(&path);
    }
}
