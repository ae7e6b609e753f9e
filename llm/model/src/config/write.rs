//! Writes a `config.json` for a model read from GGUF.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Activation, Config, RopeScaling};
use crate::Error;
use crate::Result;

impl Config {
    /// The configuration as the keys of a `config.json` for `transformers`; errors name `path`.
    pub fn to_json(&self, path: &Path) -> Result<Map<String, Value>> {
        let class = match self.family.as_str() {
            "llama" => "LlamaForCausalLM",
            "gemma" => "GemmaForCausalLM",
            "gemma2" => "Gemma2ForCausalLM",
            "phi3" => "Phi3ForCausalLM",
            "qwen2" => "Qwen2ForCausalLM",
            "qwen3" => "Qwen3ForCausalLM",
            other => return Err(Self::unknown(path, other)),
        };
        let gemma2 = self.family == "gemma2";
        let act = match self.activation {
            Activation::Silu => "silu",
            Activation::GeluTanh => "gelu_pytorch_tanh",
        };
        let mut all = vec![
            ("architectures", json!([class])),
            ("model_type", json!(self.family)),
            ("vocab_size", json!(self.vocab_size)),
            ("hidden_size", json!(self.hidden_size)),
            ("intermediate_size", json!(self.intermediate_size)),
            ("num_hidden_layers", json!(self.layers)),
            ("num_attention_heads", json!(self.heads)),
            ("num_key_value_heads", json!(self.kv_heads)),
            ("head_dim", json!(self.head_dim)),
            (if gemma2 { "hidden_activation" } else { "hidden_act" }, json!(act)),
            ("max_position_embeddings", json!(self.max_positions)),
            ("rms_norm_eps", json!(self.norm_eps)),
            ("tie_word_embeddings", json!(self.tied)),
            ("rope_theta", json!(self.rope.theta)),
        ];
        if self.rope.dimensions != self.head_dim {
            if self.family != "phi3" {
                let what = "a rotation of a part of each head cannot be expressed in a config.json";
                return Err(Error::file(path, format!("{what} for {}", self.family)));
            }
            all.push(("partial_rotary_factor", json!(self.rope.dimensions as f64 / self.head_dim as f64)));
        }
        if self.family != "qwen2" && self.family != "phi3" {
            all.push(("attention_bias", json!(self.qkv_bias)));
        }
        if self.family == "llama" {
            all.push(("mlp_bias", json!(self.mlp_bias)));
        }
        let window = self.windows.iter().flatten().next();
        if gemma2 {
            all.push(("query_pre_attn_scalar", json!(self.attention_scale.powi(-2).round() as i64)));
            all.push(("attn_logit_softcapping", json!(self.attention_soft_cap)));
            all.push(("final_logit_softcapping", json!(self.final_soft_cap)));
        }
        if window.is_some() || gemma2 || self.family == "phi3" {
            all.push(("sliding_window", json!(window)));
        }
        if let (Some(_), "gemma2" | "qwen2" | "qwen3") = (window, self.family.as_str()) {
            let kind =
                |window: &Option<i64>| if window.is_some() { "sliding_attention" } else { "full_attention" };
            all.push(("layer_types", json!(self.windows.iter().map(kind).collect::<Vec<_>>())));
            if !gemma2 {
                all.push(("use_sliding_window", json!(true)));
            }
        }
        match self.rope.scaling(path)? {
            RopeScaling::None | RopeScaling::Divisors(_) => {}
            RopeScaling::Linear { factor } => {
                all.push(("rope_scaling", json!({"rope_type": "linear", "factor": factor})));
            }
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original } => {
                let scaling = json!({
                    "rope_type": "llama3",
                    "factor": factor,
                    "low_freq_factor": low_freq_factor,
                    "high_freq_factor": high_freq_factor,
                    "original_max_position_embeddings": original as i64,
                });
                all.push(("rope_scaling", scaling));
            }
            RopeScaling::Long { short, long, original, attention_factor } => {
                let mut scaling = json!({"type": "longrope", "short_factor": short, "long_factor": long});
                // Written only where it differs from the default: older versions of transformers reject a fourth key.
                let usual = super::usual_attention_factor(self.max_positions as f64 / original, original);
                if (attention_factor - usual).abs() > 1e-6 {
                    scaling["attention_factor"] = json!(attention_factor);
                }
                all.push(("rope_scaling", scaling));
                all.push(("original_max_position_embeddings", json!(original as i64)));
            }
        }
        Ok(all.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }
}

impl super::Rope {
    /// The scaling as config.json expresses it: divisors become the Llama 3 settings they were computed from.
    fn scaling(&self, path: &Path) -> Result<RopeScaling> {
        let RopeScaling::Divisors(divisors) = &self.scaling else { return Ok(self.scaling.clone()) };
        let factor = divisors.iter().copied().fold(1.0, f64::max);
        // Equal in every release of Llama 3.1, 3.2 and 3.3.
        let (low, high, original) = (1.0, 4.0, 8192.0);
        let divisor = |i: usize| {
            let wavelength = std::f64::consts::TAU * self.theta.powf(2.0 * i as f64 / self.dimensions as f64);
            let ramp = ((original / wavelength - low) / (high - low)).clamp(0.0, 1.0);
            1.0 / ((1.0 - ramp) / factor + ramp)
        };
        let fits = |(i, found): (usize, &f64)| (divisor(i) / found - 1.0).abs() < 1e-3;
        if divisors.iter().enumerate().all(fits) {
            let (low_freq_factor, high_freq_factor) = (low, high);
            return Ok(RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original });
        }
        Err(Error::file(path, "rotary divisors other than Llama 3.1's cannot be expressed in a config.json"))
    }
}
