"""`transformers.Trainer` with an objective: `SieveTrainer(…, objective="masked-mle")`."""

from __future__ import annotations

import transformers

from tokensieve._sieve import SieveMixin

__all__ = ["SieveTrainer"]


class SieveTrainer(SieveMixin, transformers.Trainer):
    """A `Trainer` that trains with an objective.

    All arguments of `transformers.Trainer`, and two more. `objective` is a preset's name, an expression, a table or an
    `Objective`. `reference` is what it compares with, if it does: the name of an adapter of the model, or another
    model; an objective against the base needs none where an adapter is trained. Batches have `input_ids`, and
    `labels` that are -100 where nothing is predicted; they may have `weights` and `token_scores`, one number per token.
    """
