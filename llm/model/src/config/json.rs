//! Reads the `config.json` of a Hugging Face checkpoint. Missing keys get the defaults of `transformers`.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Activation, Config, Rope, RopeScaling, usual_attention_factor};
use crate::Error;
use crate::Result;

/// The defaults of `transformers` (`configuration_FAMILY.py`).
struct Defaults {
    vocab_size: i64,
    hidden_size: i64,
    intermediate_size: i64,
    layers: i64,
    heads: i64,
    kv_heads: Option<i64>,
    head_dim: Option<i64>,
    max_positions: i64,
    norm_eps: f64,
}

impl Defaults {
    #[rustfmt::skip]
    fn of(family: &str) -> Option<Self> {
        let (vocab_size, hidden_size, intermediate_size, layers, heads, kv_heads, head_dim, max_positions, norm_eps) = match family {
            "llama"  => ( 32_000, 4096, 11_008, 32, 32, None,     None,      2048,   1e-6),
            "gemma"  => (256_000, 3072, 24_576, 28, 16, Some(16), Some(256), 8192,   1e-6),
            "gemma2" => (256_000, 2304,  9_216, 26,  8, Some(4),  Some(256), 8192,   1e-6),
            "phi3"   => ( 32_064, 3072,  8_192, 32, 32, None,     None,      4096,   1e-5),
            "qwen2"  => (151_936, 4096, 22_016, 32, 32, Some(32), None,      32_768, 1e-6),
            "qwen3"  => (151_936, 4096, 22_016, 32, 32, Some(32), Some(128), 32_768, 1e-6),
            _ => return None,
        };
        Some(Self { vocab_size, hidden_size, intermediate_size, layers, heads, kv_heads, head_dim, max_positions, norm_eps })
    }
}

/// A JSON object of the file, with the path for error messages.
#[derive(Clone, Copy)]
struct Keys<'a> {
    path: &'a Path,
    map: &'a Map<String, Value>,
}

impl<'a> Keys<'a> {
    fn wrong<T>(self, what: impl std::fmt::Display) -> Result<T> {
        Err(Error::file(self.path, what))
    }

    /// A value that may be `null` or missing.
    fn get<T: DeserializeOwned>(self, key: &str) -> Result<Option<T>> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match T::deserialize(value) {
                Ok(value) => Ok(Some(value)),
                Err(error) => self.wrong(format!("{key}: {error}")),
            },
        }
    }

    fn or<T: DeserializeOwned>(self, key: &str, default: T) -> Result<T> {
        Ok(self.get(key)?.unwrap_or(default))
    }

    /// A value with a default where the key is missing; `null` means none.
    fn nullable<T: DeserializeOwned>(self, key: &str, default: T) -> Result<Option<T>> {
        if self.map.contains_key(key) { self.get(key) } else { Ok(Some(default)) }
    }

    fn required<T: DeserializeOwned>(self, key: &str) -> Result<T> {
        match self.get(key)? {
            Some(value) => Ok(value),
            None => self.wrong(format!("{key} is missing")),
        }
    }

    fn object(self, key: &str) -> Result<Option<Keys<'a>>> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            // As in Python, an empty object is false.
            Some(Value::Object(map)) => Ok(Some(Keys { map, ..self }).filter(|_| !map.is_empty())),
            Some(_) => self.wrong(format!("{key} must be an object")),
        }
    }
}

impl Config {
    /// Parses the text of a `config.json`; errors name `path`.
    pub fn from_json(path: &Path, text: &str) -> Result<Self> {
        let map: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| Error::line(path, error.line(), error))?;
        let keys = Keys { path, map: &map };
        let family: String = keys.required("model_type")?;
        let Some(default) = Defaults::of(&family) else { return Err(Self::unknown(path, &family)) };
        refuse(keys)?;

        let gemma = family == "gemma" || family == "gemma2";
        let hidden_size = keys.or("hidden_size", default.hidden_size)?;
        let heads: i64 = keys.or("num_attention_heads", default.heads)?;
        if heads < 1 {
            return keys.wrong(format!("num_attention_heads is {heads}"));
        }
        let head_dim = keys.or("head_dim", default.head_dim.unwrap_or(hidden_size / heads))?;
        let max_positions = keys.or("max_position_embeddings", default.max_positions)?;
        let layers = Self::layers(path, keys.or("num_hidden_layers", default.layers)?)?;
        let attention_bias = family != "phi3" && keys.or("attention_bias", false)?;
        let scalar =
            if family == "gemma2" { keys.or("query_pre_attn_scalar", 256.0)? } else { head_dim as f64 };
        let cap = |key, default| if family == "gemma2" { keys.nullable(key, default) } else { Ok(None) };
        Self {
            vocab_size: keys.or("vocab_size", default.vocab_size)?,
            hidden_size,
            intermediate_size: keys.or("intermediate_size", default.intermediate_size)?,
            layers,
            heads,
            // Even where the default is a number, null means as many as query heads (Llama, Phi-3, Qwen).
            kv_heads: match default.kv_heads.filter(|_| !map.contains_key("num_key_value_heads")) {
                Some(kv_heads) => kv_heads,
                None => keys.or("num_key_value_heads", heads)?,
            },
            head_dim,
            norm_eps: keys.or("rms_norm_eps", default.norm_eps)?,
            norm_plus_one: gemma,
            post_norms: family == "gemma2",
            qk_norm: family == "qwen3",
            qkv_bias: family == "qwen2" || attention_bias,
            o_bias: family != "qwen2" && attention_bias,
            mlp_bias: family == "llama" && keys.or("mlp_bias", false)?,
            activation: activation(keys, &family)?,
            rope: rope(keys, &family, head_dim, max_positions)?,
            attention_scale: scalar.sqrt().recip(),
            attention_soft_cap: cap("attn_logit_softcapping", 50.0)?,
            final_soft_cap: cap("final_logit_softcapping", 30.0)?,
            windows: windows(keys, &family, layers)?,
            embedding_scale: gemma.then(|| (hidden_size as f64).sqrt()),
            tied: keys.or("tie_word_embeddings", gemma)?,
            max_positions,
            family,
        }
        .check(path)
    }
}

/// Rejects settings that change the computation in ways that are not implemented.
fn refuse(keys: Keys) -> Result<()> {
    if let Some(how) = keys.object("quantization_config")? {
        let method: String = how.or("quant_method", "unknown".to_owned())?;
        return keys.wrong(format!(
            "quantization_config: weights quantised by {method}; use the original, or a GGUF file"
        ));
    }
    for (key, causal) in [("use_bidirectional_attention", false), ("is_causal", true)] {
        if keys.or(key, causal)? != causal {
            return keys.wrong(format!("{key}: only causal attention is implemented"));
        }
    }
    Ok(())
}

fn activation(keys: Keys, family: &str) -> Result<Activation> {
    let (key, default) = match family {
        "gemma" => ("hidden_act", "gelu_pytorch_tanh"),
        "gemma2" => ("hidden_activation", "gelu_pytorch_tanh"),
        _ => ("hidden_act", "silu"),
    };
    let name: String = keys.or(key, default.to_owned())?;
    match name.as_str() {
        "silu" | "swish" => Ok(Activation::Silu),
        "gelu_pytorch_tanh" | "gelu_new" => Ok(Activation::GeluTanh),
        // Gemma's first config files say `gelu`; the models were trained with the tanh approximation.
        "gelu" if family == "gemma" => Ok(Activation::GeluTanh),
        other => keys.wrong(format!("{key}: `{other}`; silu and gelu_pytorch_tanh are implemented")),
    }
}

fn windows(keys: Keys, family: &str, layers: usize) -> Result<Vec<Option<i64>>> {
    let qwen = family == "qwen2" || family == "qwen3";
    let window: Option<i64> = match family {
        "gemma2" => keys.nullable("sliding_window", 4096)?,
        "phi3" => keys.get("sliding_window")?,
        _ if qwen && keys.or("use_sliding_window", false)? => keys.nullable("sliding_window", 4096)?,
        _ => None,
    };
    if window.is_some_and(|window| window < 1) {
        return keys.wrong("sliding_window must be at least 1");
    }
    let types: Option<Vec<String>> = if family == "phi3" { None } else { keys.get("layer_types")? };
    if let Some(types) = types {
        if types.len() != layers {
            return keys.wrong(format!("layer_types names {} layers of {layers}", types.len()));
        }
        let one = |kind: &String| match kind.as_str() {
            "full_attention" => Ok(None),
            "sliding_attention" => Ok(window),
            other => keys.wrong(format!(
                "layer_types: `{other}`; full_attention and sliding_attention are implemented"
            )),
        };
        return types.iter().map(one).collect();
    }
    let first: usize = keys.or("max_window_layers", 28)?;
    let slides = |layer: usize| match family {
        "gemma2" => layer.is_multiple_of(2),
        _ if qwen => layer >= first,
        _ => true,
    };
    Ok((0..layers).map(|layer| window.filter(|_| slides(layer))).collect())
}

/// Newer files have everything in `rope_parameters`, older ones in `rope_theta` and `rope_scaling`.
fn rope(keys: Keys, family: &str, head_dim: i64, max_positions: i64) -> Result<Rope> {
    let empty = Map::new();
    let inner = match keys.object("rope_scaling")? {
        Some(inner) => inner,
        None => keys.object("rope_parameters")?.unwrap_or(Keys { map: &empty, ..keys }),
    };
    if let Some(kind) =
        ["full_attention", "sliding_attention"].iter().find(|kind| inner.map.contains_key(**kind))
    {
        return keys
            .wrong(format!("rope_parameters: separate parameters for {kind} layers are not implemented"));
    }
    let either =
        |key: &str, default: f64| Ok::<_, Error>(inner.get(key)?.or(keys.get(key)?).unwrap_or(default));
    let theta = either("rope_theta", 10_000.0)?;
    let partial = either("partial_rotary_factor", 1.0)?;
    let dimensions = (head_dim as f64 * partial) as i64;
    // transformers ignores the key there, so that nothing says what it means.
    if dimensions != head_dim && family != "phi3" {
        return keys.wrong(format!("partial_rotary_factor: {partial}; for {family} only 1 is implemented"));
    }
    // Phi-3 has the key at the top level, which takes precedence.
    let original = || {
        let outside = keys.get("original_max_position_embeddings")?;
        let outside = outside.or((family == "phi3").then_some(4096.0));
        let inside = inner.get("original_max_position_embeddings")?;
        Ok::<_, Error>(outside.or(inside).unwrap_or(max_positions as f64))
    };
    let kind: String = match inner.get("rope_type")? {
        Some(kind) => kind,
        None => inner.or("type", "default".to_owned())?,
    };
    let scaling = match kind.as_str() {
        "default" => RopeScaling::None,
        "longrope" => long(inner, original()?, max_positions)?,
        // Longrope's names in Phi-3's first files.
        "su" | "yarn" if family == "phi3" => long(inner, original()?, max_positions)?,
        "linear" if family != "phi3" => RopeScaling::Linear { factor: inner.required("factor")? },
        "llama3" if family != "phi3" => RopeScaling::Llama3 {
            factor: inner.required("factor")?,
            low_freq_factor: inner.required("low_freq_factor")?,
            high_freq_factor: inner.required("high_freq_factor")?,
            original: original()?,
        },
        other => {
            let what = format!("rope_type: `{other}`; default, linear, llama3 and longrope are implemented");
            return keys.wrong(what);
        }
    };
    Ok(Rope { theta, dimensions, scaling })
}

fn long(inner: Keys, original: f64, max_positions: i64) -> Result<RopeScaling> {
    let factor = inner.or("factor", max_positions as f64 / original)?;
    let usual = usual_attention_factor(factor, original);
    Ok(RopeScaling::Long {
        short: inner.required("short_factor")?,
        long: inner.required("long_factor")?,
        original,
        attention_factor: inner.or("attention_factor", usual)?,
    })
}
