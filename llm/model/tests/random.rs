//! Models that are initialised at random: their weights, and the folders that are written of them.
//!
//! Needs libtorch. `cargo test -p tokensieve-model --test random`.

use tch::{Device, Kind, Tensor};
use tokensieve_model::config::FAMILIES;
use tokensieve_model::text::{Conversation, Message, Tokenizer};
use tokensieve_model::weights::{Checkpoint, RandomModel};
use tokensieve_model::{Model, export};

fn random(family: &str) -> RandomModel {
    RandomModel {
        family: family.to_owned(),
        hidden_size: 64,
        layers: 3,
        heads: 4,
        kv_heads: 2,
        intermediate_size: 96,
        context: 40,
        tied: family != "qwen3",
        characters: "0123456789+=;α ".to_owned(),
        end: Some(";".to_owned()),
        std: 0.02,
        seed: 7,
    }
}

fn tensor(checkpoint: &Checkpoint, name: &str) -> Tensor {
    checkpoint.tensor(name, Kind::Float).unwrap()
}

fn plain(text: &str) -> Conversation {
    Conversation::Plain { prompt: String::new(), completion: Message::new("assistant", text) }
}

#[test]
fn weights_are_normal_and_norms_scale_by_1() {
    let checkpoint = Checkpoint::random(&random("llama")).unwrap();
    let deviation = |name: &str| tensor(&checkpoint, name).std(false).double_value(&[]);
    // √(2·3) less for what is added to the residual stream. Ten standard errors of a deviation of 6144 draws are 9 %.
    for (name, std) in [
        ("mlp.up_proj", 0.02),
        ("mlp.down_proj", 0.02 / 6_f64.sqrt()),
        ("self_attn.q_proj", 0.02),
        ("self_attn.o_proj", 0.02 / 6_f64.sqrt()),
    ] {
        let name = format!("model.layers.1.{name}.weight");
        let found = deviation(&name);
        assert!((found / std - 1.0).abs() < 0.09, "{name}: {found}");
        let mean = tensor(&checkpoint, &name).mean(Kind::Float).double_value(&[]);
        assert!(mean.abs() < std / 10.0, "{name}: mean {mean}");
    }
    assert!(tensor(&checkpoint, "model.norm.weight").equal(&Tensor::ones([64], (Kind::Float, Device::Cpu))));
    let gemma = Checkpoint::random(&random("gemma")).unwrap();
    assert_eq!(tensor(&gemma, "model.norm.weight").count_nonzero(None).int64_value(&[]), 0);
}

/// Trained models depend on these.
#[test]
fn first_weights_are_frozen() {
    let checkpoint = Checkpoint::random(&random("llama")).unwrap();
    let bits = |name: &str| -> Vec<u32> {
        let first = tensor(&checkpoint, name).flatten(0, -1).narrow(0, 0, 3);
        Vec::<f32>::try_from(first).unwrap().into_iter().map(f32::to_bits).collect()
    };
    assert_eq!(bits("model.embed_tokens.weight"), EMBEDDING);
    assert_eq!(bits("model.layers.2.mlp.down_proj.weight"), DOWN);
    let other = Checkpoint::random(&RandomModel { seed: 8, ..random("llama") }).unwrap();
    assert_ne!(other.hash(), checkpoint.hash());
    let name = "model.embed_tokens.weight";
    assert!(!tensor(&other, name).equal(&tensor(&checkpoint, name)));
}
const EMBEDDING: [u32; 3] = [3_162_676_234, 1_007_065_222, 3_157_689_760];
const DOWN: [u32; 3] = [3_155_664_293, 3_155_623_445, 983_661_695];

#[test]
fn a_folder_of_every_family_is_the_same_model() {
    let text = plain("12+α 9=1;");
    for family in FAMILIES {
        let checkpoint = Checkpoint::random(&random(family)).unwrap();
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("model");
        export(&checkpoint, &folder, Kind::Float, |name| checkpoint.tensor(name, Kind::Float)).unwrap();
        let read = Checkpoint::open(folder.to_str().unwrap()).unwrap();
        assert_eq!((read.config(), read.names()), (checkpoint.config(), checkpoint.names()), "{family}");

        let logits = |checkpoint: &Checkpoint| {
            let tokenizer = Tokenizer::open(checkpoint).unwrap();
            let document = tokenizer.document(&text, 0).unwrap();
            // Begins with a token of its own, and ends with the character that ends a text.
            assert_eq!(document.tokens, [15, 1, 2, 10, 13, 14, 9, 11, 1, 12], "{family}");
            assert_eq!(document.response_tokens(), 9);
            assert_eq!(tokenizer.decode(&document.tokens[1..]).unwrap(), "12+α 9=1;");
            assert_eq!(tokenizer.eos()[0], 12);
            let model = Model::load(checkpoint, Kind::Float, Device::Cpu).unwrap();
            tch::no_grad(|| model.unembedding().logits(&model.forward(&model.pack(&[&document]))))
        };
        assert!(logits(&checkpoint).equal(&logits(&read)), "{family}");
    }
}

#[test]
fn a_character_outside_of_the_alphabet_is_named() {
    let tokenizer = Tokenizer::open(&Checkpoint::random(&random("llama")).unwrap()).unwrap();
    let error = tokenizer.document(&plain("1+x=2"), 0).unwrap_err().to_string();
    assert!(error.contains("has no token for `x`"), "{error}");
}
