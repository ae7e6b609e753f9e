"""Adapters that the program writes, in peft: it adapts the same modules, and computes what the merged model computes.

Needs the program: TOKENSIEVE_BIN or an installed wheel.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from sieve_fixtures import initial, load, program, rows
from tokensieve.program import run

SETTINGS: dict[str, dict[str, object]] = {
    "plain": {"r": 4, "lora_alpha": 8},
    "rslora": {"r": 3, "lora_alpha": 4, "use_rslora": True},
    "patterns": {"r": 4, "lora_alpha": 8, "rank_pattern": {"q_proj": 6}, "alpha_pattern": {"down_proj": 3}},
    "two-modules": {"r": 4, "lora_alpha": 8, "target_modules": ["v_proj", "up_proj"]},
}
# Every linear layer but the last, which no adapter of the program changes.
LINEAR = {
    *(f"self_attn.{name}_proj" for name in "qkvo"),
    *(f"mlp.{name}_proj" for name in ("gate", "up", "down")),
}
# Of the largest logit: sums of a few dozen products in f32.
TOLERANCE = 2e-5


def logits(model: Any, data: list[dict[str, torch.Tensor]]) -> torch.Tensor:
    """Of all tokens that are no padding."""
    batch = {name: torch.stack([row[name] for row in data]) for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        return model.eval()(**batch).logits[batch["attention_mask"] == 1]


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max())


@pytest.fixture(scope="module", params=[1, 2], ids=["own-head", "tied-head"])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return initial(tmp_path_factory.mktemp("model"), "model", request.param)


@pytest.mark.parametrize("name", SETTINGS)
def test_peft_computes_what_the_merged_model_computes(name: str, source: Path, tmp_path: Path) -> None:
    lora = SETTINGS[name]
    settings = {f"lora.{key}": value for key, value in lora.items()}
    program(tmp_path, {"model.source": str(source), "train.full": False} | settings, "run")
    adapter, merged = tmp_path / "run/adapter", tmp_path / "merged"
    run("merge", source, adapter, merged, progress=False, dtype="f32")

    base, data = load(source), rows(source)
    before, wanted = logits(base, data), logits(load(merged), data)
    assert apart(before, wanted) > 1e-3, "the adapter changes next to nothing"
    adapted = peft.PeftModel.from_pretrained(base, str(adapter))
    found = apart(logits(adapted, data), wanted)
    print(f"{name}: peft {found:.1e}, without the adapter {apart(before, wanted):.1e}")
    assert found < TOLERANCE
    modules = {
        ".".join(module.split(".")[-2:])
        for module, layer in adapted.named_modules()
        if isinstance(layer, peft.tuners.lora.LoraLayer)
    }
    targets = lora.get("target_modules")
    assert modules == {module for module in LINEAR if targets is None or module.split(".")[-1] in targets}
