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

from tokensieve.command import prepared

Rows: TypeAlias = str | Path | Iterable[Mapping[str, Any]]
"""Rows of data: a file, the name of a data set, or the rows themselves as dicts."""
Record: TypeAlias = dict[str, Any]


class ProgramError(RuntimeError):
    """The program ended with an error, which says what would be right."""


def run(verb: str, *arguments: str | Path, progress: bool = True, **options: Any) -> None:
    """Runs a verb. An option `limit=5` is the flag `--limit 5`; `True` stands for a flag without a value.

    With `progress` the program's messages are printed as they come. An interruption stops the program as Ctrl-C does.
    """
    program, environment = prepared()
    command = [program, verb, *map(str, arguments), *flags(options)]
    messages = []
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                messages.append(line)
                if progress:
                    print(line, end="", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.communicate()
            raise
    if process.returncode != 0:
        raise ProgramError("".join(messages[-20:]).strip() or f"tokensieve {verb} ended with {process.returncode}")


def flags(options: Mapping[str, Any]) -> Iterator[str]:
    """Keyword arguments as flags of the command line."""
    for name, value in options.items():
        if value is None or value is False:
            continue
        yield "-n" if name == "n" else "--" + name.replace("_", "-")
        if isinstance(value, list | tuple):
            yield ",".join(map(str, value))
        elif value is not True:
            yield str(value)


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
        name = prefix + (key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else json.dumps(key))
        if isinstance(value, Mapping):
            lines += toml(value, f"{name}.")
        else:
            # JSON's texts, numbers, booleans and lists are TOML's too.
            lines += f"{name} = {json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)}\n"
    return lines
