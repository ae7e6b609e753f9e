"""Post-training of language models on the tokens that matter.

`Objective` is an objective; `train`, `evaluate`, `generate`, `uncertainty` and `diagnose` run the program `tokensieve`
on the libraries of the installed torch. `tokensieve.transformers.SieveTrainer` and `tokensieve.trl.SieveTrainer` are
those libraries' trainers with an objective.
"""

from importlib.metadata import version as _version

from tokensieve.objectives import Key, Objective, Pulls, keys, names, preset
from tokensieve.program import ProgramError
from tokensieve.runs import Run, Uncertainty, diagnose, evaluate, generate, train, uncertainty

__version__ = _version("tokensieve")
__all__ = [
    "Key",
    "Objective",
    "ProgramError",
    "Pulls",
    "Run",
    "Uncertainty",
    "diagnose",
    "evaluate",
    "generate",
    "keys",
    "names",
    "preset",
    "train",
    "uncertainty",
]
