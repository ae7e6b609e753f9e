//! The tensors of a model: their names in checkpoints and PEFT files, and their shapes.

use crate::config::Config;

pub(crate) const EMBEDDING: &str = "model.embed_tokens.weight";
pub(crate) const HEAD: &str = "lm_head.weight";
pub(crate) const NORM: &str = "model.norm.weight";

/// A projection, under its name in checkpoints and PEFT files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Module {
    /// Without ".weight".
    pub(crate) name: String,
    pub(crate) outputs: i64,
    pub(crate) inputs: i64,
    pub(crate) bias: bool,
}

/// The projections of a layer. Those with the same input are grouped and computed as one matrix product.
pub(crate) struct Projections {
    pub(crate) qkv: Vec<Module>,
    pub(crate) output: Vec<Module>,
    pub(crate) gate_up: Vec<Module>,
    pub(crate) down: Vec<Module>,
}

impl Projections {
    pub(crate) fn of(config: &Config, layer: usize) -> Self {
        let module = |name: &str, outputs, inputs, bias| Module {
            name: format!("model.layers.{layer}.{name}"),
            outputs,
            inputs,
            bias,
        };
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let (queries, keys) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        let (qkv, gate_up) = if config.family == "phi3" {
            (
                vec![module("self_attn.qkv_proj", queries + 2 * keys, width, config.qkv_bias)],
                vec![module("mlp.gate_up_proj", 2 * inner, width, config.mlp_bias)],
            )
        } else {
            (
                vec![
                    module("self_attn.q_proj", queries, width, config.qkv_bias),
                    module("self_attn.k_proj", keys, width, config.qkv_bias),
                    module("self_attn.v_proj", keys, width, config.qkv_bias),
                ],
                vec![
                    module("mlp.gate_proj", inner, width, config.mlp_bias),
                    module("mlp.up_proj", inner, width, config.mlp_bias),
                ],
            )
        };
        Self {
            qkv,
            output: vec![module("self_attn.o_proj", width, queries, config.o_bias)],
            gate_up,
            down: vec![module("mlp.down_proj", width, inner, config.mlp_bias)],
        }
    }
}

/// All projections of a model, the possible targets of an adapter.
pub(crate) fn all(config: &Config) -> Vec<Module> {
    (0..config.layers)
        .map(|layer| Projections::of(config, layer))
        .flat_map(|p| [p.qkv, p.output, p.gate_up, p.down])
        .flatten()
        .collect()
}

/// All tensors of a model by name, with their shapes.
pub(crate) fn shapes(config: &Config) -> Vec<(String, Vec<i64>)> {
    let width = config.hidden_size;
    let mut shapes =
        vec![(EMBEDDING.to_owned(), vec![config.vocab_size, width]), (NORM.to_owned(), vec![width])];
    shapes.extend((!config.tied).then(|| (HEAD.to_owned(), vec![config.vocab_size, width])));
    for module in all(config) {
        let Module { name, outputs, inputs, bias } = module;
        shapes.push((format!("{name}.weight"), vec![outputs, inputs]));
        shapes.extend(bias.then(|| (format!("{name}.bias"), vec![outputs])));
    }
    let mut norms = vec![("input_layernorm", width), ("post_attention_layernorm", width)];
    if config.post_norms {
        norms.extend([("pre_feedforward_layernorm", width), ("post_feedforward_layernorm", width)]);
    }
    if config.qk_norm {
        norms.extend([("self_attn.q_norm", config.head_dim), ("self_attn.k_norm", config.head_dim)]);
    }
    for layer in 0..config.layers {
        let named = |(name, size): &(&str, i64)| (format!("model.layers.{layer}.{name}.weight"), vec![*size]);
        shapes.extend(norms.iter().map(named));
    }
    shapes
}
