"""The command `tokensieve` of the wheel, and what the wheel is built with. `./just python-test` runs it."""

import importlib.metadata
import importlib.util
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import tokensieve.command

sys.path.insert(0, str(Path(__file__).parents[1] / "backend"))


def command(*arguments):
    # Python becomes the program: what it has imported by then is all that it imports.
    start = """
import os, sys, tokensieve.command
become = os.execve
def execve(*arguments):
    assert "torch" not in sys.modules, "torch was imported"
    become(*arguments)
os.execve = execve
tokensieve.command.main()
"""
    return subprocess.run([sys.executable, "-c", start, *arguments], capture_output=True, text=True)


def processor_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_the_program_starts_on_the_installed_torch():
    seconds = []
    for _ in range(3):
        before = processor_seconds()
        done = command("--help")
        seconds.append(processor_seconds() - before)
        assert done.returncode == 0, done.stderr
    assert "Usage: tokensieve <COMMAND>" in done.stdout
    assert min(seconds) < 1, "processor seconds to --help, which a busy machine does not change much"
    assert command("--version").stdout.startswith(f"tokensieve {importlib.metadata.version('tokensieve')}\n")
    assert command("objectives", "bla").returncode == 1


@pytest.mark.parametrize("version", ["2.10.0+cpu", None])
def test_another_torch_is_an_error_that_says_which(version, tmp_path, monkeypatch):
    spec = None
    if version:
        (tmp_path / "torch").mkdir()
        (tmp_path / "torch/__init__.py").write_text("raise AssertionError('imported')")
        (tmp_path / "torch/version.py").write_text(f"from typing import Optional\n__version__ = '{version}'\n")
        spec = importlib.util.spec_from_file_location(
            "torch", tmp_path / "torch/__init__.py", submodule_search_locations=[str(tmp_path / "torch")]
        )
    monkeypatch.setattr(tokensieve.command, "find_spec", lambda name: spec)
    monkeypatch.delenv("TOKENSIEVE_BIN", raising=False)
    with pytest.raises(RuntimeError, match=version.replace("+", r"\+") if version else "which .* lacks") as error:
        tokensieve.command.prepared()
    assert str(error.value).endswith("pip install torch==2.11.0")


def test_a_search_path_is_removed(tmp_path):
    from elf import without_search_path

    library, program = tmp_path / "libone.so", tmp_path / "program"
    one = "int one(void) { return 1; }"
    compile_c(one, "-shared", "-o", library)
    compile_c("int one(void); int main(void) { return one() - 1; }", "-o", program, f"-L{tmp_path}", "-lone",
              f"-Wl,-rpath,{tmp_path}")
    assert subprocess.run([program]).returncode == 0
    stripped = tmp_path / "stripped"
    stripped.write_bytes(without_search_path(program.read_bytes()))
    stripped.chmod(0o755)
    assert str(tmp_path).encode() in program.read_bytes()
    assert str(tmp_path).encode() not in stripped.read_bytes()
    assert subprocess.run([stripped], capture_output=True).returncode == 127
    assert subprocess.run([stripped], env={"LD_LIBRARY_PATH": str(tmp_path)}).returncode == 0


def compile_c(source, *arguments):
    subprocess.run(["cc", "-x", "c", "-", "-x", "none", *arguments], input=source, text=True, check=True)
