"""The command `tokensieve`: starts the program of that name on the libraries of the installed torch.

Finds torch without importing it, which takes seconds.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

VERSION = "2.11.0"
REMEDY = f"pip install torch=={VERSION}"
PROGRAM = Path(__file__).parent / "bin" / "tokensieve"


def main() -> None:
    """Becomes the program."""
    try:
        program, environment = prepared()
    except RuntimeError as error:
        sys.exit(f"error: {error}")
    os.execve(program, [program, *sys.argv[1:]], environment)


def prepared() -> tuple[str, dict[str, str]]:
    """The program, and the environment that it needs.

    `TOKENSIEVE_BIN` names another program, which finds its libraries by itself.
    """
    other = os.environ.get("TOKENSIEVE_BIN")
    if other:
        return other, dict(os.environ)
    libraries = [str(torch_libraries()), os.environ.get("LD_LIBRARY_PATH", "")]
    return str(PROGRAM), {**os.environ, "LD_LIBRARY_PATH": ":".join(filter(None, libraries))}


def torch_libraries() -> Path:
    """The folder of torch's libraries. What they need in turn, CUDA included, they find themselves."""
    spec = find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(f"tokensieve runs on torch {VERSION}, which {sys.executable} lacks: {REMEDY}")
    folder = Path(spec.submodule_search_locations[0])
    version = folder / "version.py"
    text = version.read_text(encoding="utf-8") if version.is_file() else ""
    lines = [line for line in text.splitlines() if line.startswith("__version__")]
    found = lines[0].split("=")[1].strip().strip("'\"") if lines else "of unknown version"
    if found.split("+")[0] != VERSION:
        raise RuntimeError(f"tokensieve runs on torch {VERSION}, but that in {folder} is {found}: {REMEDY}")
    return folder / "lib"
