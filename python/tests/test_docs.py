"""The pages' Python is run as it stands, from top to bottom of a page. Needs SmolLM2-135M (`./just setup model`)."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import tokensieve
import trl
from datasets import Dataset
from sieve_fixtures import TEXTS, initial, load

REPOSITORY = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def given(folder: Path) -> dict[str, Any]:
    """What the pages take for given: names, and the files of a folder."""
    for name in ("my.jsonl", "held-out.jsonl"):
        shutil.copy(REPOSITORY / "llm/examples/pirate.jsonl", folder / name)
    lora = peft.LoraConfig(r=4, task_type="CAUSAL_LM")
    model = load(initial(folder, "base", 1))
    twin = peft.get_peft_model(load(folder / "base/model"), lora)  # type: ignore[arg-type]
    twin.save_pretrained(str(folder / "runs/mle/adapter"))
    return {
        "loss": np.linspace(0.1, 3.0, 40),
        "entropy": np.linspace(3.0, 0.1, 40),
        "document": np.arange(40, dtype=np.uint32) // 10,
        "prompt": [1, 2, 3],
        "response": [4, 5],
        "model": peft.get_peft_model(model, lora),  # type: ignore[arg-type]
        "data": Dataset.from_dict({"text": TEXTS}),
        "config": trl.SFTConfig(
            str(folder / "trained"), max_steps=2, per_device_train_batch_size=4, use_cpu=True, bf16=False,
            report_to="none", save_strategy="no", gradient_checkpointing=False,
        ),
    }  # fmt: skip


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_a_pages_python_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = given(tmp_path)
    blocks = BLOCK.findall((REPOSITORY / page).read_text())
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), names)

    pulls = names["pulls"]
    assert pulls.selected.sum() == 10, "a quarter of the tokens"
    if page == "docs/python.md":
        assert isinstance(names["run"], tokensieve.Run)
        assert names["row"]["weights"] == [0.1] * 3 + [1.0] * 2
