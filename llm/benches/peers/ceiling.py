"""GFLOP/s of the best matrix product torch makes here, per precision: the ceiling for any trainer. `ceiling.py THREADS`"""

import json
import sys
import time

import torch

# Rows, columns, inner size: the model's largest product on a micro-batch, and a large square.
SHAPES = [(2048, 3072, 576), (2048, 576, 1536), (4096, 3072, 576), (2048, 2048, 2048), (4096, 4096, 4096)]
TRIES = 8


def main():
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    best = {}
    for name, kind in (("bf16", torch.bfloat16), ("f32", torch.float32)):
        best[name] = 0.0
        for rows, columns, inner in SHAPES:
            left, right = torch.randn(rows, inner).to(kind), torch.randn(columns, inner).to(kind)
            out = torch.empty(rows, columns, dtype=kind)
            for _ in range(TRIES):
                began = time.perf_counter()
                torch.mm(left, right.t(), out=out)
                best[name] = max(best[name], 2e-9 * rows * columns * inner / (time.perf_counter() - began))
    print(json.dumps({name: round(rate, 1) for name, rate in best.items()}))


if __name__ == "__main__":
    main()
