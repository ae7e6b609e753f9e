"""Trains with `tokensieve train` as the peers do, and prints the peers' JSON line.

    ours.py TOKENSIEVE ROWS.jsonl[.gz] --steps N --batch N --documents N --threads N [--set key=value]…

`--distill` trains by paper A's objective; the reference is an adapter that plain training made in one step before.
"""

import argparse
import gzip
import json
import os
import subprocess
import tempfile
from pathlib import Path

CONFIG = """
[model]
source = "{model}"
device = "{device}"

[data]
train = "{rows}"
format = "gsm8k"
limit = {documents}

[objective]
preset = "{objective}"

[lora]
r = 32
lora_alpha = 64
target_modules = "all-linear"

[train]
steps = {steps}
batch_size = {batch}
lr = 2e-4
schedule = "constant"
"""


DISTILL = "masked-mle+distill"


def train(options, config, out, changes):
    words = [word for change in changes + options.set for word in ("--set", change)]
    subprocess.run(
        [options.tokensieve, "train", config, "--out", out, *words],
        check=True,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": str(options.threads)},
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokensieve")
    parser.add_argument("rows")
    for key, default in {"steps": 4, "batch": 32, "documents": 256, "threads": 2}.items():
        parser.add_argument(f"--{key}", type=int, default=default)
    parser.add_argument("--model", default="smollm2-135m", help="as tokensieve's model.source")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--distill", action="store_true")
    parser.add_argument("--set", action="append", default=[], help="as tokensieve's own")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config, twin, out, rows = (Path(folder, name) for name in ("config.toml", "twin", "out", "rows.jsonl"))
        packed = options.rows.endswith(".gz")
        rows.write_bytes((gzip.open if packed else open)(options.rows, "rb").read())
        config.write_text(CONFIG.format(**vars(options) | {"rows": rows, "objective": "mle"}), encoding="utf-8")
        if options.distill:
            train(options, config, twin, ["train.steps=1"])
            distilled = [f"objective={DISTILL}", f"reference.adapter={twin / 'adapter'}"]
        train(options, config, out, distilled if options.distill else [])
        lines = {
            name: [json.loads(line) for line in Path(out, f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
            for name in ("timing", "metrics")
        }
    # As the peers: the first step is not timed.
    timed = [line for line in lines["timing"] if "seconds" in line][1:]
    seconds = sum(line["seconds"] for line in timed)
    tokens = sum(line["seconds"] * line["tokens_per_second"] for line in timed)
    peak = max(line.get("peak_device_bytes", 0) for line in lines["timing"])
    losses = [line["loss"] for line in lines["metrics"] if "lr" in line]
    print(
        json.dumps(
            {
                "tokens_per_second": tokens / seconds,
                "seconds_per_step": seconds / len(timed),
                "losses": losses,
                **({"peak_device_bytes": peak} if peak else {}),
                "phases": timed[-1]["phases"],
            }
        )
    )


if __name__ == "__main__":
    main()
