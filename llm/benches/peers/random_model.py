"""Writes a randomly initialised model of Llama-3.2-1B's shape as a Hugging Face folder, in bf16.

    random_model.py TOKENIZER_FOLDER FOLDER [--tiny] [--layers N] [--hidden N] …

The tokenizer is copied from a folder (`tokensieve convert smollm2-135m TOKENIZER_FOLDER` makes one; its weights are not
read). Speed does not depend on what the weights are, so nobody needs to fetch any.
"""

import argparse
import json
import shutil
from pathlib import Path

import common
import torch
from safetensors.torch import save_file

SHAPE = {"layers": 16, "hidden": 2048, "ffn": 8192, "heads": 32, "kv_heads": 8, "head_dim": 64, "vocab": 128256}
# To try the programs on a CPU; SmolLM2's tokenizer needs the vocabulary.
TINY = {"layers": 2, "hidden": 128, "ffn": 256, "heads": 4, "kv_heads": 2, "head_dim": 32, "vocab": 49152}


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tiny", action="store_true", help="two layers of 128")
    for key, size in SHAPE.items():
        parser.add_argument(f"--{key.replace('_', '-')}", type=int, help=f"default {size}, tiny {TINY[key]}")
    options = parser.parse_args()
    for key, size in (TINY if options.tiny else SHAPE).items():
        if getattr(options, key) is None:
            setattr(options, key, size)
    return options


def config(options):
    # Begin and end of text are the tokenizer's.
    ends = {key: token for key, token in common.load_config(options.tokenizer).items() if key.endswith("_token_id")}
    return ends | {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": options.vocab,
        "hidden_size": options.hidden,
        "intermediate_size": options.ffn,
        "num_hidden_layers": options.layers,
        "num_attention_heads": options.heads,
        "num_key_value_heads": options.kv_heads,
        "head_dim": options.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
        "rope_theta": 500000.0,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 32.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
        "attention_bias": False,
        "mlp_bias": False,
        "torch_dtype": "bfloat16",
    }


def weights(options):
    """By name: matrices of standard deviation 0.02, norms of ones."""
    hidden, ffn = options.hidden, options.ffn
    queries, keys = options.heads * options.head_dim, options.kv_heads * options.head_dim
    shapes = {"model.embed_tokens": (options.vocab, hidden), "model.norm": (hidden,)}
    for layer in range(options.layers):
        shapes |= {
            f"model.layers.{layer}.{name}": shape
            for name, shape in {
                "input_layernorm": (hidden,),
                "self_attn.q_proj": (queries, hidden),
                "self_attn.k_proj": (keys, hidden),
                "self_attn.v_proj": (keys, hidden),
                "self_attn.o_proj": (hidden, queries),
                "post_attention_layernorm": (hidden,),
                "mlp.gate_proj": (ffn, hidden),
                "mlp.up_proj": (ffn, hidden),
                "mlp.down_proj": (hidden, ffn),
            }.items()
        }
    random = torch.Generator().manual_seed(0)
    empty = {f"{name}.weight": torch.empty(shape, dtype=torch.bfloat16) for name, shape in shapes.items()}
    return {
        name: tensor.normal_(0.0, 0.02, generator=random) if tensor.dim() == 2 else tensor.fill_(1.0)
        for name, tensor in empty.items()
    }


def main():
    options = parse()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"):
        if (options.tokenizer / name).exists():
            shutil.copy(options.tokenizer / name, options.folder / name)
    (options.folder / "config.json").write_text(json.dumps(config(options), indent=2), encoding="utf-8")
    save_file(weights(options), options.folder / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    main()
