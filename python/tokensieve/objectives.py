"""Objectives: from a few numbers per token to two pulls per token.

    objective = Objective("masked-mle+distill")
    pulls = objective.pulls(loss=loss, entropy=entropy, document=document)
    # a token's gradient on its logits is ((a + b) * p - a * e_y - b * q) / pulls.normaliser
    a, b = pulls.label, pulls.reference
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tokensieve import _objectives
from tokensieve._objectives import names, preset

__all__ = ["Key", "Objective", "Pulls", "keys", "names", "preset"]


@dataclass(frozen=True)
class Key:
    """A key of an objective's table."""

    name: str
    default: str
    about: str


def keys() -> list[Key]:
    """Every key of an objective's table, with its default and meaning."""
    return [Key(*key) for key in _objectives.keys()]


@dataclass(frozen=True)
class Pulls:
    """The two pulls of every token of a batch; arrays, or tensors if the losses were one.

    The step's gradient is the sum of the tokens' gradients divided by `normaliser`.
    """

    label: Any
    """a, the pull towards the label."""
    reference: Any
    """b, the pull towards the reference distribution."""
    selected: Any
    """Which tokens were selected."""
    normaliser: float
    tokens: int
    """How many tokens are not masked."""
    kept: int
    """How many of them were selected."""
    pulled: int
    """How many have a pull that is not zero."""


class Objective(_objectives.Training):
    """An objective, and its state over a training run: schedules, running quantiles, the corpus's thresholds.

    `definition` is a preset's name (`names()` lists them), a loss as an expression in p (`"-p^10"`, `"(1-p^0.5)/0.5"`),
    or a table as a dict or in TOML. `steps` is the length of the run, which only moving selections need; `seed` is that
    of the criterion `random`.
    """

    _arguments: tuple[str | dict[str, object], int | None, int]

    def __new__(cls, definition: str | Mapping[str, object], *, steps: int | None = None, seed: int = 0) -> Self:
        arguments = (_plain(definition), steps, seed)
        objective = super().__new__(cls, *arguments)
        objective._arguments = arguments
        return objective

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles and copies, which have the state, too."""
        return _resumed, (type(self), self._arguments, self.state()), vars(self)

    @property
    def definition(self) -> str | dict[str, object]:
        """What it was made of."""
        definition: str | dict[str, object] = _plain(self._arguments[0])
        return definition

    def fresh(self, *, steps: int | None = None, seed: int | None = None) -> Self:
        """The same objective, before its first step; for a run of that length and seed, if they are given.

        A subclass's own attributes go along as they are."""
        definition, own_steps, own_seed = self._arguments
        steps, seed = own_steps if steps is None else steps, own_seed if seed is None else seed
        # A subclass may be made of other arguments.
        objective = Objective.__new__(type(self), definition, steps=steps, seed=seed)
        vars(objective).update({name: value for name, value in vars(self).items() if name != "_arguments"})
        return objective

    def pulls(
        self,
        *,
        loss: Any,
        entropy: Any = None,
        top_entropy: Any = None,
        concentration: Any = None,
        reference_loss: Any = None,
        reference_mass: Any = None,
        divergence: Any = None,
        base_loss: Any = None,
        bald: Any = None,
        advantage: Any = None,
        score: Any = None,
        weight: Any = None,
        document: Any = None,
        position: Any = None,
        vocabulary: int | None = None,
        micro_batches: Sequence[int] | None = None,
    ) -> Pulls:
        """Takes one optimizer step: the statistics of all tokens of the whole batch in, their pulls out.

        Every statistic is an array or a tensor with one number per token: `loss` is -log p of the label, `entropy` that
        of the prediction, `document` the index of the token's document, and so on; in nats. Arrays and tensors of the
        CPU in single or double precision are read where they are, `document` and `position` in uint32. `position`
        defaults to the token's index; what the objective reads besides must be there. A token of weight 0 is masked.
        """
        columns = {
            name: column
            for name, column in {
                "loss": loss,
                "entropy": entropy,
                "top_entropy": top_entropy,
                "concentration": concentration,
                "reference_loss": reference_loss,
                "reference_mass": reference_mass,
                "divergence": divergence,
                "base_loss": base_loss,
                "bald": bald,
                "advantage": advantage,
                "score": score,
                "weight": weight,
                "document": document,
                "position": position,
            }.items()
            if column is not None
        }
        arrays = _columns(columns)
        label, reference, selected, counts = self.step_on(arrays, vocabulary, micro_batches)
        results = [_like(loss, array) for array in (label, reference, selected)]
        return Pulls(results[0], results[1], results[2], *counts)

    def step_on(
        self,
        columns: Mapping[str, NDArray[Any]],
        vocabulary: int | None = None,
        micro_batches: Sequence[int] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_], tuple[float, int, int, int]]:
        """`pulls` on a table of arrays."""
        count = len(columns["loss"])
        label, reference, selected = np.empty(count), np.empty(count), np.empty(count, np.uint8)
        counts = self._pulls(columns, vocabulary, micro_batches, (label, reference, selected))
        return label, reference, selected.view(np.bool_), counts

    def losses(
        self,
        columns: Mapping[str, NDArray[Any]],
        selected: NDArray[np.bool_],
        cross_entropy: NDArray[np.float64],
        vocabulary: int | None = None,
    ) -> NDArray[np.float64]:
        """Each token's loss as it is written down, whose gradient the pulls are; `cross_entropy` is that of the
        reference's prediction with the model's, 0 where there is none. Not divided by the normaliser."""
        count = len(columns["loss"])
        selected, cross_entropy = np.require(selected, np.bool_), np.require(cross_entropy, np.float64, "A")
        if not len(selected) == len(cross_entropy) == count:
            lengths = f"{len(selected)} and {len(cross_entropy)}"
            raise ValueError(f"`selected` and `cross_entropy` have {lengths} values for {count} tokens")
        result = np.empty(count)
        self._losses(columns, vocabulary, selected.view(np.uint8), cross_entropy, result)
        return result

    def survey(self, *, vocabulary: int | None = None, **statistics: Any) -> None:
        """Adds the statistics of part of the corpus, for a selection within the corpus: before the first step."""
        self._survey(_columns(statistics), vocabulary)

    def __repr__(self) -> str:
        return f"Objective({self.name!r})"


def _resumed(
    kind: type[Objective], arguments: tuple[str | dict[str, object], int | None, int], state: str
) -> Objective:
    definition, steps, seed = arguments
    objective = Objective.__new__(kind, definition, steps=steps, seed=seed)
    objective.resume(state)
    return objective


def _plain(value: Any) -> Any:
    """A table in dicts of its own, which nobody else changes, with NumPy's numbers as Python's."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return value.item() if isinstance(value, np.generic) else value


def _columns(statistics: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Columns of the types that the extension reads; what has one of them already is not copied."""
    columns = {name: _column(name, values) for name, values in statistics.items()}
    if "loss" not in columns:
        raise ValueError("the statistics of a batch need `loss`, -log p of every label")
    columns.setdefault("position", np.arange(len(columns["loss"]), dtype=np.uint32))
    return columns


def _column(name: str, values: Any) -> NDArray[Any]:
    array = _array(name, values)
    if array.ndim != 1:
        raise ValueError(f"`{name}` has the shape {array.shape}; one number per token is needed: flatten it")
    if name in ("document", "position"):
        is_whole = array.dtype.kind in "iu" and 0 <= array.min() <= array.max() < 2**32 if array.size else True
        if not is_whole:
            raise ValueError(f"`{name}` must be whole numbers from 0 to 2^32 - 1")
        return np.require(array, np.uint32, "A")
    # The buffer protocol lends only aligned numbers.
    return np.require(array, None if array.dtype in (np.float32, np.float64) else np.float64, "A")


def _array(name: str, values: Any) -> NDArray[Any]:
    """The values as an array, which shares the memory of what has some on the CPU."""
    if hasattr(values, "detach"):  # a tensor of torch
        tensor = values.detach().cpu()
        # NumPy lacks torch's smaller types.
        values = tensor.float() if tensor.dtype.itemsize < 4 and tensor.is_floating_point() else tensor
    if isinstance(values, np.ndarray) or not hasattr(values, "__dlpack__"):
        return np.asarray(values)
    try:
        return np.from_dlpack(values)
    except (BufferError, RuntimeError) as error:
        problem = f"`{name}` cannot be read where it lies ({error}): pass it on the CPU, in single or double precision"
        raise ValueError(problem) from error


def _like(example: Any, array: NDArray[Any]) -> Any:
    """The array as a tensor on the example's device, if that is a tensor."""
    if not hasattr(example, "detach"):
        return array
    import torch

    return torch.from_numpy(array).to(example.device)
