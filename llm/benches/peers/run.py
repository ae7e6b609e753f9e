"""Runs the peers and ours one after the other, on the same rows with the same threads, and prints who needs what.

    run.py --python PEER_PYTHON HF_FOLDER TRAIN.jsonl --ours "ours bf16=TOKENSIEVE COMMAND {folder} {rows} {steps}"

PEER_PYTHON has torch, transformers, peft, trl, datasets; a peer whose package it lacks is left out and says so. A
command given by `--ours` prints, as its last line of JSON, at least `tokens_per_second`; `{folder}`, `{rows}`,
`{steps}`, `{batch}`, `{documents}`, `{threads}`, `{device}`, `{python}` are filled in. Memory is what the kernel says of
the ended process, for all alike, and on a GPU, beside it, what tensors took there at most. `--gpu` runs the peers of a
GPU instead and prints a table in Markdown (`gpu.sh` has all that it needs). Where a peer has several ways to run, all are
tried, and the comparison takes its fastest; `--only` chooses by name, `--list` names them.
"""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")

# Freed memory stays with the process; without this each step's large tensors are mapped and faulted in anew.
GLIBC = {
    "MALLOC_TOP_PAD_": str(256 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 30),
    "MALLOC_MMAP_THRESHOLD_": str(32 << 30),
}
ALLOCATORS = {
    "plain": {},
    "glibc": GLIBC,
    "glibc-huge": GLIBC | {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"},
    "jemalloc": {
        "LD_PRELOAD": str(LIBRARIES / "libjemalloc.so.2"),
        "MALLOC_CONF": "dirty_decay_ms:-1,muzzy_decay_ms:-1,oversize_threshold:0",
    },
    "tcmalloc": {
        "LD_PRELOAD": str(LIBRARIES / "libtcmalloc_minimal.so.4"),
        "TCMALLOC_RELEASE_RATE": "0",
        "TCMALLOC_LARGE_ALLOC_REPORT_THRESHOLD": str(1 << 40),
    },
}
TUNED = [name for name in ALLOCATORS if name != "plain"]

# Name → ways to run it: (script, arguments, allocators).
PEERS = {
    "TRL": [("trl_sft.py", ["--per-device", size], ["plain"]) for size in ("8", "32")],
    "TRL, no checkpointing": [("trl_sft.py", ["--no-checkpointing", "--per-device", "8"], ["plain"])],
    "TRL, bf16 weights": [("trl_sft.py", ["--dtype", "bfloat16", "--per-device", "8"], ["plain"])],
    "TRL, tuned allocator": [
        ("trl_sft.py", [*flags, "--dtype", dtype, "--per-device", "8"], ["glibc"])
        for dtype in ("float32", "bfloat16")
        for flags in ([], ["--no-checkpointing"])
    ],
    "loop bf16": [("loop.py", ["--micro", "8"], ["plain"])],
    "loop bf16, best": [
        *[("loop.py", ["--micro", "8"], [allocator]) for allocator in TUNED],
        ("loop.py", ["--micro", "4"], ["glibc"]),
        ("loop.py", ["--micro", "32"], ["glibc"]),
        ("loop.py", ["--micro", "8", "--attention", "sdpa"], ["glibc"]),
        ("loop.py", ["--micro", "8", "--lora", "add"], ["glibc"]),
    ],
    "loop f32": [
        ("loop.py", ["--precision", "f32", "--micro", "8", "--attention", attention], ["glibc"])
        for attention in ("matmul", "sdpa")
    ],
    "loop bf16, distill": [("loop.py", ["--objective", "distill"], ["glibc", "glibc-huge"])],
}

# On a GPU, the strongest first. A micro-batch is a quarter of the documents (`gpu.sh`: of 16K tokens).
LEAN = ["--dtype", "bfloat16", "--per-device", "{quarter}"]
FAST = [*LEAN[:2], "--per-device", "{eighth}", "--by-length", "--no-checkpointing"]
PACKED = [*LEAN, "--padding-free"]
FLASH = [*PACKED, "--no-checkpointing", "--attention", "flash_attention_2"]
GPU_PEERS = {
    "TRL, padded": [("trl_sft.py", FAST, ["plain"]), ("trl_sft.py", [*LEAN, "--by-length"], ["plain"])],
    "TRL, packed, flash attention": [("trl_sft.py", FLASH, ["plain"])],
    "TRL with Liger": [("trl_sft.py", [*ways, "--liger"], ["plain"]) for ways in (FAST, FLASH)],
    "loop": [("loop.py", ["--micro", "{quarter}", "--chunk", "2048", "--lora", way], ["plain"]) for way in ("concat", "add")],
    "TRL, packed, flex attention": [
        ("trl_sft.py", [*PACKED, "--no-checkpointing", "--attention", "flex_attention"], ["plain"])
    ],
    "TRL, packed, torch's attention": [("trl_sft.py", PACKED, ["plain"])],
    "TRL as shipped": [("trl_sft.py", ["--per-device", "8"], ["plain"])],
}

# Packages by the word of a command that needs them.
NEEDS = {
    "trl_sft.py": ["trl", "datasets", "peft"],
    "loop.py": ["safetensors"],
    "flash_attention_2": ["flash_attn"],
    "--liger": ["liger_kernel"],
}


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", help="the model as a Hugging Face folder")
    parser.add_argument("rows", nargs="?", help="GSM8K's train.jsonl (or .jsonl.gz)")
    parser.add_argument("--python", default=os.environ.get("PEER_PYTHON", sys.executable), help="of the peers")
    parser.add_argument("--ours", action="append", default=[], metavar="NAME=COMMAND", help="may be repeated")
    parser.add_argument("--only", action="append", help="names of peers to run; may be repeated; 'none' runs ours alone")
    parser.add_argument("--steps", type=int, default=4, help="optimizer steps of each, the first not timed")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--documents", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--gpu", action="store_true", help="the peers of a GPU; --device is cuda then, if not given")
    parser.add_argument("--device", choices=["cpu", "cuda"])
    parser.add_argument("--within", type=float, metavar="SECONDS", help="stops what runs by then, and starts no more")
    parser.add_argument("--flop-per-token", type=float, help="instead of what the model's shape gives")
    parser.add_argument("--out", help="writes all results as JSON")
    parser.add_argument("--list", action="store_true", help="names the peers")
    options = parser.parse_args()
    if not options.list and not options.rows:
        parser.error("a folder and a file of rows are needed")
    options.device = options.device or ("cuda" if options.gpu else "cpu")
    options.quarter, options.eighth = max(1, options.batch // 4), max(1, options.batch // 8)
    return options


def plan(options):
    """(name, allocator, command) of every run."""
    runs = []
    for given in options.ours:
        name, _, command = given.partition("=")
        runs.append((name, "plain", shlex.split(command.format(**vars(options)))))
    fixed = [options.folder, options.rows]
    for key in ("steps", "batch", "documents", "threads", "device"):
        fixed += [f"--{key}", str(getattr(options, key))]
    for name, ways in (GPU_PEERS if options.gpu else PEERS).items():
        if options.only and name not in options.only:
            continue
        for script, arguments, allocators in ways:
            for allocator in allocators:
                words = [word.format(**vars(options)) for word in arguments]
                runs.append((name, allocator, [options.python, str(HERE / script), *fixed, *words]))
    return runs


def missing(python, command):
    """The packages that a command needs and this Python lacks."""
    wanted = [name for word in command for name in NEEDS.get(Path(word).name, [])]
    ask = "import sys, importlib.util as u; print(*(n for n in sys.argv[1:] if not u.find_spec(n)))"
    return subprocess.run([python, "-c", ask, *wanted], stdout=subprocess.PIPE, text=True, check=True).stdout.split()


def busy_elsewhere(seconds=2.0):
    """The share of the processors' time that others take, while nothing of ours runs."""

    def read():
        fields = [int(field) for field in Path("/proc/stat").read_text(encoding="ascii").split("\n")[0].split()[1:]]
        return sum(fields), fields[3] + fields[4]

    total, idle = read()
    time.sleep(seconds)
    total_later, idle_later = read()
    return 1.0 - (idle_later - idle) / max(1, total_later - total)


def run(name, allocator, command, options, ends):
    """One process, alone: its line, the kernel's peak memory, seconds from start to end."""

    def failed(why):
        return {"name": name, "allocator": allocator, "command": command, "failed": why}

    preload = ALLOCATORS[allocator].get("LD_PRELOAD")
    if preload and not Path(preload).exists():
        return failed(f"{preload} is not installed")
    if lacks := missing(options.python, command):
        return failed(f"left out: {', '.join(lacks)} not installed")
    if time.perf_counter() > ends:
        return failed("left out: no time left")
    environment = os.environ | {"OMP_NUM_THREADS": str(options.threads)} | ALLOCATORS[allocator]
    busy, began = busy_elsewhere(), time.perf_counter()
    # A session of its own only where it may have to be stopped with all that it started.
    limited, pipe = ends != float("inf"), subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, env=environment, text=True, start_new_session=limited) as process:
        stop = threading.Timer(min(ends - began, threading.TIMEOUT_MAX), os.killpg, [process.pid, signal.SIGKILL])
        if limited:
            stop.start()
        # Both pipes are read to their ends before the process is waited for, so neither can fill up.
        errors = []
        reader = threading.Thread(target=lambda: errors.append(process.stderr.read()))
        reader.start()
        output = process.stdout.read()
        reader.join()
        stop.cancel()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    lines = [line for line in output.splitlines() if line.startswith("{") and "tokens_per_second" in line]
    if process.returncode == -signal.SIGKILL and time.perf_counter() > ends:
        return failed("stopped: no time left")
    if process.returncode or not lines:
        why = (errors[0].strip().splitlines() or ["no output"])[-1]
        return failed(f"exit {process.returncode}: {why}")
    result = json.loads(lines[-1])
    result |= {
        "name": name,
        "allocator": allocator,
        "peak_bytes": usage.ru_maxrss * 1024,
        "wall_seconds": round(time.perf_counter() - began, 2),
        "page_faults": usage.ru_minflt,
        "busy_elsewhere": round(busy, 3),
        "command": command,
    }
    return result


def ceiling(options):
    """GFLOP/s of the best matrix product, per precision, and FLOP per token."""
    command = [options.python, str(HERE / "ceiling.py"), options.folder, options.rows]
    for key in ("documents", "threads", "device"):
        command += [f"--{key}", str(getattr(options, key))]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


FIXED = {f"--{key}" for key in ("steps", "batch", "documents", "threads", "device", "model")}


def flags(result):
    """What distinguishes the ways of one peer."""
    script = next((at for at, word in enumerate(result["command"]) if word.endswith(".py")), None)
    if script is None:
        return ""
    words, shown, skip = result["command"][script + 3 :], [], FIXED
    while words:
        word = words.pop(0)
        if word in skip:
            words.pop(0)
        else:
            shown.append(word.lstrip("-"))
    return " ".join(shown)


def markdown(results, rate):
    """For a GPU: `time` is that of a token, the first row's being 1."""
    ran = [result for result in results if "failed" not in result]
    gib = lambda result, key: f"{result[key] / 2**30:.1f}" if key in result else ""
    print(f"\n{rate['flop_per_token'] / 1e6:.0f} MFLOP per token\n")
    print("| | how | tokens/s | of the product | s/step | time | GiB on the device | GiB of the host |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    for result in ran:
        speed = result["tokens_per_second"]
        share = speed * rate["flop_per_token"] / 1e9 / rate["bf16"]
        print(
            f"| {result['name']} | {flags(result)} | {speed:.0f} | {share:.1%} | {result['seconds_per_step']:.3f} "
            f"| {ran[0]['tokens_per_second'] / speed:.2f} | {gib(result, 'peak_device_bytes')} | {gib(result, 'peak_bytes')} |"
        )
    print()
    for result in results:
        if "failed" in result:
            print(f"- {result['name']} ({flags(result)}): {result['failed']}")


def table(results, rate):
    print(f"\n{'':28}{'allocator':12}{'tokens/s':>9}{'s/step':>8}{'peak GiB':>9}{'ceiling':>8}  how")
    for result in results:
        name = f"{result['name']:28}{result['allocator']:12}"
        if "failed" in result:
            print(f"{name}{result['failed']}")
            continue
        share = result["tokens_per_second"] * rate["flop_per_token"] / 1e9 / rate["bf16"]
        seconds = result.get("seconds_per_step", float("nan"))
        disturbed = f"  ({result['busy_elsewhere']:.0%} busy before)" if result["busy_elsewhere"] > 0.1 else ""
        print(
            f"{name}{result['tokens_per_second']:9.0f}{seconds:8.2f}{result['peak_bytes'] / 2**30:9.2f}{share:8.1%}"
            f"  {flags(result)}{disturbed}"
        )


def ratios(results, ours):
    """Ours against the fastest way of each peer, and against its leanest."""
    ran = [result for result in results if "failed" not in result]
    for own in (result for result in ran if result["name"] in ours):
        print(f"\n{own['name']} against{'':20}{'speed':>8}{'memory':>8}{'leanest':>9}")
        for name in dict.fromkeys(result["name"] for result in ran if result["name"] not in ours):
            ways = [result for result in ran if result["name"] == name]
            best = max(ways, key=lambda way: way["tokens_per_second"])
            leanest = min(way["peak_bytes"] for way in ways)
            print(
                f"  {name:{len(own['name']) + 26}}{own['tokens_per_second'] / best['tokens_per_second']:7.2f}×"
                f"{own['peak_bytes'] / best['peak_bytes']:7.2f}×{own['peak_bytes'] / leanest:8.2f}×"
            )


def main():
    options = parse()
    if options.list:
        print("\n".join(GPU_PEERS if options.gpu else PEERS))
        return
    load = os.getloadavg()[0]
    if load > 1:
        print(f"warning: load average {load:.1f}; others are at work here, the times below mean little", file=sys.stderr)
    ends = time.perf_counter() + (options.within or float("inf"))
    rate = ceiling(options)
    rate["flop_per_token"] = options.flop_per_token or rate["flop_per_token"]
    print(f"matrix product: bf16 {rate['bf16']:.0f}, f32 {rate['f32']:.0f} GFLOP/s on {rate['on']}", flush=True)
    results = []
    for name, allocator, command in plan(options):
        print(f"… {name} ({allocator}): {shlex.join(command)}", file=sys.stderr, flush=True)
        results.append(run(name, allocator, command, options, ends))
    if options.gpu:
        markdown(results, rate)
    else:
        table(results, rate)
        ratios(results, {given.partition("=")[0] for given in options.ours})
    if options.out:
        machine = {"threads": options.threads, "load": load, "gflops": rate}
        Path(options.out).write_text(json.dumps({"machine": machine, "runs": results}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
