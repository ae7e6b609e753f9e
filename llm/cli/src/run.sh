#!/bin/sh
# Starts tokensieve on the torch 2.11 of this machine's Python. In a bundle: ./run.sh doctor; ./run.sh train train.toml
# In a release it is called tokensieve, and a link to it may lie anywhere.
# PYTHON names another interpreter than python3, TORCH_LIB torch's folder of libraries without any Python.
set -eu

here=$(dirname "$(readlink -f "$0")")
if [ -z "${TORCH_LIB:-}" ]; then
    python=${PYTHON:-python3}
    # Finds the package without importing it, which takes seconds.
    torch=$("$python" -c 'import importlib.util as u; s = u.find_spec("torch"); print(s.submodule_search_locations[0] if s else "")') ||
        torch=
    if [ -z "$torch" ]; then
        echo "error: $python has no torch; pip install torch==2.11.0, or name another Python in PYTHON" >&2
        exit 1
    fi
    version=$(sed -n "s/^__version__ = ['\"]\([0-9.]*\).*/\1/p" "$torch/version.py")
    if [ "$version" != 2.11.0 ]; then
        echo "error: torch in $torch is ${version:-of unknown version}; tokensieve needs 2.11.0" >&2
        exit 1
    fi
    TORCH_LIB=$torch/lib
fi
given=${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH="$TORCH_LIB$given"
# The machine's own C++ libraries, unless they are older than the program.
if ! "$here/lib/tokensieve" --version >/dev/null 2>&1; then
    export LD_LIBRARY_PATH="$TORCH_LIB:$here/lib$given"
fi
# Beside a bundle's configuration lies what it names.
if [ -e "$here/train.toml" ]; then
    export TOKENSIEVE_CACHE="${TOKENSIEVE_CACHE:-$here}" TOKENSIEVE_MIRROR="${TOKENSIEVE_MIRROR:-none}"
    cd "$here"
fi
exec "$here/lib/tokensieve" "$@"
