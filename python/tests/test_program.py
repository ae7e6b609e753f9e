"""How Python calls the program: flags, configurations, Ctrl-C. A script stands in for the program."""

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tokensieve
from tokensieve.program import flags, toml

# Says what it heard, and ends with the second signal.
LISTENING = """
import os, signal, time
heard = []
signal.signal(signal.SIGINT, lambda *_: heard.append("SIGINT"))
signal.signal(signal.SIGTERM, lambda *_: heard.append("SIGTERM"))

def say():
    with open(__file__ + ".new", "w") as new:
        new.write(" ".join(heard))
    os.replace(new.name, __file__ + ".heard")

say()
print("group", os.getpgrp(), "reads", os.readlink("/proc/self/fd/0"), flush=True)
while len(heard) < 2:
    say()
    time.sleep(0.01)
say()
"""
# Works for long, unless it is stopped.
STOPPED = """
import pathlib, signal, sys, time

def stop(*_):
    pathlib.Path(__file__ + ".stopped").touch()
    sys.exit(1)

signal.signal(signal.SIGTERM, stop)
print("begun", flush=True)
time.sleep(600)
"""
# Keeps its arguments and its configuration.
KEEPING = """
import json, sys
json.dump({"arguments": sys.argv[1:], "config": open(sys.argv[2]).read()}, open(__file__ + ".json", "w"))
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Has a script called in place of the program; returns its path."""

    def made(text):
        path = tmp_path / "program"
        path.write_text(f"#!{sys.executable}\n{text}")
        path.chmod(0o755)
        monkeypatch.setenv("TOKENSIEVE_BIN", str(path))
        return path

    return made


def test_ctrl_c_reaches_the_program_once(program):
    heard = Path(f"{program(LISTENING)}.heard")
    start = "from tokensieve import program; program.run('train')"
    # The group that a terminal would signal.
    python = subprocess.Popen(
        [sys.executable, "-c", start], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        # Of the same group: it is to end with its terminal.
        assert python.stderr.readline() == f"group {python.pid} reads /dev/null\n"
        for times in (1, 2):
            os.killpg(python.pid, signal.SIGINT)
            until = time.monotonic() + 10
            while len(heard.read_text().split()) < times and time.monotonic() < until:
                time.sleep(0.01)
            # Another one would follow soon.
            time.sleep(0.2)
            assert heard.read_text().split() == ["SIGTERM"] * times
        assert python.communicate(timeout=10)[1].endswith("KeyboardInterrupt\n")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(python.pid, signal.SIGKILL)


def test_whatever_else_ends_the_call_stops_the_program(program, monkeypatch):
    path = program(STOPPED)

    class Full:
        def write(self, text):
            raise OSError("no space left")

    monkeypatch.setattr(sys, "stderr", Full())
    with pytest.raises(OSError, match="no space left"):
        tokensieve.program.run("train")
    assert Path(f"{path}.stopped").exists()


def test_keyword_arguments_as_flags():
    given = {"n": 3, "skip_bad": True, "fresh": False, "out": None, "limit": 5, "among": ["-p", "mle"]}
    assert list(flags(given)) == ["-n", "3", "--skip-bad", "--limit=5", "--among=-p,mle"]
    assert list(flags({"stop": ["a,b", "--"], "top_p": 0.5})) == ["--stop=a,b", "--stop=--", "--top-p=0.5"]
    assert list(flags({"stop": "\n\n"})) == ["--stop=\n\n"]


def test_a_table_as_toml():
    table = {"a": {"b": 1, "c d": [0.5, True]}, "e": 'quote " and \\ and ü', "f": {"g": {"h": "x"}}}
    assert tomllib.loads(toml(table)) == table
    table = {"train": {"grow_rank": [{"step": 100, "rank": 64}, {"step": 1e-7, "a.b": {}}]}, "lora": {}}
    assert tomllib.loads(toml(table)) == table
    assert tomllib.loads(toml({"a": Path("b"), "c": "\x7f\t"})) == {"a": "b", "c": "\x7f\t"}
    assert tomllib.loads(toml({"a": (math.inf, 1e16)})) == {"a": [math.inf, 1e16]}
    numbers = {"a": np.int64(3), "b": {"c": np.float32(0.5)}, "d": [np.float64(1e16), np.bool_(True)]}
    assert tomllib.loads(toml(numbers)) == {"a": 3, "b": {"c": 0.5}, "d": [1e16, True]}
    with pytest.raises(ValueError, match=r"train\.lr is None"):
        toml({"train": {"lr": None}})
    with pytest.raises(ValueError, match=r"train\.lr is \{1\}: text, a number"):
        toml({"train": {"lr": {1}}})


def test_a_configuration_and_its_overrides(program, tmp_path):
    kept = Path(f"{program(KEEPING)}.json")
    config = {"data": {"train": "x.jsonl"}, "train": {"out": "there"}}
    folder = tmp_path / "here"
    run = tokensieve.train(config, set={"train.out": folder, "train.grow_rank": [{"step": 100, "rank": 64}]})
    called = json.loads(kept.read_text())
    assert run.folder == folder
    assert f"--out={folder}" in called["arguments"]
    assert "train.grow_rank=[{ step = 100, rank = 64 }]" in called["arguments"]
    assert tomllib.loads(called["config"]) == config
    with pytest.raises(ValueError, match=r"train\.lr is None"):
        tokensieve.train(config, set={"train.lr": None})
