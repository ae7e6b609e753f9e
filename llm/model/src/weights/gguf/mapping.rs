//! Maps GGUF's tensor names and layouts to those of Hugging Face.

use tch::{Kind, Tensor};

use super::Gguf;
use crate::Error;
use crate::Result;
use crate::config::Config;

/// GGUF's and Hugging Face's names of a layer's tensors.
const LAYER: [(&str, &str); 12] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_qkv", "self_attn.qkv_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// Names that differ in a family: family, GGUF's name, Hugging Face's name.
const EXCEPTIONS: [(&str, &str, &str); 4] = [
    ("phi3", "ffn_up", "mlp.gate_up_proj"),
    ("gemma2", "ffn_norm", "pre_feedforward_layernorm"),
    ("gemma2", "post_attention_norm", "post_attention_layernorm"),
    ("gemma2", "post_ffw_norm", "post_feedforward_layernorm"),
];

/// Tensors that are not weights but settings, read into [`Config`].
const ROPE: [&str; 3] = ["rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"];

/// Hugging Face's and GGUF's name of each tensor.
pub(crate) fn names(gguf: &Gguf, family: &str) -> Result<Vec<(String, String)>> {
    let mut names = Vec::new();
    for name in gguf.tensors().keys().filter(|name| !ROPE.contains(&name.as_str())) {
        match canonical(name, family) {
            Some(canonical) => names.push((canonical, name.clone())),
            None => {
                return Err(Error::file(gguf.path(), format!("a {family} model has no tensor {name}")));
            }
        }
    }
    Ok(names)
}

fn canonical(name: &str, family: &str) -> Option<String> {
    let (stem, part) = name.rsplit_once('.')?;
    let stem = match stem {
        "token_embd" => "model.embed_tokens".to_owned(),
        "output_norm" => "model.norm".to_owned(),
        "output" => "lm_head".to_owned(),
        _ => {
            let (layer, stem) = stem.strip_prefix("blk.")?.split_once('.')?;
            let layer: usize = layer.parse().ok()?;
            let exception = EXCEPTIONS.iter().find(|row| row.0 == family && row.1 == stem).map(|row| row.2);
            let usual = || LAYER.iter().find(|row| row.0 == stem).map(|row| row.1);
            format!("model.layers.{layer}.{}", exception.or_else(usual)?)
        }
    };
    Some(format!("{stem}.{part}"))
}

/// A tensor with the layout and values of the Hugging Face checkpoint.
pub(crate) fn tensor(
    gguf: &Gguf,
    config: &Config,
    canonical: &str,
    name: &str,
    kind: Kind,
) -> Result<Tensor> {
    let heads = match (config.family.as_str(), canonical.rsplit('.').nth(1)) {
        ("llama", Some("q_proj")) => config.heads,
        ("llama", Some("k_proj")) => config.kv_heads,
        _ => {
            if config.norm_plus_one && canonical.ends_with("norm.weight") {
                // llama.cpp stores 1 + weight.
                return Ok((gguf.tensor(name, Kind::Float)? - 1.0).to_kind(kind));
            }
            return gguf.tensor(name, kind);
        }
    };
    let tensor = gguf.tensor(name, kind)?;
    // llama.cpp rotates pairs of neighbouring rows, Hugging Face row i of a head's first half with row i of its second.
    // The converter has interleaved the halves; this undoes it.
    let shape = tensor.size();
    if heads == 0 || shape[0] % (2 * heads) != 0 {
        let what =
            format!("tensor {name} has {} rows, which is not a multiple of 2 · {heads} heads", shape[0]);
        return Err(Error::file(gguf.path(), what));
    }
    let half = shape[0] / heads / 2;
    Ok(tensor.view([heads, half, 2, -1]).transpose(1, 2).reshape(shape.as_slice()))
}
