"""Unpacks torch's wheel into this interpreter's environment, without CUDA: 100 MB instead of 4 GB.

    python_torch.py TORCH.whl LIBTORCH

What the CPU needs of the libraries lies in LIBTORCH already (scripts/libtorch) and is linked from there. torch's Python
library is linked with CUDA's half too; a stub defines the 120 names of it that must exist for the library to load.
"""

import re
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

LEFT_OUT = re.compile(
    r"torch/(include|share|test)/|torch/bin/(?!torch_shm_manager)"
    r"|torch/lib/(?!libtorch_python|libtorch\.|libtorch_global_deps|libc10_cuda|libshm)"
)


def main(wheel: Path, libtorch: Path) -> None:
    site = Path(sysconfig.get_path("platlib"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site, [name for name in archive.namelist() if not LEFT_OUT.match(name)])
    lib = site / "torch/lib"
    for name in ["libtorch_cpu.so", "libc10.so", "libgomp.so.1"]:
        (lib / name).symlink_to(libtorch / "torch/lib" / name)
    cuda = site / "nvidia/cu13/lib"
    cuda.mkdir(parents=True)
    for runtime in (libtorch / "nvidia/cu13/lib").iterdir():
        (cuda / runtime.name).symlink_to(runtime)
    # Not in torch/lib, where the program `tokensieve` would take it for the real one.
    stubs(lib, cuda)


def stubs(lib: Path, folder: Path) -> None:
    """Libraries of every name that libtorch_python.so needs and none of the CPU's has."""
    standard = subprocess.run(["c++", "-print-file-name=libstdc++.so.6"], capture_output=True, text=True, check=True)
    others = [lib / name for name in ["libtorch_cpu.so", "libc10.so", "libc10_cuda.so", "libshm.so"]]
    defined = set()
    for other in [*others, Path(standard.stdout.strip())]:
        defined |= {name.split("@")[0] for name in symbols(other, "--defined-only")}
    needed = symbols(lib / "libtorch_python.so", "--undefined-only")
    missing = {name for name in needed if "@" not in name and not re.match("_?Py", name)} - defined
    stub(folder / "libtorch_cuda.so", missing)
    stub(folder / "libcufile.so.0", set())
    of_cudnn = {name.split("@")[0] for name in needed if name.endswith("@libcudnn.so.9")}
    stub(folder / "libcudnn.so.9", of_cudnn, version="libcudnn.so.9")


def stub(path: Path, names: set[str], version: str = "") -> None:
    # At import torch asks for a place to write a function's address into (c10d::get_gil_checker); no other is called.
    lines = ["extern void *_ZTVN10__cxxabiv117__class_type_infoE[];", "static void *scratch[8];"]
    for name in sorted(names):
        if name.startswith("_ZTI"):  # typeinfo: pybind11 reads the class's name when it registers it
            lines.append(f'void *{name}[] = {{_ZTVN10__cxxabiv117__class_type_infoE + 2, "{name[4:]}", 0}};')
        else:
            lines.append(f"void *{name}(void) {{ return scratch; }}")
    command = ["cc", "-shared", "-fPIC", "-w", "-x", "c", "-", "-o", path, "-lstdc++", f"-Wl,-soname,{path.name}"]
    with tempfile.NamedTemporaryFile("w", suffix=".map") as script:
        if version:
            script.write(f"{version} {{ *; }};\n")
            script.flush()
            command.append(f"-Wl,--version-script={script.name}")
        subprocess.run(command, input="\n".join(lines), text=True, check=True)


def symbols(library: Path, which: str) -> set[str]:
    """Names with their versions; weak ones, which nobody need define, are left out of those that are undefined."""
    listing = subprocess.run(["nm", "-D", which, library], capture_output=True, text=True, check=True).stdout
    return {name for kind, name in (line.split()[-2:] for line in listing.splitlines()) if kind != "w"}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
