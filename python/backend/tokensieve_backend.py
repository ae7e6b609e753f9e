"""Builds the Python package, as pip and `build` ask for it (PEP 517), with the standard library alone.

A wheel holds the package, the extension `_objectives` and the program `tokensieve`, which torch's own libraries serve:
tokensieve/command.py says where they are, so the place where they lay at build time is removed from it.
"""

import base64
import hashlib
import io
import json
import os
import subprocess
import sysconfig
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path

from elf import without_search_path

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))["workspace"]["package"]["version"]
NAME = f"{PROJECT['name']}-{VERSION}"
# What cargo compiles for, where that is not this machine's processor.
PROCESSOR = os.environ.get("CARGO_BUILD_TARGET", "").split("-")[0]
PLATFORM = f"linux_{PROCESSOR}" if PROCESSOR else sysconfig.get_platform().replace("-", "_").replace(".", "_")
# The extension uses CPython's stable interface as it is from 3.11 on (python/Cargo.toml).
TAG = f"cp311-abi3-{PLATFORM}"
STRIP = f"{PROCESSOR}-linux-gnu-strip" if PROCESSOR else "strip"


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    extension, program = (stripped(path) for path in compiled())
    files = {f"tokensieve/{path.name}": path.read_bytes() for path in package_files()}
    files["tokensieve/_objectives.abi3.so"] = extension
    files["tokensieve/bin/tokensieve"] = without_search_path(program)
    files |= {f"{NAME}.dist-info/{name}": text.encode() for name, text in metadata_files().items()}
    record = f"{NAME}.dist-info/RECORD"
    lines = [f"{name},sha256={digest(content)},{len(content)}\n" for name, content in files.items()]
    files[record] = "".join([*lines, f"{record},,\n"]).encode()

    wheel = f"{NAME}-{TAG}.whl"
    with zipfile.ZipFile(Path(wheel_directory) / wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, date_time=(2020, 1, 1, 0, 0, 0))  # the same bytes from the same sources
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o100755 if "/bin/" in name else 0o100644) << 16
            archive.writestr(entry, content)
    return wheel


def build_sdist(sdist_directory, config_settings=None):
    """Everything that git tracks, or in an unpacked sdist everything that it had, and PKG-INFO."""
    manifest = ROOT / "MANIFEST"
    if manifest.exists():
        names = manifest.read_text(encoding="utf-8").splitlines()
    else:
        names = [name for name in tracked() if (ROOT / name).is_file()]
    sdist = f"{NAME}.tar.gz"
    with tarfile.open(Path(sdist_directory) / sdist, "w:gz") as archive:
        for name in names:
            archive.add(ROOT / name, f"{NAME}/{name}")
        for name, text in {"PKG-INFO": metadata(), "MANIFEST": "\n".join(names)}.items():
            add_text(archive, f"{NAME}/{name}", text)
    return sdist


def tracked():
    def git(*arguments):
        done = subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, encoding="utf-8")
        return done.stdout.splitlines()

    try:
        if Path(*git("rev-parse", "--show-toplevel")).resolve() == ROOT:
            return git("ls-files")
    except (OSError, subprocess.CalledProcessError):
        pass
    raise SystemExit(f"an sdist has what git tracks, and {ROOT} is not a clone: git clone the repository")


def add_text(archive, name, text):
    content = text.encode()
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def package_files():
    folder = ROOT / "python/tokensieve"
    return sorted(path for path in folder.iterdir() if path.suffix in {".py", ".pyi"} or path.name == "py.typed")


def compiled():
    """Compiles the extension and the program; libtorch is fetched for that where there is none."""
    if not os.environ.get("LIBTORCH"):
        subprocess.run(["scripts/setup", "libtorch"], cwd=ROOT, check=True)
    # One by one: together, the features of their dependencies would be united, and all of them compiled anew. The
    # variable says what is compiled in the program's place, as in scripts/lib.sh.
    program = os.environ.get("TOKENSIEVE_BUILD") or "-p tokensieve-cli --bins"
    return artefact("_objectives", "-p tokensieve-python --lib"), artefact("tokensieve", program)


def artefact(name, what):
    profile = os.environ.get("TOKENSIEVE_PROFILE", "release")
    command = ["cargo", "build", "--locked", f"--profile={profile}", "--message-format=json-render-diagnostics"]
    command += what.split()
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    for message in map(json.loads, done.stdout.splitlines()):
        is_artefact = message["reason"] == "compiler-artifact" and not message["profile"]["test"]
        if is_artefact and message["target"]["name"] == name:
            return Path(message["filenames"][0])
    raise FileNotFoundError(f"cargo compiled no {name}")


def stripped(path):
    """The file without debug information and names, a sixth of its size."""
    with tempfile.NamedTemporaryFile() as result:
        subprocess.run([STRIP, "--strip-unneeded", "-o", result.name, path], check=True)
        return Path(result.name).read_bytes()


def digest(content):
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def metadata_files():
    scripts = "".join(f"{name} = {target}\n" for name, target in PROJECT["scripts"].items())
    return {
        "METADATA": metadata(),
        "WHEEL": f"Wheel-Version: 1.0\nGenerator: tokensieve\nRoot-Is-Purelib: false\nTag: {TAG}\n",
        "entry_points.txt": f"[console_scripts]\n{scripts}",
        "licenses/LICENSE-MIT": (ROOT / "LICENSE-MIT").read_text(encoding="utf-8"),
        "licenses/LICENSE-APACHE": (ROOT / "LICENSE-APACHE").read_text(encoding="utf-8"),
    }


def metadata():
    lines = ["Metadata-Version: 2.4", f"Name: {PROJECT['name']}", f"Version: {VERSION}"]
    lines += [f"Summary: {PROJECT['description']}", f"Requires-Python: {PROJECT['requires-python']}"]
    lines += [f"License-Expression: {PROJECT['license']}"]
    lines += [f"License-File: {name}" for name in ("LICENSE-MIT", "LICENSE-APACHE")]
    lines += [f"Project-URL: {name}, {address}" for name, address in PROJECT["urls"].items()]
    lines += [f"Requires-Dist: {requirement}" for requirement in PROJECT["dependencies"]]
    for extra, requirements in PROJECT["optional-dependencies"].items():
        lines.append(f"Provides-Extra: {extra}")
        lines += [f'Requires-Dist: {requirement}; extra == "{extra}"' for requirement in requirements]
    lines.append("Description-Content-Type: text/markdown")
    return "\n".join(lines) + "\n\n" + (ROOT / PROJECT["readme"]).read_text(encoding="utf-8")
