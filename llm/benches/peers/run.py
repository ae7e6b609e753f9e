"""Runs the peers and ours one after the other, on the same rows with the same threads, and prints who needs what.

    run.py --python PEER_PYTHON HF_FOLDER TRAIN.jsonl --ours "ours bf16=TOKENSIEVE COMMAND {folder} {rows} {steps}"

PEER_PYTHON has torch, transformers, peft, trl, datasets. A command given by `--ours` prints, as its last line of JSON,
at least `tokens_per_second`; `{folder}`, `{rows}`, `{steps}`, `{batch}`, `{documents}`, `{threads}` are filled in.
Memory is what the kernel says of the ended process, for all alike. Where a peer has several ways to run, all are
tried, and the comparison takes its fastest; `--only` chooses by name, `--list` names them.
"""

import argparse
import json
import os
import shlex
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
    parser.add_argument("--flop-per-token", type=float, default=550e6, help="for the fraction of the ceiling")
    parser.add_argument("--out", help="writes all results as JSON")
    parser.add_argument("--list", action="store_true", help="names the peers")
    options = parser.parse_args()
    if not options.list and not options.rows:
        parser.error("a folder and a file of rows are needed")
    return options


def plan(options):
    """(name, allocator, command) of every run."""
    runs = []
    for given in options.ours:
        name, _, command = given.partition("=")
        runs.append((name, "plain", shlex.split(command.format(**vars(options)))))
    fixed = [options.folder, options.rows]
    for key in ("steps", "batch", "documents", "threads"):
        fixed += [f"--{key}", str(getattr(options, key))]
    for name, ways in PEERS.items():
        if options.only and name not in options.only:
            continue
        for script, arguments, allocators in ways:
            for allocator in allocators:
                runs.append((name, allocator, [options.python, str(HERE / script), *fixed, *arguments]))
    return runs


def busy_elsewhere(seconds=2.0):
    """The share of the processors' time that others take, while nothing of ours runs."""

    def read():
        fields = [int(field) for field in Path("/proc/stat").read_text(encoding="ascii").split("\n")[0].split()[1:]]
        return sum(fields), fields[3] + fields[4]

    total, idle = read()
    time.sleep(seconds)
    total_later, idle_later = read()
    return 1.0 - (idle_later - idle) / max(1, total_later - total)


def run(name, allocator, command, threads):
    """One process, alone: its line, the kernel's peak memory, seconds from start to end."""
    preload = ALLOCATORS[allocator].get("LD_PRELOAD")
    if preload and not Path(preload).exists():
        return {"name": name, "allocator": allocator, "failed": f"{preload} is not installed"}
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)} | ALLOCATORS[allocator]
    busy, began = busy_elsewhere(), time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True) as process:
        # Both pipes are read to their ends before the process is waited for, so neither can fill up.
        errors = []
        reader = threading.Thread(target=lambda: errors.append(process.stderr.read()))
        reader.start()
        output = process.stdout.read()
        reader.join()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    lines = [line for line in output.splitlines() if line.startswith("{") and "tokens_per_second" in line]
    if process.returncode or not lines:
        why = (errors[0].strip().splitlines() or ["no output"])[-1]
        return {"name": name, "allocator": allocator, "failed": f"exit {process.returncode}: {why}"}
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


def ceiling(python, threads):
    """GFLOP/s of the best matrix product, per precision."""
    found = subprocess.run(
        [python, str(HERE / "ceiling.py"), str(threads)], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(found.stdout)


def flags(result):
    """What distinguishes the ways of one peer."""
    script = next((at for at, word in enumerate(result["command"]) if word.endswith(".py")), None)
    if script is None:
        return ""
    words, shown, skip = result["command"][script + 3 :], [], {"--steps", "--batch", "--documents", "--threads"}
    while words:
        word = words.pop(0)
        if word in skip:
            words.pop(0)
        else:
            shown.append(word.lstrip("-"))
    return " ".join(shown)


def table(results, rate, options):
    print(f"\n{'':28}{'allocator':12}{'tokens/s':>9}{'s/step':>8}{'peak GiB':>9}{'ceiling':>8}  how")
    for result in results:
        name = f"{result['name']:28}{result['allocator']:12}"
        if "failed" in result:
            print(f"{name}{result['failed']}")
            continue
        share = result["tokens_per_second"] * options.flop_per_token / 1e9 / rate["bf16"]
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
        print("\n".join(PEERS))
        return
    load = os.getloadavg()[0]
    if load > 1:
        print(f"warning: load average {load:.1f}; others are at work here, the times below mean little", file=sys.stderr)
    rate = ceiling(options.python, options.threads)
    print(f"matrix product: bf16 {rate['bf16']:.0f}, f32 {rate['f32']:.0f} GFLOP/s on {options.threads} threads")
    results = []
    for name, allocator, command in plan(options):
        print(f"… {name} ({allocator}): {shlex.join(command)}", file=sys.stderr, flush=True)
        results.append(run(name, allocator, command, options.threads))
    table(results, rate, options)
    ratios(results, {given.partition("=")[0] for given in options.ours})
    if options.out:
        machine = {"threads": options.threads, "load": load, "gflops": rate}
        Path(options.out).write_text(json.dumps({"machine": machine, "runs": results}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
