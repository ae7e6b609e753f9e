"""Runs the program `tokensieve` and reads the files that it writes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from tokensieve.command import prepared

Rows: TypeAlias = str | Path | Iterable[Mapping[str, Any]]
"""Rows of data: a file, the name of a data set, or the rows themselves as dicts."""
Record: TypeAlias = dict[str, Any]

# Flags that are given once for each of their values; other flags take a list with commas in it.
REPEATED = frozenset({"set", "stop"})


class ProgramError(RuntimeError):
    """The program ended with an error, which says what would be right."""


def run(verb: str, *arguments: str | Path, progress: bool = True, **options: Any) -> None:
    """Runs a verb. An option `limit=5` is the flag `--limit 5`; `True` stands for a flag without a value.

    With `progress` the program's messages are printed as they come. An interruption stops the program as Ctrl-C does:
    once in an orderly way, twice at once.
    """
    program, environment = prepared()
    command = [program, verb, *map(str, arguments), *flags(options)]
    messages = []
    with _started(command, environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            messages.append(line)
            if progress:
                print(line, end="", file=sys.stderr, flush=True)
    if process.returncode != 0:
        raise ProgramError("".join(messages[-20:]).strip() or f"tokensieve {verb} ended with {process.returncode}")


@contextmanager
def _started(command: list[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The program, with SIGINT blocked in it; whatever ends the block early stops it.

    Ctrl-C signals every process of a terminal's or a notebook's group, and a second signal stops the program at once,
    without a checkpoint. In a group of its own it would go on after its terminal or its notebook's kernel is gone.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except BaseException:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        raise
    with process:
        try:
            # A Ctrl-C that came meanwhile is raised here.
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            yield process
        except BaseException:
            _stop(process)
            raise


def _stop(process: subprocess.Popen[str]) -> None:
    """Ends the program, which takes SIGTERM for a Ctrl-C."""
    process.terminate()
    try:
        process.communicate()
    except BaseException:
        process.terminate()
        process.communicate()


def flags(options: Mapping[str, Any]) -> Iterator[str]:
    """Keyword arguments as flags of the command line."""
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if value is None or value is False:
            continue
        if name == "n":
            yield from ("-n", str(value))
        elif value is True:
            yield flag
        elif isinstance(value, list | tuple):
            texts = list(map(str, value))
            yield from (f"{flag}={text}" for text in (texts if name in REPEATED else [",".join(texts)]))
        else:
            yield f"{flag}={value}"


@contextmanager
def place(out: str | Path | None, name: str) -> Iterator[Path]:
    """Where the program writes: `out`, or a file that is gone afterwards."""
    if out is not None:
        yield Path(out)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / name


@contextmanager
def data(rows: Rows) -> Iterator[str]:
    """Rows as an argument of the program; given as dicts, they are written to a file."""
    if isinstance(rows, str | Path):
        yield str(rows)
        return
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        file.flush()
        yield file.name


def json_lines(path: Path) -> list[Record]:
    """The lines of a file in JSON, without the one that holds the settings."""
    with path.open(encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    return [record for record in records if "header" not in record]


def toml(table: Mapping[str, Any], prefix: str = "") -> str:
    """A table as TOML, one line per key: `train.lr = 2e-4`."""
    lines = ""
    for key, value in table.items():
        name = prefix + _toml_key(key)
        if isinstance(value, Mapping) and value:
            lines += toml(value, f"{name}.")
        else:
            lines += f"{name} = {toml_value(name, value)}\n"
    return lines


def toml_value(name: str, value: Any) -> str:
    """The value of a key as TOML, on one line."""
    if value is None:
        raise ValueError(f"{name} is None, which TOML does not have: leave the key out")
    if isinstance(value, Mapping):
        pairs = (f"{_toml_key(key)} = {toml_value(f'{name}.{key}', one)}" for key, one in value.items())
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(name, one) for one in value) + "]"
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return repr(value)
    if not isinstance(value, str | int | Path):
        raise ValueError(f"{name} is {value!r}: text, a number, a list or a table is needed")
    # JSON's integers, booleans and texts are TOML's too, but for the character DEL.
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml_key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else json.dumps(key)
