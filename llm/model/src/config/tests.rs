//! What is read from a config.json, against what `transformers` makes of it (tests/fixtures/configs.py).
#![allow(clippy::float_cmp, reason = "settings are taken over as they are")]

use std::path::Path;

use serde_json::Value;

use super::{Activation, Config, RopeScaling};

const FIXTURE: &str = include_str!("../../../tests/fixtures/configs.json");

fn read(raw: &Value) -> crate::Result<Config> {
    Config::from_json(Path::new("config.json"), &raw.to_string())
}

#[test]
fn settings_mean_what_they_mean_to_transformers() {
    let cases: Vec<Value> = serde_json::from_str(FIXTURE).unwrap();
    assert!(cases.len() > 20);
    for case in cases {
        let (raw, expected) = (&case["raw"], &case["derived"]);
        let found = read(raw).unwrap();
        let integers = [
            ("vocab_size", found.vocab_size),
            ("hidden_size", found.hidden_size),
            ("intermediate_size", found.intermediate_size),
            ("layers", found.layers as i64),
            ("heads", found.heads),
            ("kv_heads", found.kv_heads),
            ("head_dim", found.head_dim),
            ("max_positions", found.max_positions),
        ];
        for (key, number) in integers {
            assert_eq!(expected[key], number, "{key} of {raw}");
        }
        let numbers = [
            ("norm_eps", Some(found.norm_eps)),
            ("attention_soft_cap", found.attention_soft_cap),
            ("final_soft_cap", found.final_soft_cap),
        ];
        for (key, number) in numbers {
            assert_eq!(expected[key].as_f64(), number, "{key} of {raw}");
        }
        let truths = [
            ("tied", found.tied),
            ("bias", found.qkv_bias),
            ("bias", found.o_bias || found.family == "qwen2"),
            ("mlp_bias", found.mlp_bias),
        ];
        for (key, truth) in truths {
            assert_eq!(expected[key], truth, "{key} of {raw}");
        }
        let activation = if found.activation == Activation::Silu { "silu" } else { "gelu_pytorch_tanh" };
        assert_eq!(expected["activation"], activation, "{raw}");
        assert_eq!(expected["windows"], serde_json::json!(found.windows), "{raw}");
        assert_eq!(expected["scalar"].as_f64().unwrap().sqrt().recip(), found.attention_scale, "{raw}");
        check_rope(&found, &expected["rope"], raw);
    }
}

fn check_rope(found: &Config, expected: &Value, raw: &Value) {
    let number = |key: &str| expected[key].as_f64().unwrap();
    assert_eq!(number("rope_theta"), found.rope.theta, "{raw}");
    let partial = expected["partial_rotary_factor"].as_f64().unwrap_or(1.0);
    assert_eq!(found.rope.dimensions, (found.head_dim as f64 * partial) as i64, "{raw}");
    let kind = match &found.rope.scaling {
        RopeScaling::None => "default",
        RopeScaling::Linear { factor } => {
            assert_eq!(number("factor"), *factor, "{raw}");
            "linear"
        }
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original } => {
            let expected =
                ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"]
                    .map(number);
            assert_eq!(expected, [*factor, *low_freq_factor, *high_freq_factor, *original], "{raw}");
            "llama3"
        }
        RopeScaling::Long { short, long, original, attention_factor } => {
            assert_eq!(expected["short_factor"], serde_json::json!(short), "{raw}");
            assert_eq!(expected["long_factor"], serde_json::json!(long), "{raw}");
            assert_eq!(number("original_max_position_embeddings"), *original, "{raw}");
            let usual = super::usual_attention_factor(found.max_positions as f64 / original, *original);
            assert_eq!(expected["attention_factor"].as_f64().unwrap_or(usual), *attention_factor, "{raw}");
            "longrope"
        }
        RopeScaling::Divisors(_) => panic!("only GGUF files have divisors"),
    };
    assert_eq!(expected["rope_type"], kind, "{raw}");
}

#[test]
fn what_is_not_implemented_is_named() {
    let cases = [
        (r#"{"hidden_size": 8}"#, "model_type is missing"),
        (r#"{"model_type": "mamba"}"#, "`mamba` is not supported; supported are llama, gemma"),
        (r#"{"model_type": "llama", "hidden_size": "8"}"#, "hidden_size: invalid type"),
        (r#"{"model_type": "llama", "hidden_size": 0}"#, "the hidden size is 0"),
        (r#"{"model_type": "llama", "num_attention_heads": 0}"#, "num_attention_heads is 0"),
        (r#"{"model_type": "llama", "num_hidden_layers": 1000000000000}"#, "at most 4096 are supported"),
        (r#"{"model_type": "llama", "num_key_value_heads": 5}"#, "not a multiple of 5"),
        (r#"{"model_type": "llama", "head_dim": 7}"#, "rotary dimensions"),
        (r#"{"model_type": "llama", "hidden_act": "relu"}"#, "hidden_act: `relu`; silu"),
        (
            r#"{"model_type": "llama", "rope_scaling": {"rope_type": "dynamic", "factor": 2}}"#,
            "`dynamic`; default",
        ),
        (r#"{"model_type": "llama", "rope_scaling": {"rope_type": "linear"}}"#, "factor is missing"),
        (r#"{"model_type": "llama", "rope_scaling": {"rope_type": "linear", "factor": 0}}"#, "positive"),
        (
            r#"{"model_type": "phi3", "rope_scaling": {"type": "su", "short_factor": [1], "long_factor": [1]}}"#,
            "48 positive numbers",
        ),
        (
            r#"{"model_type": "llama", "partial_rotary_factor": 0.5}"#,
            "partial_rotary_factor: 0.5; for llama only 1 is implemented",
        ),
        (
            r#"{"model_type": "qwen3", "rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.75}}"#,
            "partial_rotary_factor: 0.75; for qwen3",
        ),
        (
            r#"{"model_type": "gemma", "use_bidirectional_attention": true}"#,
            "use_bidirectional_attention: only causal",
        ),
        (r#"{"model_type": "llama", "is_causal": false}"#, "is_causal: only causal attention"),
        (r#"{"model_type": "qwen2", "quantization_config": {"quant_method": "gptq"}}"#, "gptq"),
        (
            r#"{"model_type": "gemma2", "num_hidden_layers": 1, "layer_types": ["chunked_attention"]}"#,
            "`chunked_attention`",
        ),
        (
            r#"{"model_type": "gemma2", "num_hidden_layers": 2, "layer_types": ["full_attention"]}"#,
            "1 layers of 2",
        ),
        ("{", "config.json:1"),
    ];
    for (raw, complaint) in cases {
        let error = Config::from_json(Path::new("config.json"), raw).unwrap_err().to_string();
        assert!(error.contains(complaint) && error.starts_with("config.json"), "{raw}: {error}");
    }
}

#[test]
fn only_phi3_rotates_a_part_of_each_head() {
    let raw = |family: &str, factor: f64| serde_json::json!({"model_type": family, "head_dim": 64, "partial_rotary_factor": factor});
    let path = Path::new("config.json");
    let mut config = read(&raw("phi3", 0.75)).unwrap();
    assert_eq!(config.rope.dimensions, 48);
    assert_eq!(config.to_json(path).unwrap()["partial_rotary_factor"], 0.75);
    // As a GGUF file can have it.
    config.family = "llama".to_owned();
    let error = config.to_json(path).unwrap_err().to_string();
    assert_eq!(
        error,
        "config.json: a rotation of a part of each head cannot be expressed in a config.json for llama"
    );
    assert_eq!(read(&raw("llama", 1.0)).unwrap().rope.dimensions, 64);
}
