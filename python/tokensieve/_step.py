"""What an optimizer step consists of: its micro-batches, their tokens, and what is known of these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokensieve._columns import SCORES, WEIGHTS, of_labels, predicted

Columns = dict[str, NDArray[Any]]


@dataclass
class Tokens:
    """The tokens that a micro-batch predicts."""

    mask: Tensor
    labels: Tensor
    document: Tensor
    documents: int
    weight: Tensor | None = None
    score: Tensor | None = None

    @classmethod
    def of(cls, inputs: Mapping[str, Any], scored: bool = False) -> Tokens:
        """`scored`: whether the objective reads the tokens' scores."""
        labels, positions = inputs.get("labels"), inputs.get("position_ids")
        if labels is None:
            raise ValueError(
                "batches need `labels`, -100 where nothing is predicted: use a collator that makes them, such as "
                "DataCollatorForLanguageModeling(tokenizer, mlm=False)"
            )
        if positions is None:
            document = torch.arange(len(labels), device=labels.device)[:, None].expand_as(labels)
        else:  # a document begins with each row and at position 0: rows may hold several, or the rest of one
            begins = (positions == 0).expand_as(labels).clone()
            begins[:, 0] = True
            document = (begins.flatten().cumsum(0) - 1).view_as(labels)
        mask = predicted(inputs)
        tokens = cls(mask, labels[:, 1:][mask], document[:, 1:][mask], int(document.max()) + 1)
        weights = of_labels(inputs, WEIGHTS)
        tokens.weight = None if weights is None else weights[mask]
        if scored:
            scores = of_labels(inputs, SCORES)
            if scores is None or not bool(scores[mask].isfinite().all()):
                raise ValueError(
                    f"the objective reads `score`: batches need `{SCORES}`, a finite number wherever there is a label"
                )
            tokens.score = scores[mask]
        return tokens

    def columns(self) -> Columns:
        """Each token's document, its index among the document's tokens, its weight, and its score where that is
        read."""
        document = self.document.cpu().numpy()
        position = np.arange(len(document)) - np.searchsorted(document, document)
        # Always there, as a column that all micro-batches of a step must have.
        weight = np.ones(len(document)) if self.weight is None else numbers(self.weight)
        found = {"document": document.astype(np.uint32), "position": position.astype(np.uint32), "weight": weight}
        return found if self.score is None else found | {"score": numbers(self.score)}


@dataclass
class Micro:
    """A micro-batch of the present step."""

    inputs: Mapping[str, Any]
    random: Random | None = None
    columns: Columns = field(default_factory=dict)
    documents: int = 0


@dataclass
class Step:
    """An optimizer step, on this process."""

    micros: list[Micro]
    next: int = 0
    # Of every micro-batch, the pulls towards label and reference, and what is selected.
    pulls: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = field(default_factory=list)
    normaliser: float = 1.0
    losses: float = 0.0
    reported: float = 0.0


@dataclass
class Random:
    """The state of the generators that dropout draws from: a micro-batch is computed twice with the same masks."""

    cpu: Tensor
    # The module of torch for another device than the CPU, such as torch.cuda, and its generator's state.
    device: tuple[Any, Tensor] | None

    @classmethod
    def now(cls, device: torch.device) -> Random:
        other = None if device.type == "cpu" else torch.get_device_module(device)
        return cls(torch.get_rng_state(), None if other is None else (other, other.get_rng_state()))

    def restore(self) -> None:
        torch.set_rng_state(self.cpu)
        if self.device is not None:
            module, state = self.device
            module.set_rng_state(state)


def numbers(column: Tensor) -> NDArray[Any]:
    return column.double().cpu().numpy()
