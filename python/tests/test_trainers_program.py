"""SieveTrainer against the program: losses of three steps of SGD and the first step's gradient, on the same model
and rows.

Needs the program: TOKENSIEVE_BIN or an installed wheel.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sieve_fixtures import RATE, distance, initial, load, program, rows, trained

OBJECTIVES: dict[str, object] = {
    "mle": "mle",
    "masked-mle": "masked-mle",
    "-p": "-p",
    "grad-norm": {"preset": "f-alpha", "match": "grad-norm"},
    "eaft": "eaft",
    "label-smoothing": "label-smoothing",
    "gem": "gem",
    "reverse-kl": "reverse-kl",
    "percentile": "percentile",
    "documents": {"selected": "-log p", "select": {"by": "entropy", "keep": "top 50%", "of": "documents"}},
    "masked-mle+distill": "masked-mle+distill",
    "truncated-kd": {"preset": "truncated-kd", "top_k": 5},
    "rho": "rho",
    "iw-sft": "iw-sft",
    "asft": {"preset": "asft", "against": "reference"},
    "divergence": {
        "against": "reference",
        "otherwise": "distill(reference)",
        "select": {"by": "divergence", "keep": "top 50%"},
    },
}
# The gradient is read off the weights, in whose rounding a small step would drown.
RATES = {"-p": 4.0}
REFERENCE = {"masked-mle+distill", "truncated-kd", "rho", "iw-sft", "asft", "divergence", "reverse-kl"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("program")
    initial(folder, "model", 1)
    initial(folder, "reference", 2)
    return folder


@pytest.mark.parametrize("name", OBJECTIVES)
def test_losses_and_gradient_are_those_of_the_program(name: str, folder: Path, tmp_path: Path) -> None:
    objective, source, other = OBJECTIVES[name], folder / "model/model", folder / "reference/model"
    rate = RATES.get(name, RATE)
    settings = {"model.source": str(source), "objective": objective, "train.lr": rate}
    if name in REFERENCE:
        settings["reference.model"] = str(other)
    slug = name.replace("+", "-and-").lstrip("-")
    steps = program(folder, settings, f"of-{slug}")
    model, data = load(source), rows(source)
    start, after = model.state_dict(), load(folder / f"of-{slug}" / "step-1").state_dict()
    reference = {"reference": load(other)} if name in REFERENCE else {}
    for micro_batches in (1, 3):
        losses, _, gradient = trained(tmp_path, model, data, micro_batches, rate=rate, objective=objective, **reference)
        # The loss of GEM is a difference of two numbers of the NLL's size.
        size = "nll" if name == "gem" else "loss"
        worst = max(abs(loss - step["loss"]) / abs(step[size]) for loss, step in zip(losses, steps, strict=True))
        theirs = {key: (start[key] - after[key]) / rate for key in gradient}
        print(f"{name}, {micro_batches} micro-batches: losses {worst:.1e}, gradient {distance(gradient, theirs):.1e}")
        assert worst < 1e-5
        assert distance(gradient, theirs) < 1e-5


WEIGHED: dict[str, object] = {
    "mle": "mle",
    "masked-mle": "masked-mle",
    "grad-norm": {"preset": "f-alpha", "match": "grad-norm"},
    "pull": {"weight": "score"},
    "criterion": {"selected": "-log p", "select": {"by": "loss + 0.5 * score", "keep": "top 50%"}},
}


@pytest.mark.parametrize("name", WEIGHED)
def test_weights_and_scores_of_tokens_count_as_in_the_program(name: str, folder: Path, tmp_path: Path) -> None:
    source, data = folder / "model/model", rows(folder / "model/model")
    generator, columns = torch.Generator().manual_seed(3), []
    for row in data:
        # Masked tokens among the others, and small weights in front, as on a prompt.
        weights = torch.randint(4, row["labels"].shape, generator=generator) / 2
        weights[:3] = 0.125
        scores = torch.randint(-8, 9, row["labels"].shape, generator=generator) / 4
        tokens = row["labels"] != -100
        tokens[0] = False  # Nothing predicts it, and the program counts it to no response.
        columns.append({"weights": weights[tokens].tolist(), "token_scores": scores[tokens].tolist()})
        row |= {"weights": weights, "token_scores": scores}
    slug = f"weighed-{name}"
    steps = program(folder, {"model.source": str(source), "objective": WEIGHED[name]}, slug, columns)
    model = load(source)
    start, after = model.state_dict(), load(folder / slug / "step-1").state_dict()
    for micro_batches in (1, 3):
        losses, _, gradient = trained(tmp_path, model, data, micro_batches, objective=WEIGHED[name])
        worst = max(abs(loss - step["loss"]) / abs(step["loss"]) for loss, step in zip(losses, steps, strict=True))
        theirs = {key: (start[key] - after[key]) / RATE for key in gradient}
        print(f"{name}, {micro_batches} micro-batches: losses {worst:.1e}, gradient {distance(gradient, theirs):.1e}")
        assert worst < 1e-5
        assert distance(gradient, theirs) < 1e-5
