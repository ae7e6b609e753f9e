# What the set-up scripts share. Sourced by POSIX sh, with `root` set to the clone.
# shellcheck shell=sh

# The rule of data/src/folders.rs.
cache=${TOKENSIEVE_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/tokensieve}
case $cache in /*) ;; *) cache=$PWD/$cache ;; esac
[ -z "${TOKENSIEVE_CACHE:-}" ] || export TOKENSIEVE_CACHE="$cache"
# Programs of the project's own: nothing is installed into the user's folders.
tools=$cache/tools
# A Rust that was installed a moment ago is not in the path of this terminal yet.
PATH=$tools/bin:$PATH:${CARGO_HOME:-${HOME:-/tmp}/.cargo}/bin

say() { printf '%s\n' "setup: $*" >&2; }
die() { printf '%s\n' "setup: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# at_least OLDEST VERSION
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

# in_turn FILE COMMAND…: runs it while no other process is at this with the same file. What the command leaves running does not
# hold the file. Where flock is missing (it is util-linux's, as Debian always has it), it is run at once.
in_turn() {
    lock=$1
    shift
    mkdir -p "${lock%/*}"
    {
        ! have flock || flock -n 9 || { say "waiting for who holds $lock" && flock 9; }
        "$@" 9>&-
    } 9>"$lock"
}

need_cargo() {
    # shellcheck disable=SC2154 # as the first line of this file says
    oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")
    have cargo || install_rust
    found=$(cargo --version | cut -d ' ' -f 2)
    at_least "$oldest" "$found" || die "Rust $oldest or newer is needed, but $(command -v cargo) is $found.
With rustup: rustup update. Without: $rustup"
    have cc || need_packages 'the C compiler and linker that Rust calls' build-essential
}

rustup="curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"

# Rust as a Debian package where apt may and has a recent one, else rustup, which is asked for. TOKENSIEVE_RUST=1.95.0: that
# version, with rustup and without a question, as CI wants it (Debian has no clippy of that version, and a newer one's lints
# are others).
install_rust() {
    if [ -z "${TOKENSIEVE_RUST:-}" ]; then
        # Debian's browsers are built with a newer Rust than its own.
        if may_install && recent_rust; then
            need_packages 'Rust' cargo-web rustc-web
            return
        fi
        { true </dev/tty >/dev/tty; } 2>/dev/null || die "Rust is missing (cargo was not found). Install it, then try again:
    $rustup"
        printf 'Rust is missing. Install it with rustup into %s? [Y/n] ' "${CARGO_HOME:-$HOME/.cargo}" >/dev/tty
        read -r answer </dev/tty
        case $answer in '' | [Yy]*) ;; *) die "Rust is missing; to install it: $rustup" ;; esac
    fi
    have curl || need_packages 'curl, which fetches rustup' curl ca-certificates
    say 'installing Rust with rustup'
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
        sh -s -- -y --quiet --no-modify-path --default-toolchain "${TOKENSIEVE_RUST:-stable}" >&2
    have cargo || die "rustup could not install Rust (above)"
}

# Whether apt has a Rust that is new enough; its lists may be empty or old.
recent_rust() {
    mkdir -p "$cache"
    $as_root apt-get -qq update >"$cache/apt.log" 2>&1
    at_least "$oldest" "$(apt-cache policy rustc-web | sed -n 's/^ *Candidate: //p')"
}

# pip_package PACKAGE VERSION: a Python package, without what it depends on, into $tools/python, unless a file beside it says that
# this version is whole there. A variable, for a pip before 22.1 does not know the option and ends.
pip_package() {
    installed=$tools/python/$1.version
    [ "$(cat "$installed" 2>/dev/null)" != "$2" ] || return 0
    need_pip
    in_turn "$tools/python/$1.lock" env PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet \
        --disable-pip-version-check --no-deps --upgrade --target "$tools/python/$1" "$1==$2" >&2 &&
        printf '%s\n' "$2" >"$installed"
}

# pip_tool PACKAGE VERSION: a program that comes as a Python package, into $tools/bin.
pip_tool() {
    pip_package "$@" || return 1
    mkdir -p "$tools/bin"
    for program in "$tools/python/$1"/bin/*; do ln -sf "$program" "$tools/bin/"; done
}

# The project's programs are compiled in the profile of the recipe that runs next, so that nothing is compiled twice.
profile=${TOKENSIEVE_PROFILE:-release}
# Where cargo compiles, whatever its own configuration says: programs are run from there.
target_folder=${CARGO_TARGET_DIR:-$root/target}

# compile NAME: one of the programs if need be, with what it alone needs. Where all of them are wanted (.ci/run),
# TOKENSIEVE_BUILD says what cargo compiles in its place: one set of features for all, one build.
compile() {
    case $1 in
    tokensieve) alone="-p tokensieve-cli --bin $1" ;;
    *) alone="--bin $1" ;;
    esac
    # shellcheck disable=SC2086 # several words
    cargo build --quiet --profile "$profile" --target-dir "$target_folder" ${TOKENSIEVE_BUILD:-$alone}
}

# program NAME [ARGUMENT…]: compiles and runs it.
program() {
    compile "$1" || return
    name=$1
    shift
    "$(programs)/$name" "$@"
}

# Where cargo leaves programs.
programs() { printf '%s/%s\n' "$target_folder" "$(printf '%s' "$profile" | sed 's/^dev$/debug/')"; }

fetch() { program tokensieve-data fetch "$@"; }

# for_aarch64: what cargo compiles for that target is compiled and linked by Debian's cross compilers.
for_aarch64() {
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc CXX_aarch64_unknown_linux_gnu=aarch64-linux-gnu-g++
}

# Whether the compiler at hand has the standard library for aarch64.
has_aarch64() { [ -d "$(rustc --print sysroot)/lib/rustlib/aarch64-unknown-linux-gnu" ]; }

# cargo_tool CRATE: a program compiled by cargo, into $tools/bin; without optimisation and debug information, which take
# longer than the program ever saves.
cargo_tool() {
    say "compiling $1 (once)"
    in_turn "$tools/$1.lock" env CARGO_TARGET_DIR="$cache/build/$1" CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0 \
        cargo install --quiet --locked --debug --root "$tools" "$1" >&2 || die "cargo install $1 failed (above)"
    rm -rf "$cache/build/$1"
}

# Whether apt may install packages; sets as_root to what has to stand before the command.
may_install() {
    as_root=
    have apt-get || return 1
    [ "$(id -u)" = 0 ] || { have sudo && sudo -n true 2>/dev/null && as_root=sudo; }
}

# need_packages PURPOSE PACKAGE…: Debian packages, installed by apt where it may, else the line to type.
need_packages() {
    purpose=$1
    shift
    line="apt-get install --no-install-recommends $*"
    have apt-get || die "missing: $purpose. On Debian or Ubuntu it comes with: sudo $line"
    may_install || die "missing: $purpose. Please type this line, then try again:
    sudo $line"
    say "installing $purpose: $*"
    log=$cache/apt.log
    mkdir -p "$cache"
    # The lists of a fresh system are empty, those of an old one name files that are gone: one update, then once more.
    apt_install "$@" >"$log" 2>&1 || { $as_root apt-get -qq update >>"$log" 2>&1 && apt_install "$@" >>"$log" 2>&1; } || {
        tail -n 15 "$log" >&2
        die "apt-get failed (above; all of it in $log). Please type this line, then try again:
    sudo apt-get update && sudo $line"
    }
}

# Whether apt has a package; the lists of a fresh system are empty.
has_package() {
    have apt-cache || return 1
    apt-cache show "$1" >/dev/null 2>&1 ||
        { may_install && $as_root apt-get -qq update >/dev/null 2>&1 && apt-cache show "$1" >/dev/null 2>&1; }
}

apt_install() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@"; }

need_pip() {
    python3 -m pip --version >/dev/null 2>&1 || need_packages 'Python with pip, which downloads wheels' python3 python3-pip
}
