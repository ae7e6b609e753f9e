"""Columns of a batch that stand beside `labels`, one number per token: `weights` and `token_scores`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

WEIGHTS, SCORES = "weights", "token_scores"
# What a row without them has: every token counts once, and no token has a score.
MISSING = {WEIGHTS: 1.0, SCORES: float("nan")}


def without(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What a model is called with."""
    return {name: value for name, value in inputs.items() if name not in MISSING}


def predicted(inputs: Mapping[str, Any]) -> Tensor:
    """Which labels are predicted, the first of each row left out: those of weight 0 are masked."""
    mask: Tensor = inputs["labels"][:, 1:] != -100
    weights = of_labels(inputs, WEIGHTS)
    if weights is None:
        return mask
    if not bool((weights[mask].isfinite() & (weights[mask] >= 0)).all()):
        raise ValueError(f"`{WEIGHTS}` must be finite and not negative wherever there is a label")
    return mask & (weights > 0)


def of_labels(inputs: Mapping[str, Any], name: str) -> Tensor | None:
    """A column, the first token of each row left out."""
    values: Tensor | None = inputs.get(name)
    if values is None:
        return None
    found, right = tuple(values.shape), tuple(inputs["labels"].shape)
    if found != right:
        raise ValueError(f"`{name}` has the shape {found}, but `labels` has {right}: it needs one number per token")
    return values[:, 1:]


@dataclass
class Collator:
    """A collator whose batches have the rows' columns, too.

    The collators of transformers and TRL do not know them: they are padded here as those pad `input_ids`. Any other
    collator gets whole rows and has to return the columns.
    """

    inner: Callable[..., Any]

    def __call__(self, rows: Sequence[Any]) -> Any:
        names = [name for name in MISSING if any(isinstance(row, Mapping) and name in row for row in rows)]
        if not names:
            return self.inner(rows)
        module = getattr(self.inner, "__module__", None) or type(self.inner).__module__
        if module.split(".")[0] not in ("transformers", "trl"):
            batch = self.inner(rows)
            lost = [name for name in names if name not in batch]
            if lost:
                raise ValueError(f"rows have `{lost[0]}`, which the data collator leaves out: it must return it, too")
            return batch
        batch = self.inner([without(row) for row in rows])
        places = _places([torch.as_tensor(row["input_ids"]) for row in rows], batch["input_ids"])
        for name in names:
            batch[name] = torch.full(batch["input_ids"].shape, MISSING[name])
            for number, (row, place) in enumerate(zip(rows, places, strict=True)):
                values = row.get(name)
                if values is None:
                    continue
                if len(values) != len(row["input_ids"]):
                    raise ValueError(
                        f"row {number} of a batch has {len(values)} `{name}`, but {len(row['input_ids'])} tokens: it "
                        "needs one per token (the trainers' truncation leaves them as they are)"
                    )
                batch[name][place] = torch.as_tensor(values, dtype=torch.float32)
        return batch


def _places(rows: Sequence[Tensor], batch: Tensor) -> list[tuple[int, slice]]:
    """Where each row's tokens lie in the batch: padded on either side, or all rows one after the other."""
    if len(batch) == len(rows):
        found = [(number, slice(0, len(row))) for number, row in enumerate(rows)]
        if not _lie(rows, found, batch):
            found = [(number, slice(batch.shape[1] - len(row), None)) for number, row in enumerate(rows)]
    else:
        ends = torch.tensor([len(row) for row in rows]).cumsum(0).tolist()
        found = [(0, slice(end - len(row), end)) for row, end in zip(rows, ends, strict=True)]
    if not _lie(rows, found, batch):
        raise ValueError(
            f"the data collator changes the rows' tokens, so that their `{WEIGHTS}` and `{SCORES}` have no place: "
            "pass one that only pads"
        )
    return found


def _lie(rows: Sequence[Tensor], places: Sequence[tuple[int, slice]], batch: Tensor) -> bool:
    return all(torch.equal(batch[place], row) for row, place in zip(rows, places, strict=True))
