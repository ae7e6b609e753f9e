"""`trl.SFTTrainer` with an objective: `SieveTrainer(…, objective="masked-mle")`."""

from __future__ import annotations

from typing import Any

from trl.trainer.sft_trainer import SFTTrainer

from tokensieve._sieve import SieveMixin

__all__ = ["SieveTrainer"]


class SieveTrainer(SieveMixin, SFTTrainer):
    """An `SFTTrainer` that trains with an objective.

    All arguments of `trl.SFTTrainer`, and two more. `objective` is a preset's name, an expression, a table or an
    `Objective`. `reference` is what it compares with, if it does: the name of an adapter of the model, or another
    model; an objective against the base needs none where an adapter is trained.
    """

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
