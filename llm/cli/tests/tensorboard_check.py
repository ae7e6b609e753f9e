"""Checks that TensorBoard reads a run's event files: same steps and numbers as metrics.jsonl, nothing torn.

    python llm/cli/tests/tensorboard_check.py runs/NAME

Needs the `tensorboard` package (2.20 was tried).
"""

import json
import math
import pathlib
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

out = pathlib.Path(sys.argv[1])
events = EventAccumulator(str(out / "tensorboard"), size_guidance={"scalars": 0}).Reload()
tags = events.Tags()["scalars"]
lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
checked = 0
for tag in tags:
    group, *name = tag.split("/")
    if group == "train":
        key = name[0]
        wanted = {line["step"]: line for line in lines if "eval" not in line}
        wanted = {step: line["selected"] / line["tokens"] if key == "selected" else line[key] for step, line in wanted.items()}
    elif group == "eval":
        wanted = {line["step"]: line[name[1]] for line in lines if line.get("eval") == name[0]}
    else:
        continue
    found = {scalar.step: scalar.value for scalar in events.Scalars(tag)}
    assert found.keys() == wanted.keys(), f"{tag}: steps {sorted(found)} instead of {sorted(wanted)}"
    for step, value in wanted.items():
        assert math.isclose(found[step], value, rel_tol=1e-6), f"{tag} at {step}: {found[step]} instead of {value}"
        checked += 1
assert checked, "no scalars at all"
print(f"{len(tags)} tags, {checked} numbers agree with metrics.jsonl")
