"""Training with an objective in a trainer of transformers: the part that both trainers share.

An optimizer step has several micro-batches, and several processes. The objective sees the tokens of all of them:

| the objective | micro-batches in a process | what is computed |
|---|---|---|
| selects | one | a forward pass; the head's statistics; pulls; the head's gradient |
| selects | several | the same, after a forward pass without gradient of all but the first |
| does not | any number | a forward pass with the head's statistics, pulls and gradient, chunk by chunk |
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers.trainer_utils import get_last_checkpoint

from tokensieve import _models
from tokensieve._columns import MISSING, Collator, predicted, without
from tokensieve._step import Columns, Micro, Random, Step, Tokens, numbers
from tokensieve.head import Gradient, Head, Reference, Statistics, gradient, pulled_loss, statistics
from tokensieve.objectives import Objective

if TYPE_CHECKING:
    from transformers import Trainer as _Base
else:
    _Base = object

STATE = "objective.json"
# Names in expressions, and the statistics that they are computed from.
STATISTICS = {
    "entropy": "entropy",
    "entropy_top20": "top_entropy",
    "concentration": "concentration",
    "reference_loss": "reference_loss",
    "p_ref": "reference_loss",
    "mass_ref": "reference_mass",
    "divergence": "divergence",
    "base_loss": "base_loss",
    "p_base": "base_loss",
}
UNAVAILABLE = {
    "bald": "estimates made beforehand",
    "advantage": "an advantage of each response",
}
# For the log, whatever the objective reads.
LOGGED = frozenset({"entropy", "correct"})


class SieveMixin(_Base):
    """`objective` and `reference` for a trainer of transformers; it stands before the trainer among the bases."""

    # The loss is divided by the normaliser of the whole optimizer batch.
    loss_is_scaled_for_ga: Any = True
    _objective: Objective
    # What transformers keeps as `objective` during a hyperparameter search: the value of a trial.
    _value: Any = None

    def __init__(
        self,
        *arguments: Any,
        objective: str | Mapping[str, object] | Objective,
        reference: str | nn.Module | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        # A schedule's length is known when training begins.
        self._has_steps = isinstance(objective, Objective)
        self._objective = objective if isinstance(objective, Objective) else Objective(objective, steps=1)
        self._check()
        self._source = reference
        self._open()
        of_no_other_model = self._objective.against in ("uniform", "self")
        constant = Reference(temperature=self._objective.temperature, reverse=self._objective.reverse)
        self._constant = constant if of_no_other_model else None
        self._step: Step | None = None
        self._logged: dict[str, list[float]] = {}
        self._resumed: Path | None = None
        self._verified = False
        self._began = False

    @property
    def objective(self) -> Any:
        """The objective and its state; that of a run from its first step on. During a hyperparameter search, which has
        another use for the name, the value of a trial."""
        return self._objective if self.hp_search_backend is None else self._value

    @objective.setter
    def objective(self, value: Any) -> None:
        if self.hp_search_backend is None:
            raise AttributeError("the objective of a SieveTrainer is the one that it was made with")
        self._value = value

    # ---- What is refused -----------------------------------------------------------------------------------------

    def _check(self) -> None:
        name, options = self._objective.name, self.args
        for variable in self._objective.reads:
            if variable in UNAVAILABLE:
                raise ValueError(
                    f"the objective `{name}` reads `{variable}`, {UNAVAILABLE[variable]}, which SieveTrainer lacks: "
                    "use `tokensieve train`"
                )
        spread = self.is_deepspeed_enabled or self.is_fsdp_enabled or bool(self.accelerator.parallelism_config)
        several = options.n_gpu > 1 or self.is_model_parallel
        unsupported = {
            "several GPUs in one process, or a device_map: start one process for each GPU, by torchrun": several,
            "weights or sequences that are spread over processes (FSDP, DeepSpeed, a parallelism_config)": spread,
            "compute_loss_func, beside an objective": self.compute_loss_func is not None,
            "label_smoothing_factor; the objective `label-smoothing` does it": options.label_smoothing_factor > 0,
            "torch_compile": options.torch_compile,
            "auto_find_batch_size, which begins a run a second time": options.auto_find_batch_size,
        }
        for what, asked in unsupported.items():
            if asked:
                raise ValueError(f"SieveTrainer does not support {what}")
        _models.check(self._model)

    def _open(self) -> None:
        """Opens the models that the objective compares with."""
        self._reference = self._opened(self._source)
        self._base = self._opened_base() if "base_loss" in self._reads else None

    def _opened_base(self) -> _models.ReferenceModel:
        if self._objective.against == "base" and self._reference is not None:
            return self._reference
        if not _models.adapters(self._model):
            raise ValueError(
                f"the objective `{self._objective.name}` reads the base model's loss or probability of a token, and "
                "full fine-tuning overwrites that model: train an adapter"
            )
        return _models.ReferenceModel(self._model, None)

    def _opened(self, source: str | nn.Module | None) -> _models.ReferenceModel | None:
        name, against = self._objective.name, self._objective.against
        if against in (None, "uniform", "self"):
            if source is not None:
                raise ValueError(f"the objective `{name}` compares with no reference model: leave reference= away")
            return None
        if source is None and against != "base":
            raise ValueError(
                f"the objective `{name}` compares with a reference ({against}): "
                "pass reference=, the name of an adapter of the model, or another model"
            )
        return _models.ReferenceModel(self._model, source)

    # ---- What the trainers call ----------------------------------------------------------------------------------

    def _set_signature_columns_if_needed(self) -> None:
        """Data sets keep the columns that are ours."""
        super()._set_signature_columns_if_needed()
        known: Any = self._signature_columns
        known.extend(name for name in MISSING if name not in known)

    def _get_dataloader(self, *arguments: Any, **options: Any) -> Any:
        collator = self.data_collator
        self.data_collator = Collator(collator)
        try:
            return super()._get_dataloader(*arguments, **options)
        finally:
            # Under its own class, which the trainers ask for.
            self.data_collator = collator

    def train(self, resume_from_checkpoint: str | bool | None = None, *arguments: Any, **options: Any) -> Any:
        folder: Any = resume_from_checkpoint
        if folder is True:
            folder = get_last_checkpoint(self.args.output_dir)  # type: ignore[no-untyped-call]
        self._resumed = Path(folder) / STATE if folder else None
        self._began = False
        self._step = None
        self._logged = {}
        if self.model_init is not None:
            # They hold the last trial's model.
            self._reference = self._base = None
        return super().train(resume_from_checkpoint, *arguments, **options)

    def hyperparameter_search(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super().hyperparameter_search(*arguments, **options)
        finally:
            # transformers leaves them after an error.
            self.hp_search_backend, self._value = None, None

    def get_batch_samples(self, *arguments: Any, **options: Any) -> Any:
        """All micro-batches of an optimizer step."""
        batches, count = super().get_batch_samples(*arguments, **options)
        self._begin()
        self._step = Step([Micro(self._prepare_inputs(batch)) for batch in batches])
        return batches, count

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The objective's loss in training; -log p, as the trainer computes it, in evaluations."""
        if not model.training or return_outputs:
            return super().compute_loss(model, without(inputs), return_outputs, num_items_in_batch)
        self._begin()
        if self._step is None or self._step.next == len(self._step.micros):
            self._step = Step([Micro(inputs)])
        step = self._step
        micro = step.micros[step.next]
        if not self._verified:
            self._verified = True
            _models.verify(self._model, inputs)
        loss = self._local(model, step, micro) if self._objective.is_local else self._selected(model, step, micro)
        step.next += 1
        return loss

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Writes the objective and its state beside the trainer's: each trial of a search has a folder of its own."""
        if self.args.should_save:
            # Before the rest, which may already be uploaded when `super` returns.
            folder = Path(self._get_output_dir(trial)) / f"checkpoint-{self.state.global_step}"
            folder.mkdir(parents=True, exist_ok=True)
            kept = {"objective": self._objective.definition, "state": json.loads(self._objective.state())}
            (folder / STATE).write_text(json.dumps(kept))
        super()._save_checkpoint(model, trial)

    def log(self, logs: dict[str, float], *arguments: Any, **options: Any) -> None:
        """Adds means over the steps since the last entry: `nll`, `entropy`, `accuracy` (the label is the most probable
        token), and `selected`, the share of the tokens that the objective selected."""
        if "loss" in logs:
            logs.update({name: float(np.mean(values)) for name, values in self._logged.items()})
            self._logged = {}
        super().log(logs, *arguments, **options)

    # ---- The loss ------------------------------------------------------------------------------------------------

    def _local(self, model: nn.Module, step: Step, micro: Micro) -> Tensor:
        """Where a token's pulls follow from the token alone: its statistics, pulls and gradient at once.

        The normaliser is known with the last micro-batch; until then the number of tokens stands for it, and the
        gradient so far is corrected."""
        rows, tokens, q = self._forward(model, micro, towards=self._objective.distills)
        places = tokens.columns()
        scratch, head = self._objective.fresh(), self._head
        parts: list[NDArray[Any]] = []

        def pulls(chunk: slice, found: Statistics) -> tuple[Tensor, Tensor | None]:
            of_chunk = {name: column[chunk] for name, column in (micro.columns | places).items()}
            a, b, selected, _ = scratch.step_on(_read(of_chunk | _columns(found)), head.vocabulary)
            parts.append(selected)
            return _like(rows, a), _like(rows, b) if self._objective.distills else None

        result = gradient(head, rows, tokens.labels, pulls, self._wanted, q)
        distance = result.statistics.pop("distance")
        micro.columns |= places | _columns(result.statistics)
        micro.documents = tokens.documents
        selected = np.concatenate([np.empty(0, np.bool_), *parts])
        step.losses += self._written_out(micro.columns, selected, numbers(distance))

        if step.next == 0 and len(step.micros) > 1:
            step.normaliser = self._count(step)
        if step.next + 1 == len(step.micros):
            provisional = step.normaliser
            self._decide(step)
            if step.next > 0 and provisional != step.normaliser:
                for parameter in model.parameters():
                    if parameter.grad is not None:
                        parameter.grad.mul_(provisional / step.normaliser)
        return self._loss(step, result, rows, head)

    def _selected(self, model: nn.Module, step: Step, micro: Micro) -> Tensor:
        """Where a token's pulls follow from all tokens of the step."""
        if micro.random is not None:
            micro.random.restore()
        rows, tokens, q = self._forward(model, micro, towards=self._objective.distills)
        if step.next == 0:
            self._observe(micro, rows, tokens, q)
            for other in step.micros[1:]:
                other.random = Random.now(rows.device)
                with torch.no_grad():
                    self._observe(other, *self._forward(self._model, other, towards=False))
            self._decide(step)
        a, b, selected = step.pulls[step.next]
        pulled = np.flatnonzero((a != 0) | (b != 0))
        some = torch.from_numpy(pulled).to(rows.device)
        a_n, b_n = _like(rows, a[pulled]), _like(rows, b[pulled])

        def pulls(chunk: slice, found: Statistics) -> tuple[Tensor, Tensor | None]:
            return a_n[chunk], b_n[chunk] if self._objective.distills else None

        head, rows = self._head, rows[some]
        towards = q.rows(some) if q is not None and self._objective.distills else None
        result = gradient(head, rows, tokens.labels[some], pulls, reference=towards)
        distance = np.zeros(len(a))
        distance[pulled] = numbers(result.statistics["distance"])
        step.losses += self._written_out(micro.columns, selected, distance)
        return self._loss(step, result, rows, head)

    def _loss(self, step: Step, result: Gradient, rows: Tensor, head: Head) -> Tensor:
        """This micro-batch's part of the loss. Trainers add up micro-batches and average over processes."""
        scale = self._processes / step.normaliser
        value, step.reported = step.losses * scale - step.reported, step.losses * scale
        tensor = torch.tensor(value, device=rows.device, dtype=torch.float32)
        return pulled_loss(tensor, scale, result, rows, head)

    def _forward(self, model: nn.Module, micro: Micro, towards: bool) -> tuple[Tensor, Tokens, Reference | None]:
        """The hidden states of the tokens that a micro-batch predicts, and what the reference says of them: for pulls
        towards it, or for statistics that are not there yet."""
        tokens, q = Tokens.of(micro.inputs, "score" in self._objective.reads), self._constant
        observed = "loss" in micro.columns
        if self._reference is not None and (towards or not observed):
            hidden, head = self._reference.hidden(micro.inputs, self._dtype)
            q = Reference(
                hidden[:, :-1][tokens.mask], head, self._objective.top_k, reverse=self._objective.reverse
            )
        if self._base is not None and not observed:
            hidden, head = self._base.hidden(micro.inputs, self._dtype)
            found = statistics(head, hidden[:, :-1][tokens.mask], tokens.labels, frozenset())
            micro.columns["base_loss"] = numbers(found["loss"])
        hidden = _models.hidden_states(self._model, model, micro.inputs)
        return hidden[:, :-1][tokens.mask], tokens, q

    def _observe(self, micro: Micro, rows: Tensor, tokens: Tokens, q: Reference | None) -> None:
        """Computes what the objective reads of a micro-batch."""
        found = statistics(self._head, rows, tokens.labels, self._wanted, q)
        micro.columns |= tokens.columns() | _columns(found)
        micro.documents = tokens.documents

    def _decide(self, step: Step) -> None:
        """The pulls of all tokens of the step, of all processes."""
        mine = [(micro.columns, micro.documents) for micro in step.micros]
        every = self._gathered(mine)
        own, parts, documents = [], [], 0
        lengths: list[int] = []
        # In the order in which one process would have them all.
        for index in range(max(map(len, every))):
            for rank, micros in enumerate(every):
                if index >= len(micros):
                    continue
                columns, count = micros[index]
                start, length = sum(lengths), len(columns["loss"])
                if rank == self.args.process_index:
                    own.append(slice(start, start + length))
                lengths.append(length)
                parts.append({**columns, "document": columns["document"] + np.uint32(documents)})
                documents += count
        batch = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        a, b, selected, counts = self._objective.step_on(_read(batch), self._head.vocabulary, lengths)
        step.pulls = [(a[place], b[place], selected[place]) for place in own]
        step.normaliser, count = counts[0], max(1, counts[1])
        means = {"nll": batch["loss"], "entropy": batch["entropy"], "accuracy": batch["correct"], "selected": selected}
        for name, values in means.items():
            self._logged.setdefault(name, []).append(float(values.sum()) / count)

    def _count(self, step: Step) -> float:
        """How many tokens all micro-batches of all processes predict."""
        mine = sum(int(predicted(micro.inputs).sum()) for micro in step.micros)
        every: Tensor = self.accelerator.gather(torch.tensor([mine], device=self.args.device))
        return float(every.sum().clamp(min=1))

    def _written_out(self, columns: Columns, selected: NDArray[Any], distance: NDArray[Any]) -> float:
        """The sum of the tokens' losses; `distance` is -Σ q log p."""
        losses = self._objective.losses(_read(columns), selected, distance, self._head.vocabulary)
        return float(losses.sum())

    # ---- What is asked of the trainer ----------------------------------------------------------------------------

    @property
    def _model(self) -> nn.Module:
        """The trained model, without what spreads it over devices."""
        assert isinstance(self.model, nn.Module)
        return self.model

    @property
    def _head(self) -> Head:
        return _models.head(self._model, self._dtype)

    @property
    def _processes(self) -> int:
        return int(self.args.world_size)

    @property
    def _reads(self) -> set[str]:
        return {STATISTICS[name] for name in self._objective.reads if name in STATISTICS}

    @property
    def _wanted(self) -> frozenset[str]:
        return frozenset(self._reads) | LOGGED

    @property
    def _dtype(self) -> torch.dtype | None:
        """What accelerate computes products in; the weight's own type if it leaves that alone."""
        types = {"bf16": torch.bfloat16, "fp16": torch.float16}
        return types.get(str(self.accelerator.mixed_precision))

    def _gathered(self, mine: list[tuple[Columns, int]]) -> list[list[tuple[Columns, int]]]:
        if self._processes == 1:
            return [mine]
        every: list[Any] = [None] * self._processes
        torch.distributed.all_gather_object(every, mine)
        return every

    def _begin(self) -> None:
        """Begins the objective's run: the length of its schedule is known now."""
        if self._began:
            return
        self._began = True
        if self._has_steps:
            self._objective = self._objective.fresh()
        else:
            self._objective = self._objective.fresh(steps=max(1, self.state.max_steps), seed=self.args.seed)
        if self.model_init is not None:
            # The model is another one than when the trainer was made.
            _models.check(self._model)
            self._verified = False
            self._open()
        if self._resumed is not None:
            self._resume(self._resumed)
        elif self._objective.within_corpus:
            self._survey()

    def _resume(self, file: Path) -> None:
        """Continues from a checkpoint. Its state is of no use to another objective: a window of losses holds no
        entropies."""
        if not file.exists():
            raise ValueError(f"{file} is missing: this checkpoint was not written by SieveTrainer")
        kept = json.loads(file.read_text())
        there, here = kept.get("objective"), self._objective.definition
        if there != here:
            raise ValueError(
                f"{file}: the checkpoint is of the objective {there!r}, and this trainer has {here!r}: pass that one, "
                "or train without resume_from_checkpoint"
            )
        self._objective.resume(json.dumps(kept["state"]))

    def _survey(self) -> None:
        """Shows the whole corpus to an objective that selects within it."""
        with _models.evaluating(self._model), torch.no_grad():
            for inputs in self._corpus():
                micro = Micro(self._prepare_inputs(inputs))
                self._observe(micro, *self._forward(self._model, micro, towards=False))
                self._objective.survey(vocabulary=self._head.vocabulary, **_read(micro.columns))

    def _corpus(self) -> Iterator[dict[str, Any]]:
        if self._processes > 1:
            raise ValueError(f"`{self._objective.name}` selects within the corpus: train it in one process")
        # A loader for evaluations may be kept for the next ones, which have other rows.
        yield from self.get_test_dataloader(self.train_dataset)  # type: ignore[arg-type]


def _columns(found: Statistics) -> Columns:
    return {name: numbers(column) for name, column in found.items() if name != "distance"}


def _read(columns: Columns) -> Columns:
    """What an objective may read."""
    return {name: column for name, column in columns.items() if name != "correct"}


def _like(example: Tensor, column: NDArray[Any]) -> Tensor:
    return torch.from_numpy(column).to(example.device, torch.float32)
