"""A tiny Llama, rows to train it on, and runs of SieveTrainer and of the program `tokensieve` on both."""

from __future__ import annotations

import copy
import gc
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import torch
import transformers
from tokensieve.command import prepared
from tokensieve.transformers import SieveTrainer

CHARACTERS = "abcdefghijklmnopqrstuvwxyz "
TEXTS = [
    "the cat sat", "a dog ran off", "it rains", "we sing a song together", "no", "one two three four",
    "why not", "under the old bridge", "cold tea", "she reads", "all is well now", "zebras quietly jump",
]  # fmt: skip
STEPS, RATE = 3, 0.5
# More threads wait for each other longer than they compute on so small a model.
torch.set_num_threads(1)
# A trainer collects garbage when it begins: not among the libraries' objects too.
gc.freeze()

SETTINGS = {
    "model.dtype": "f32",
    "train.full": True,
    "train.steps": STEPS,
    "train.save_at": [1],
    "train.batch_size": len(TEXTS),
    "train.optimizer": "sgd",
    "train.momentum": 0.0,
    "train.lr": RATE,
    "train.schedule": "constant",
    "train.warmup": 0,
    "train.clip": 0.0,
    "log.tensorboard": False,
    "log.selection": False,
}


def program(
    folder: Path, settings: dict[str, object], name: str, columns: list[dict[str, list[float]]] | None = None
) -> list[dict[str, Any]]:
    """Runs `tokensieve train` on the texts, with columns of their own; the steps of metrics.jsonl. The weights lie in
    `folder`/name/model, those after the first step in step-1."""
    data = folder / f"{name}.jsonl"
    every_row = zip(TEXTS, columns or [{}] * len(TEXTS), strict=True)
    data.write_text("".join(json.dumps({"text": text, **own}) + "\n" for text, own in every_row))
    every = SETTINGS | {"data.train": str(data), "data.format": "text", "train.out": str(folder / name)} | settings
    config = folder / f"{name}.toml"
    config.write_text("".join(f"{key} = {_toml(value)}\n" for key, value in every.items()))
    path, environment = prepared()
    command = [path, "train", str(config)]
    environment = {**environment, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (folder / name / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if "loss" in line and "lr" in line]


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }"
    return json.dumps(value)


def initial(folder: Path, name: str, seed: int) -> Path:
    """A model from a random initialisation, as a Hugging Face folder."""
    init = {
        "hidden_size": 32, "layers": 2, "heads": 4, "kv_heads": 2, "intermediate_size": 48, "context": 64,
        "characters": CHARACTERS, "seed": seed, "std": 0.3, "tie_embeddings": seed % 2 == 0,
    }  # fmt: skip
    program(folder, {f"model.init.{key}": value for key, value in init.items()} | {"train.lr": 0.0}, name)
    return folder / name / "model"


def rows(model: Path) -> list[dict[str, torch.Tensor]]:
    """The texts in the model's tokens, as the program trains on them: padded on the right to one length."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    config = transformers.AutoConfig.from_pretrained(model)
    every = []
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        ids = ids if ids[-1] == config.eos_token_id else [*ids, config.eos_token_id]
        rest = 32 - len(ids)
        every.append({
            "input_ids": torch.tensor(ids + [0] * rest),
            "attention_mask": torch.tensor([1] * len(ids) + [0] * rest),
            "labels": torch.tensor(ids + [-100] * rest),
        })  # fmt: skip
    return every


def load(folder: Path) -> transformers.PreTrainedModel:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert isinstance(model, transformers.PreTrainedModel)
    return model


def tiny(tied: bool = False) -> transformers.LlamaForCausalLM:
    """A Llama from transformers' own random initialisation."""
    config = transformers.LlamaConfig(
        vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, initializer_range=0.3, tie_word_embeddings=tied,
    )  # fmt: skip
    transformers.set_seed(0)
    return transformers.LlamaForCausalLM(config)


def tiny_rows() -> list[dict[str, torch.Tensor]]:
    """As many rows as there are texts, of several lengths, with prompts that are not trained on."""
    generator = torch.Generator().manual_seed(1)
    every = []
    for row in range(len(TEXTS)):
        length = 5 + row * 5 % 11
        seen = torch.arange(16) < length
        ids = torch.randint(61, (16,), generator=generator)
        labels = torch.where(seen & (torch.arange(16) > 2), ids, -100)
        every.append({"input_ids": ids, "attention_mask": seen.long(), "labels": labels})
    return every


class InOrder(SieveTrainer):
    """Rows come in their order, and gradients are kept."""

    def _get_train_sampler(self, *_: Any) -> Any:
        return torch.utils.data.SequentialSampler(self.train_dataset)  # type: ignore[arg-type]


class Gradients(transformers.TrainerCallback):
    """Keeps the gradients of the first step."""

    def __init__(self) -> None:
        self.first: dict[str, torch.Tensor] = {}

    def on_pre_optimizer_step(self, *_: Any, model: torch.nn.Module, **__: Any) -> None:
        named = model.named_parameters()
        if not self.first:
            self.first = {name: p.grad.clone() for name, p in named if p.grad is not None}


def arguments(folder: Path, micro_batches: int, **options: Any) -> transformers.TrainingArguments:
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    settings: dict[str, Any] = dict(
        per_device_train_batch_size=len(TEXTS) // micro_batches // processes,
        gradient_accumulation_steps=micro_batches,
        max_steps=STEPS,
        logging_steps=1,
        optim="sgd",
        learning_rate=RATE,
        lr_scheduler_type="constant",
        max_grad_norm=0.0,
        report_to=[],
        use_cpu=True,
        save_strategy="no",
        disable_tqdm=True,
        seed=0,
        ddp_backend="gloo" if processes > 1 else None,
    )  # fmt: skip
    return transformers.TrainingArguments(str(folder), **(settings | options))


def trained(
    folder: Path,
    model: torch.nn.Module,
    data: list[dict[str, torch.Tensor]],
    micro_batches: int,
    steps: int = STEPS,
    rate: float = RATE,
    **options: Any,
) -> tuple[list[float], torch.nn.Module, dict[str, torch.Tensor]]:
    """Trains a copy of the model; its losses, the copy, and the gradients of the first step."""
    model, gradients = copy.deepcopy(model), Gradients()
    trainer = InOrder(
        model=model,
        args=arguments(folder, micro_batches, max_steps=steps, learning_rate=rate),
        train_dataset=data,
        callbacks=[gradients],
        **options,
    )  # fmt: skip
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry], model, gradients.first


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """How far two lists of tensors are apart, as a share of their length."""
    assert one.keys() == other.keys()
    apart = sum(((one[name] - other[name]) ** 2).sum().item() for name in one)
    length = sum((other[name] ** 2).sum().item() for name in one)
    return float((apart / max(length, 1e-30)) ** 0.5)
