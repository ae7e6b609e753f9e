//! Reads the configuration from a GGUF file's metadata, which follows llama.cpp's conventions.

use tch::Kind;

use super::{Activation, Config, FAMILIES, Rope, RopeScaling, usual_attention_factor};
use crate::Error;
use crate::Result;
use crate::weights::gguf::{Gguf, Value};

/// The metadata keys of the file's architecture.
struct Keys<'a> {
    gguf: &'a Gguf,
    family: String,
}

impl Keys<'_> {
    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.family)
    }

    fn wrong<T>(&self, what: impl std::fmt::Display) -> Result<T> {
        Err(Error::file(self.gguf.path(), what))
    }

    fn integer(&self, key: &str) -> Result<Option<i64>> {
        let key = self.key(key);
        match (self.gguf.metadata().get(&key), self.gguf.integer(&key)) {
            (_, Some(number)) => Ok(Some(number)),
            (None, None) => Ok(None),
            // One number per layer, all equal.
            (Some(Value::Numbers(all)), _)
                if all.windows(2).all(|two| two[0].to_bits() == two[1].to_bits()) =>
            {
                Ok(all.first().map(|n| *n as i64))
            }
            (Some(Value::Numbers(_)), _) => {
                self.wrong(format!("{key} differs from layer to layer, which is not implemented"))
            }
            (Some(_), None) => self.wrong(format!("{key} must be an integer")),
        }
    }

    fn required(&self, key: &str) -> Result<i64> {
        match self.integer(key)? {
            Some(number) => Ok(number),
            None => self.wrong(format!("metadata {} is missing", self.key(key))),
        }
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.gguf.number(&self.key(key))
    }

    fn has(&self, tensor: &str) -> bool {
        self.gguf.tensors().contains_key(tensor)
    }

    /// The values of a one-dimensional tensor, if the file has it.
    fn numbers(&self, tensor: &str) -> Result<Option<Vec<f64>>> {
        let Some(entry) = self.gguf.tensors().get(tensor) else { return Ok(None) };
        if entry.shape.len() != 1 {
            return self.wrong(format!("tensor {tensor} must have one dimension"));
        }
        Ok(Some(Vec::try_from(self.gguf.tensor(tensor, Kind::Float)?.to_kind(Kind::Double))?))
    }
}

impl Config {
    /// Reads the metadata of a GGUF file.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self> {
        let Some(family) = gguf.text("general.architecture") else {
            return Err(Error::file(gguf.path(), "metadata general.architecture is missing"));
        };
        if !FAMILIES.contains(&family) {
            return Err(Self::unknown(gguf.path(), family));
        }
        if gguf.integer("split.count").is_some_and(|parts| parts > 1) {
            let what = "is one part of a split GGUF; join the parts first: llama-gguf-split --merge FIRST-PART OUTPUT";
            return Err(Error::file(gguf.path(), what));
        }
        let keys = Keys { gguf, family: family.to_owned() };
        let gemma = family == "gemma" || family == "gemma2";
        let hidden_size = keys.required("embedding_length")?;
        let heads = keys.required("attention.head_count")?;
        if heads < 1 {
            return keys.wrong(format!("{family}.attention.head_count is {heads}; it must be at least 1"));
        }
        let head_dim = keys.integer("attention.key_length")?.unwrap_or(hidden_size / heads);
        if keys.integer("attention.value_length")?.is_some_and(|values| values != head_dim) {
            return keys.wrong("keys and values of different sizes are not implemented");
        }
        let Some(embedding) = gguf.tensors().get("token_embd.weight").filter(|entry| entry.shape.len() == 2)
        else {
            return keys.wrong("tensor token_embd.weight is missing or not a matrix");
        };
        let layers = Self::layers(gguf.path(), keys.required("block_count")?)?;
        // Only Gemma 2 27B, which llama.cpp recognises by its 46 layers, scales by width / heads.
        let scalar = if family == "gemma2" && layers == 46 { hidden_size / heads } else { head_dim };
        let Some(norm_eps) = keys.number("attention.layer_norm_rms_epsilon") else {
            return keys.wrong(format!("metadata {family}.attention.layer_norm_rms_epsilon is missing"));
        };
        let window = match family {
            "gemma2" => Some(keys.integer("attention.sliding_window")?.unwrap_or(4096)),
            "phi3" => keys.integer("attention.sliding_window")?,
            _ => None,
        };
        let window = window.filter(|window| *window > 0);
        let cap = |key, default| (family == "gemma2").then(|| keys.number(key).unwrap_or(default));
        let max_positions = keys.required("context_length")?;
        Self {
            family: family.to_owned(),
            vocab_size: embedding.shape[0],
            hidden_size,
            intermediate_size: keys.required("feed_forward_length")?,
            layers,
            heads,
            kv_heads: keys.integer("attention.head_count_kv")?.unwrap_or(heads),
            head_dim,
            norm_eps,
            norm_plus_one: gemma,
            post_norms: family == "gemma2",
            qk_norm: family == "qwen3",
            qkv_bias: keys.has("blk.0.attn_q.bias"),
            o_bias: keys.has("blk.0.attn_output.bias"),
            mlp_bias: keys.has("blk.0.ffn_up.bias"),
            activation: if gemma { Activation::GeluTanh } else { Activation::Silu },
            rope: rope(&keys, head_dim, max_positions)?,
            attention_scale: (scalar as f64).sqrt().recip(),
            attention_soft_cap: cap("attn_logit_softcapping", 50.0),
            final_soft_cap: cap("final_logit_softcapping", 30.0),
            windows: (0..layers)
                .map(|layer| window.filter(|_| family == "phi3" || layer.is_multiple_of(2)))
                .collect(),
            embedding_scale: gemma.then(|| (hidden_size as f64).sqrt()),
            tied: !keys.has("output.weight"),
            max_positions,
        }
        .check(gguf.path())
    }
}

fn rope(keys: &Keys, head_dim: i64, max_positions: i64) -> Result<Rope> {
    // A factor alone, as files from before the type existed have it, is a linear one to llama.cpp.
    let kind = keys.gguf.text(&keys.key("rope.scaling.type")).unwrap_or("linear");
    let factor = keys.number("rope.scaling.factor").or(keys.number("rope.scale_linear")).unwrap_or(1.0);
    let long = keys.numbers("rope_factors_long.weight")?.zip(keys.numbers("rope_factors_short.weight")?);
    let scaling = if let Some((long, short)) = long {
        let original = keys.number("rope.scaling.original_context_length").unwrap_or(max_positions as f64);
        let usual = usual_attention_factor(max_positions as f64 / original, original);
        let attention_factor = keys.number("rope.scaling.attn_factor").unwrap_or(usual);
        RopeScaling::Long { short, long, original, attention_factor }
    } else if let Some(divisors) = keys.numbers("rope_freqs.weight")? {
        RopeScaling::Divisors(divisors)
    } else if kind == "none" || (factor - 1.0).abs() < f64::EPSILON {
        RopeScaling::None
    } else if kind == "linear" {
        RopeScaling::Linear { factor }
    } else {
        return keys.wrong(format!(
            "{}: `{kind}`; none, linear and longrope are implemented",
            keys.key("rope.scaling.type")
        ));
    };
    Ok(Rope {
        theta: keys.number("rope.freq_base").unwrap_or(10_000.0),
        dimensions: keys.integer("rope.dimension_count")?.unwrap_or(head_dim),
        scaling,
    })
}
