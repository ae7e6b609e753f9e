"""Two processes give what one gives: selection, normaliser and reported loss go over the batch of both."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from sieve_fixtures import distance, tiny, tiny_rows, trained

OBJECTIVES: dict[str, object] = {
    "masked-mle": "masked-mle",
    "grad-norm": {"preset": "-p", "match": "grad-norm"},
    "random": "random",
    "label-smoothing": "label-smoothing",
}
MICRO_BATCHES = {"masked-mle": 3, "grad-norm": 3, "random": 1, "label-smoothing": 1}


def results(folder: Path) -> dict[str, tuple[list[float], dict[str, torch.Tensor]]]:
    every = {}
    for name, objective in OBJECTIVES.items():
        losses, _, gradient = trained(folder, tiny(), tiny_rows(), MICRO_BATCHES[name], 2, objective=objective)
        every[name] = losses, {key.removeprefix("module."): value for key, value in gradient.items()}
    return every


def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen(
            [sys.executable, __file__, str(tmp_path)],
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        said = [rank.communicate(timeout=600)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(said)
    one, two = results(tmp_path), torch.load(tmp_path / "results.pt")
    for name, (losses, gradient) in one.items():
        assert two[name][0] == pytest.approx(losses, rel=1e-5), name
        assert distance(two[name][1], gradient) < 1e-5, name


if __name__ == "__main__":
    found = results(Path(sys.argv[1]))
    if os.environ["RANK"] == "0":
        torch.save(found, Path(sys.argv[1]) / "results.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    sys.stdout.flush()
    # Not through the interpreter's end, which kills threads of torch's group that are still waiting for it: now and
    # then that ends the whole process, with "terminate called without an active exception".
    os._exit(0)
