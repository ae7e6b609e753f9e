"""Trains with `tokensieve train` as the peers do, and prints the peers' JSON line.

    ours.py TOKENSIEVE ROWS.jsonl[.gz] --steps N --batch N --documents N --threads N [--set key=value]…
"""

import argparse
import gzip
import json
import os
import subprocess
import tempfile
from pathlib import Path

CONFIG = """
[data]
train = "{rows}"
format = "gsm8k"
limit = {documents}

[objective]
preset = "mle"

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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokensieve")
    parser.add_argument("rows")
    for key, default in {"steps": 4, "batch": 32, "documents": 256, "threads": 2}.items():
        parser.add_argument(f"--{key}", type=int, default=default)
    parser.add_argument("--set", action="append", default=[], help="as tokensieve's own")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config, out, rows = (Path(folder, name) for name in ("config.toml", "out", "rows.jsonl"))
        packed = options.rows.endswith(".gz")
        rows.write_bytes((gzip.open if packed else open)(options.rows, "rb").read())
        config.write_text(CONFIG.format(**vars(options) | {"rows": rows}), encoding="utf-8")
        changes = [word for change in options.set for word in ("--set", change)]
        subprocess.run(
            [options.tokensieve, "train", config, "--out", out, *changes],
            check=True,
            stdout=subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": str(options.threads)},
        )
        lines = {
            name: [json.loads(line) for line in Path(out, f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
            for name in ("timing", "metrics")
        }
    # As the peers: the first step is not timed.
    timed = [line for line in lines["timing"] if "seconds" in line][1:]
    seconds = sum(line["seconds"] for line in timed)
    tokens = sum(line["seconds"] * line["tokens_per_second"] for line in timed)
    losses = [line["loss"] for line in lines["metrics"] if "lr" in line]
    print(
        json.dumps(
            {
                "tokens_per_second": tokens / seconds,
                "seconds_per_step": seconds / len(timed),
                "losses": losses,
                "phases": timed[-1]["phases"],
            }
        )
    )


if __name__ == "__main__":
    main()
