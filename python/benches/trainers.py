"""The time of SieveTrainer's last layer and of its LoRA step, as shares of those of TRL's trainer in the same run.

    python python/benches/trainers.py [--rounds 15] [--threads 2]

The shape is SmolLM2-135M's, the weights are random. Repetitions alternate; the ratios are those of the medians.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import peft
import tokenizers
import torch
import transformers
import trl
from datasets import Dataset
from tokensieve import head
from tokensieve.trl import SieveTrainer
from trl.trainer.utils import _ChunkedLogProbFunction

SHAPE = transformers.LlamaConfig(
    vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
    num_key_value_heads=3, tie_word_embeddings=True,
)  # fmt: skip
# As SFTTrainer calls its layer (trl/trainer/utils.py).
TRL_CHUNK, TRL_OUTPUTS = 32768, ("log_probs", "entropy", "is_top1")
DOCUMENTS, LENGTH = 4, 128

Contestants = dict[str, Callable[[], object]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for what, contestants in (("last layer", layers()), ("LoRA step", steps())):
        medians = race(contestants, options.rounds)
        wall, busy = medians["TRL"]
        for name, (own, cpu) in medians.items():
            shares = f"{own / wall:.3f} of TRL's, {cpu / busy:.3f} by processor time"
            print(f"{what:<10} {name:<11} {own * 1e3:8.1f} ms, {shares}", flush=True)


def race(contestants: Contestants, rounds: int) -> dict[str, tuple[float, float]]:
    """The median times of each, by the clock and of the processor, which other programs disturb less. They run one
    after the other in every round."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for round_ in range(-1, rounds):
        for name, run in contestants.items():
            start, busy = time.perf_counter(), time.process_time()
            run()
            if round_ >= 0:
                times[name].append((time.perf_counter() - start, time.process_time() - busy))
    columns = {name: tuple(zip(*values, strict=True)) for name, values in times.items()}
    return {name: (statistics.median(wall), statistics.median(cpu)) for name, (wall, cpu) in columns.items()}


def layers() -> Contestants:
    """Forward and backward of the last layer of 508 tokens, its weight frozen."""
    torch.manual_seed(0)
    tokens = DOCUMENTS * (LENGTH - 1)
    hidden = torch.randn(tokens, SHAPE.hidden_size, requires_grad=True)
    weight = torch.randn(SHAPE.vocab_size, SHAPE.hidden_size) * 0.02
    labels = torch.randint(SHAPE.vocab_size, (tokens,))
    layer, wanted, ones = head.Head(weight), frozenset({"entropy", "correct"}), torch.ones(tokens)

    def theirs() -> None:
        log_p, *_ = _ChunkedLogProbFunction.apply(hidden, weight, None, labels, 1.0, TRL_CHUNK, None, 1.0, TRL_OUTPUTS)
        (-log_p.sum() / tokens).backward()

    def at_once() -> None:
        found = head.gradient(layer, hidden, labels, lambda chunk, _: (ones[chunk], None), wanted)
        head.pulled_loss(found.statistics["loss"].mean(), 1 / tokens, found, hidden, layer).backward()

    def selecting() -> None:
        loss = head.statistics(layer, hidden, labels, wanted)["loss"]
        some = torch.from_numpy(np.flatnonzero(loss.numpy() >= np.quantile(loss.numpy(), 0.75)))
        rows = hidden[some]
        found = head.gradient(layer, rows, labels[some], lambda chunk, _: (ones[some][chunk], None))
        head.pulled_loss(loss.mean(), 1 / tokens, found, rows, layer).backward()

    return {"TRL": theirs, "mle": at_once, "masked-mle": selecting}


def steps() -> Contestants:
    """Forward and backward of a LoRA step on 4 documents of 128 tokens."""
    vocabulary = {f"<{i}>": i for i in range(16)}
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<0>"))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<1>", pad_token="<2>")
    ids = torch.randint(SHAPE.vocab_size, (DOCUMENTS, LENGTH))
    data = Dataset.from_list([{"input_ids": row, "labels": row} for row in ids.tolist()])
    batch = {"input_ids": ids, "labels": ids.clone(), "attention_mask": torch.ones_like(ids)}

    def step(kind: type[Any], **options: Any) -> Callable[[], object]:
        transformers.set_seed(0)
        model = peft.get_peft_model(
            transformers.LlamaForCausalLM(SHAPE),
            peft.LoraConfig(r=32, lora_alpha=64, target_modules="all-linear", task_type="CAUSAL_LM"),
        )
        config = trl.SFTConfig(
            tempfile.mkdtemp(), use_cpu=True, bf16=False, gradient_checkpointing=False, report_to=[],
            disable_tqdm=True, max_length=None,
        )  # fmt: skip
        trainer = kind(model=model, args=config, train_dataset=data, processing_class=tokenizer, **options)
        trainer.current_gradient_accumulation_steps = 1
        return lambda: trainer.training_step(model, dict(batch), torch.tensor(DOCUMENTS * (LENGTH - 1)))

    return {
        "TRL": step(trl.SFTTrainer),
        "mle": step(SieveTrainer, objective="mle"),
        "masked-mle": step(SieveTrainer, objective="masked-mle"),
    }


if __name__ == "__main__":
    main()
