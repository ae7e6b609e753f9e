# The project's commands. Each installs exactly what it needs on the way (scripts/setup says what that is).

set shell := ["sh", "-eu", "-c"]
set positional-arguments

paper := "scripts/program paper"
tokensieve := "scripts/program tokensieve"
# How long a thread that waits for another looks before it sleeps. With libgomp's own 300000, programs that share the cores
# slow each other down tenfold (measured).
export GOMP_SPINCOUNT := env("GOMP_SPINCOUNT", "1000")
# With the project's own programs, and a Rust that set-up installed a moment ago.
export PATH := `root=$PWD; . scripts/lib.sh; printf %s "$PATH"`

[private]
default:
    @'{{ just_executable() }}' --justfile '{{ justfile() }}' --list --unsorted

# Every figure of both papers, recomputed and drawn; the claim ledger; the report. Profiles: smoke, laptop, study, paper
[group('study')]
reproduce profile="laptop": _programs
    {{ paper }} reproduce --profile "$1"
    {{ paper }} claims --profile "$1"

# One figure: its table and its drawing (`just paper list` names them, `just claims` tests)
[group('study')]
figure id *arguments: _programs
    {{ paper }} figure "$@"

# The claim ledger: what the papers say, and what we found
[group('study')]
claims *arguments: _programs
    {{ paper }} claims "$@"

# The report as a site; `--serve` shows it in a browser
[group('study')]
report *arguments: _programs
    {{ paper }} report "$@"

# The report of what the repository records, at once: nothing is computed. `just results --serve` shows it in a browser
[group('study')]
results *arguments: (setup "rust")
    {{ paper }} report --recorded "$@"

# The manuscript as out/manuscript.pdf, its numbers and drawings from the recorded tables
[group('study')]
manuscript: (setup "rust" "typst")
    @scripts/manuscript

# The README's part on results, from the recorded verdicts, and its picture of the report
[group('study')]
readme: (setup "rust" "browser")
    {{ paper }} readme
    {{ paper }} report --recorded
    scripts/screenshot

# The training runs behind the figures: `just lab list`, `just lab run --profile study --jobs 2 --shard 1/4`
[group('study')]
lab *arguments: _programs
    {{ paper }} lab "$@"

# Any command of the `paper` program
[group('study')]
paper *arguments: _programs
    {{ paper }} "$@"

# Any command of the `tokensieve` program: train, show, convert, merge, objectives, … (`just tokensieve --help`)
[group('models')]
tokensieve *arguments: (setup "libtorch" "model")
    {{ tokensieve }} "$@"

# Fine-tune a language model as a TOML file says (`just tokensieve train --keys` lists what it may say)
[group('models')]
train *arguments: (setup "libtorch" "model")
    {{ tokensieve }} train "$@"

# Pack program, configuration, data and model into a folder for a machine with torch 2.11 and no Rust: `just bundle b --config train.toml`
[group('models')]
bundle folder *arguments: (setup "libtorch" "model")
    {{ tokensieve }} bundle "$@"

# Install what is missing for one part or several; scripts/setup lists them
[group('machine')]
setup *parts="all":
    @scripts/setup "$@"

# What is installed, reachable and fast on this machine
[group('machine')]
doctor:
    @scripts/doctor

# Delete build products and results; `just clean cache`: what was fetched too, `just clean crates`: only our own compiled crates
[group('machine')]
clean what="build":
    @scripts/clean "$1"

# The tests, documentation examples included; `just test all`: the slow ones too. Arguments go to cargo test
[group('code')]
test *arguments: (_setup-dev "test")
    @scripts/test "$@"

# The Python package's tests, on the wheel as users get it; ruff and mypy. Arguments go to pytest
[group('code')]
python-test *arguments: (setup "python" "model")
    @scripts/python-test "$@"

# The Python package as a wheel and an sdist, in dist/; for other processors too: `just wheel x86_64 aarch64`
[group('code')]
wheel *processors: (setup "python")
    @scripts/wheel "$@"

# Formatting, clippy, licences, unused dependencies, shell and nix files, Dockerfiles, links, the book
[group('code')]
lint: (_setup-dev "libtorch" "blas" "lint")
    @scripts/lint

# The documentation as a book, out/book/index.html, its links checked
[group('code')]
book: (setup "book")
    @scripts/book

# Look at changed snapshots one by one, and accept or refuse them
[group('code')]
review: (setup "review")
    cargo insta review

# Which figures' numbers moved since a commit: as Markdown, and both drawings side by side in out/moved/index.html
[group('code')]
moved base: (setup "rust")
    {{ paper }} moved "$1"

# Are the figures' numbers the same to the last bit on other CPUs and thread counts? Under emulation
[group('code')]
bits: (setup "toy" "bits")
    scripts/bits

# The kernels' tests with AddressSanitizer; arguments go to cargo test
[group('code')]
sanitize *arguments: (setup "libtorch" "fuzz")
    scripts/sanitize "$@"

# Compile a release's programs in two folders and compare them byte for byte
[group('code')]
reproducible: (setup "libtorch")
    scripts/reproducible

# Hostile files and texts against every reader, each target for so many seconds: `just fuzz 300 gguf`
[group('code')]
fuzz seconds="60" *targets: (setup "libtorch" "fuzz")
    scripts/fuzz "$@"

# The kernels' tests for 64-bit Arm processors, under emulation; arguments are names of tests
[group('code')]
arm *arguments: (setup "arm")
    scripts/arm "$@"

# Criterion benchmarks of the hot loops
[group('code')]
bench *arguments: (setup "toy")
    cargo bench "$@"

# What figures are made with: `paper` runs the `tokensieve` program that lies beside it.
[private]
_programs: (setup "toy" "libtorch" "model")
    @scripts/program tokensieve --version >/dev/null

# The dev profile, so that what set-up compiles serves the tests.
[private]
_setup-dev *parts:
    @TOKENSIEVE_PROFILE=dev scripts/setup "$@"
