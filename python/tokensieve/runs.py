"""Training, replies, scores, uncertainty and diagnosis, by the program `tokensieve`.

Tables are lists of dicts, which `pandas.DataFrame` takes as they are. Every keyword argument that a function does not
name is a flag of the program's verb: `n=10` is `-n 10`, `skip_bad=True` is `--skip-bad` (`tokensieve VERB --help` lists
them).
"""

from __future__ import annotations

import json
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from tokensieve import program
from tokensieve.program import Record, Rows

__all__ = ["Run", "Uncertainty", "diagnose", "evaluate", "generate", "train", "uncertainty"]


@dataclass(frozen=True)
class Run:
    """A training run: the folder of its results."""

    folder: Path

    @property
    def config(self) -> Record:
        """Its configuration, every key with its value."""
        return tomllib.loads((self.folder / "config.toml").read_text(encoding="utf-8"))

    @property
    def metrics(self) -> list[Record]:
        """One row per step or evaluation: loss, nll, how many tokens were selected, the gradient's norm."""
        return program.json_lines(self.folder / "metrics.jsonl")

    @property
    def timing(self) -> list[Record]:
        """One row per step: seconds, speed, memory."""
        return program.json_lines(self.folder / "timing.jsonl")

    @property
    def model(self) -> Record:
        """What was trained, as arguments of `evaluate`, `generate` and `uncertainty`."""
        if not (self.folder / "adapter").is_dir():
            return {"model": self.folder / "model"}
        model = self.config["model"]
        found = {"model": model["source"], "adapter": self.folder / "adapter"}
        # The adapter belongs to the matrices as four bits have them.
        return found | {"precision": model["dtype"]} if str(model["dtype"]).startswith("nf4") else found

    def _with(self, options: Record) -> Record:
        """These options beside the model's, of which only the precision may be another."""
        given = {name: value for name, value in self.model.items() if name != "precision" or name not in options}
        return dict(**given, **options)

    def evaluate(self, suite: str | Sequence[str], **options: Any) -> list[Record]:
        """`evaluate` of what was trained."""
        return evaluate(suite, **self._with(options))

    def generate(self, prompts: Rows, **options: Any) -> list[Record]:
        """`generate` by what was trained."""
        return generate(prompts, **self._with(options))

    def uncertainty(self, rows: Rows, **options: Any) -> Uncertainty:
        """`uncertainty` of what was trained."""
        return uncertainty(rows, **self._with(options))


def train(
    config: str | Path | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    set: Mapping[str, Any] | None = None,
    progress: bool = True,
    **options: Any,
) -> Run:
    """Fine-tunes a model as a configuration says: a TOML file, or the same as a dict.

    `set` overrides keys: `set={"train.lr": 2e-4}` or `set={"train": {"lr": 2e-4}}`. `out` is the folder of the results,
    which a configuration given as a dict must name here or as train.out; it wins over `set`. A run that was stopped
    continues.
    """
    overrides: list[str] = []
    for key, value in (set or {}).items():
        overrides += ["--set", f"{key}={program.toml_value(key, value)}"]
    if not isinstance(config, Mapping):
        results = Path(out) if out is not None else _default_folder(Path(config), set or {})
        program.run("train", config, *overrides, progress=progress, out=out, **options)
        return Run(results)
    folder = out if out is not None else _out_of(set or {}) or _out_of(config)
    if folder is None:
        raise ValueError("a configuration given as a dict needs a folder for its results: pass out=…")
    with tempfile.NamedTemporaryFile("w", suffix=".toml", encoding="utf-8") as file:
        file.write(program.toml(config))
        file.flush()
        program.run("train", file.name, *overrides, progress=progress, out=folder, **options)
    return Run(Path(folder))


def _default_folder(config: Path, overrides: Mapping[str, Any]) -> Path:
    given = _out_of(overrides)
    if given is not None:
        return Path(given)
    try:
        written = _out_of(tomllib.loads(config.read_text(encoding="utf-8-sig")))
    except tomllib.TOMLDecodeError as error:
        # The program knows newer versions of TOML than Python does.
        problem = f"{config}: Python cannot read it to find the folder of the results ({error}): pass out=…"
        raise ValueError(problem) from error
    return Path(written or Path("runs") / config.stem)


def _out_of(keys: Mapping[str, Any]) -> Any:
    """`train.out`, by itself or in the table `train`; the last one counts."""
    found = None
    for key, value in keys.items():
        if key == "train.out":
            found = value
        elif key == "train" and isinstance(value, Mapping):
            found = value.get("out", found)
    return found


def evaluate(
    suite: str | Sequence[str], *, out: str | Path | None = None, progress: bool = False, **options: Any
) -> list[Record]:
    """Scores of a model on a suite of tasks, one row per measure with its interval. `out` keeps answers and results."""
    names = suite if isinstance(suite, str) else ",".join(suite)
    with program.place(out, "results.json") as path:
        program.run("evaluate", progress=progress, suite=names, out=path, **options)
        results = json.loads(path.read_text(encoding="utf-8"))
    return [
        {"task": task, "measure": measure, **numbers}
        for task, result in results["tasks"].items()
        for measure, numbers in result["measures"].items()
    ]


def generate(
    prompts: Rows, *, out: str | Path | None = None, progress: bool = False, **options: Any
) -> list[Record]:
    """Replies to prompts, one row each. `prompts` is a file, a data set's name, or rows as in a file:
    `[{"prompt": "Once upon a time"}]` or `[{"messages": [{"role": "user", "content": "Hello"}]}]`."""
    with program.data(prompts) as rows, program.place(out, "replies.jsonl") as path:
        program.run("generate", rows, progress=progress, out=path, **options)
        return program.json_lines(path)


MEASURES = (
    "loss", "entropy", "probability", "total", "aleatoric", "epistemic", "pairwise_kl", "reverse_mi",
)


@dataclass(frozen=True)
class Uncertainty:
    """Documents with the uncertainty of each response token; a notebook shows them coloured."""

    documents: list[Record]
    by: str = "epistemic"

    def __post_init__(self) -> None:
        if self.by not in MEASURES:
            raise ValueError(f"`{self.by}` is not a measure of a token: there are {', '.join(MEASURES)}")

    @property
    def tokens(self) -> list[Record]:
        """One row per response token: its document's row, its text, and every measure."""
        lists = ("se", "top", "top_ids")
        return [
            {"row": document["row"], **{name: value for name, value in token.items() if name not in lists}}
            for document in self.documents
            for token in document["tokens"]
            if token["response"]
        ]

    def coloured(self, by: str) -> Uncertainty:
        """The same documents, coloured by another one of `MEASURES`."""
        return Uncertainty(self.documents, by)

    def _repr_html_(self) -> str:
        largest = max((token.get(self.by) or 0.0 for token in self.tokens), default=0.0) or 1.0
        paragraphs = (
            "".join(self._span(token, largest) for token in document["tokens"]) for document in self.documents
        )
        return "".join(f"<p style='white-space:pre-wrap;font-family:monospace'>{text}</p>" for text in paragraphs)

    def _span(self, token: Record, largest: float) -> str:
        text = escape(token["text"])
        if not token["response"]:
            return f"<span style='opacity:0.5'>{text}</span>"
        value = token.get(self.by) or 0.0
        style = f"background:rgba(214,69,65,{min(max(value / largest, 0.0), 1.0):.2f})"
        return f"<span style='{style}' title='{self.by} {value:.3f}'>{text}</span>"


def uncertainty(rows: Rows, *, out: str | Path | None = None, progress: bool = False, **options: Any) -> Uncertainty:
    """The uncertainty of each response token of some rows: total, aleatoric, epistemic."""
    with program.data(rows) as file, program.place(out, "uncertainty.jsonl") as path:
        program.run("uncertainty", file, progress=progress, out=path, **options)
        return Uncertainty(program.json_lines(path))


def diagnose(rows: Rows, *, progress: bool = False, **options: Any) -> Record:
    """What is wrong with rows, and which objective they call for: every number of the diagnosis."""
    with program.data(rows) as file, program.place(None, "diagnosis.json") as path:
        program.run("diagnose", progress=progress, data=file, json=path, **options)
        diagnosis: Record = json.loads(path.read_text(encoding="utf-8"))
        return diagnosis
