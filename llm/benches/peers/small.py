"""Times training of a small model from a random initialisation, as llm/examples/oracle.toml describes it.

    small.py TOKENSIEVE [--python PEER_PYTHON] [--steps N] [--rounds N]

In each round: all cores in f32 and in bf16; one process on one core; one process on each of two cores at the same time;
and, with a Python that has torch and transformers, the textbook loop (`hf_loop.py`) on the same rows from the same
weights. Prints medians over the rounds: tokens per second without the first step, seconds from the start of the program
to the end of its first step, peak memory.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
EXAMPLE = HERE.parents[1] / "examples/oracle.toml"

# Rows of at least so many characters: nearly all as long as the context.
LONG = 100


def make_rows(options, folder):
    """Long documents of the oracle language, enough for every step to have its own."""
    wanted = options.steps * options.batch
    every, rows = folder / "all.jsonl", folder / "rows.jsonl"
    command = [options.tokensieve, "make", "oracle", "--split", "pretrain", "-n", str(5 * wanted), "--out", every]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    lines = every.read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    chosen = [json.dumps({"text": text}) for text in texts if len(text) >= LONG][:wanted]
    rows.write_text("\n".join(chosen) + "\n", encoding="utf-8")
    config = folder / "run.toml"
    text = EXAMPLE.read_text(encoding="utf-8").replace("oracle.jsonl", str(rows))
    config.write_text(text, encoding="utf-8")
    return config, rows


class Ours:
    """A run of the program on some cores."""

    def __init__(self, options, config, out, dtype, cores, steps=None):
        settings = [
            f"train.steps={steps or options.steps}",
            f"train.batch_size={options.batch}",
            "train.save_at=[1]",
            f"model.dtype={dtype}",
        ]
        words = [word for setting in settings for word in ("--set", setting)]
        environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
        self.out = out
        self.began = time.time()
        # The number of threads follows from the cores that the process may use.
        self.process = subprocess.Popen(
            [options.tokensieve, "train", config, "--out", out, *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )

    def first_step(self):
        """Seconds until the first step is done."""
        timing = self.out / "timing.jsonl"
        while not (timing.exists() and timing.read_text(encoding="utf-8").endswith("\n")):
            if self.process.poll() not in (None, 0):
                raise SystemExit(f"{self.out.name} failed; run it by hand")
            time.sleep(0.002)
        return time.time() - self.began

    def result(self):
        first = self.first_step()
        if self.process.wait():
            raise SystemExit(f"{self.out.name} failed; run it by hand")
        lines = [json.loads(line) for line in (self.out / "timing.jsonl").read_text(encoding="utf-8").splitlines()]
        steps = [line for line in lines if "seconds" in line][1:]
        tokens = sum(line["tokens_per_second"] * line["seconds"] for line in steps)
        curve = [json.loads(line) for line in (self.out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        return {
            "speed": tokens / sum(line["seconds"] for line in steps),
            "first": first,
            "peak": max(line["peak_bytes"] for line in steps),
            "nll": curve[-1]["nll"],
        }


def peer(options, model, rows):
    began = time.time()
    words = ["--steps", str(options.peer_steps), "--batch", str(options.batch), "--threads", str(options.cores)]
    command = [options.python, str(HERE / "hf_loop.py"), model, rows, *words]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    line = json.loads(done.stdout.splitlines()[-1])
    timed = sum(line["seconds"][1:])
    first = time.time() - began - timed
    return {"speed": line["tokens_per_second"], "first": first, "peak": line["peak_bytes"], "nll": line["losses"][-1]}


def one_round(options, config, rows, folder, number):
    """All ways to run, one after the other."""
    cores = set(range(options.cores))

    def ours(name, dtype, cores):
        return Ours(options, config, folder / f"{name}-{number}", dtype, cores)

    # What comes first in a round finds memory and files as the peer left them; so each is first in every other round.
    kinds = ["f32", "bf16"]
    measured = {kind: ours(kind, kind, cores).result() for kind in (kinds if number % 2 else reversed(kinds))}
    found = {kind: measured[kind] for kind in kinds}
    found["f32, one core"] = ours("one", "f32", {0}).result()
    pair = [ours(f"core{core}", "f32", {core}) for core in sorted(cores)]
    # In parallel: while one run is waited for, the clock of the other goes on.
    with ThreadPoolExecutor() as pool:
        each = list(pool.map(Ours.result, pair))
    found[f"f32, a run on each of {len(pair)} cores"] = {
        "speed": sum(run["speed"] for run in each),
        "first": max(run["first"] for run in each),
        "peak": sum(run["peak"] for run in each),
        "nll": each[0]["nll"],
    }
    if options.python:
        found["transformers, f32"] = peer(options, folder / f"f32-{number}/step-1", rows)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokensieve")
    parser.add_argument("--python", help="a Python with torch and transformers")
    for key, default in {"steps": 30, "peer_steps": 5, "batch": 64, "cores": 2, "rounds": 2}.items():
        parser.add_argument(f"--{key.replace('_', '-')}", type=int, default=default)
    options = parser.parse_args()
    options.tokensieve = str(Path(options.tokensieve).resolve())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config, rows = make_rows(options, folder)
        rounds = [one_round(options, config, rows, folder, number) for number in range(options.rounds)]
    whole = median(found["f32"]["speed"] for found in rounds)
    print(f"{options.steps} steps of {options.batch} rows, {options.cores} cores, medians of {options.rounds} rounds\n")
    print("| run | tokens/s | of f32 | start to first step | peak memory | last NLL |")
    print("|---|--:|--:|--:|--:|--:|")
    for run in rounds[0]:
        middle = {key: median(found[run][key] for found in rounds) for key in rounds[0][run]}
        print(
            f"| {run} | {middle['speed']:.0f} | {middle['speed'] / whole:.2f} | {middle['first']:.2f} s "
            f"| {middle['peak'] / 2**30:.2f} GiB | {middle['nll']:.4f} |"
        )


if __name__ == "__main__":
    main()
