"""GFLOP/s of the best matrix product torch makes here, per precision: the ceiling for any trainer. And what a token of
the rows costs a LoRA step of the model, in FLOP: `ceiling.py FOLDER ROWS [--device cuda]`"""

import json

import common

# Rows of a micro-batch, sides of a large square.
ROWS = {"cpu": [2048, 4096], "cuda": [16384]}
SQUARES = {"cpu": [2048, 4096], "cuda": [8192]}
TRIES = 8


def main():
    options = common.arguments(__doc__.splitlines()[0]).parse_args()
    common.quiet(options.threads)
    import torch

    config, device = common.load_config(options.folder), options.device
    width, ffn = config["hidden_size"], config["intermediate_size"]
    # Rows, columns, inner size: the model's largest products, and squares.
    shapes = [(rows, *sides) for rows in ROWS[device] for sides in ((2 * ffn, width), (width, ffn))]
    shapes += [(side, side, side) for side in SQUARES[device]]
    best = {}
    for name, kind in (("bf16", torch.bfloat16), ("f32", torch.float32)):
        best[name] = 0.0
        for rows, columns, inner in shapes:
            # Random numbers: a GPU multiplies zeros faster, for they cost it less power.
            left, right = (torch.randn(side, inner, device=device).to(kind) for side in (rows, columns))
            out = torch.empty(rows, columns, dtype=kind, device=device)
            for _ in range(TRIES):
                began = common.now(device)
                torch.mm(left, right.t(), out=out)
                best[name] = max(best[name], 2e-9 * rows * columns * inner / (common.now(device) - began))
    found = {name: round(rate, 1) for name, rate in best.items()}
    found["flop_per_token"] = common.flop_per_token(config, common.load_documents(options), options.rank)
    found["on"] = torch.cuda.get_device_name() if device == "cuda" else f"{options.threads} threads"
    print(json.dumps(found))


if __name__ == "__main__":
    main()
