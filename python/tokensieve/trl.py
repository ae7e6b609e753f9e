"""`trl.SFTTrainer` with an objective: `SieveTrainer(…, objective="masked-mle")`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from trl.data_utils import get_dataset_column_names
from trl.trainer.sft_trainer import SFTTrainer

from tokensieve._columns import MISSING
from tokensieve._sieve import SieveMixin

__all__ = ["SieveTrainer"]


class SieveTrainer(SieveMixin, SFTTrainer):
    """An `SFTTrainer` that trains with an objective.

    All arguments of `trl.SFTTrainer`, and two more. `objective` is a preset's name, an expression, a table or an
    `Objective`. `reference` is what it compares with, if it does: the name of an adapter of the model, or another
    model; an objective against the base needs none where an adapter is trained. Rows may have `weights` and
    `token_scores`, one number per token.
    """

    def _prepare_dataset(self, dataset: Any, *arguments: Any, **options: Any) -> Any:
        prepared = super()._prepare_dataset(dataset, *arguments, **options)
        for name in MISSING.keys() & set(get_dataset_column_names(dataset)):
            if name not in get_dataset_column_names(prepared):
                raise ValueError(
                    f"rows have `{name}`, which TRL's packing leaves out: set packing=False and eval_packing=False in "
                    "SFTConfig"
                )
        return prepared

    def _check(self) -> None:
        options: Any = self.args
        if options.loss_type != "nll":
            raise ValueError(f"loss_type={options.loss_type!r} beside an objective: the objective `dft` is that loss")
        # SFTTrainer sets output_router_logits by its own option, whatever the model's configuration says.
        if getattr(self, "aux_loss_enabled", False):
            raise ValueError(
                "SieveTrainer has no auxiliary loss for routers: set router_aux_loss_coef=0.0 in SFTConfig"
            )
        super()._check()

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The objective's loss. What `SFTTrainer` adds to its log with its own loss is added here too."""
        loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if model.training and not return_outputs:
            self._count_as_sft(inputs)
        return loss

    def _count_as_sft(self, inputs: dict[str, Any]) -> None:
        """`num_tokens`, all tokens read since training began, and `mean_token_accuracy`, the mean over micro-batches of
        the share of labels that no token is more probable than."""
        step = self._step
        assert step is not None
        correct = step.micros[step.next - 1].columns["correct"]
        read = inputs["attention_mask"].sum() if "attention_mask" in inputs else inputs["input_ids"].numel()
        counts = torch.tensor([[int(correct.sum()), len(correct), int(read)]], device=self.args.device)
        right, labels, tokens = self.accelerator.gather_for_metrics(counts).sum(0).tolist()
        self._total_train_tokens += tokens // self._tp_size
        metrics = self._metrics["train"]
        metrics["mean_token_accuracy"].append(right / labels if labels > 0 else 0.0)
        metrics["num_tokens"] = [self._total_train_tokens]
