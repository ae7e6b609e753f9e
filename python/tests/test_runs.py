"""From rows to a trained adapter and back, by the program in the wheel. Needs SmolLM2-135M (`./just setup model`)."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas
import pytest
import tokensieve

PIRATE = Path(__file__).parents[2] / "llm/examples/pirate.jsonl"
ROWS = [{"messages": [{"role": "user", "content": "Sea?"}, {"role": "assistant", "content": "Arr, <matey>!"}]}]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    config = {
        "data": {"train": PIRATE},
        "objective": {"preset": "masked-mle", "select": {"keep": "top 50%"}},
        "lora": {"r": 4},
        "train": {"steps": 2},
    }
    return tokensieve.train(config, out=folder / "out", set={"train.lr": 2e-3})


def test_a_base_in_four_bits_is_one_for_the_runs_adapter_too(tmp_path):
    (tmp_path / "adapter").mkdir()
    for dtype, more in [("nf4-f32", {"precision": "nf4-f32"}), ("bf16", {})]:
        (tmp_path / "config.toml").write_text(f'[model]\nsource = "m"\ndtype = "{dtype}"\n')
        run = tokensieve.Run(tmp_path)
        assert run.model == {"model": "m", "adapter": tmp_path / "adapter"} | more
        assert run._with({"precision": "f32"})["precision"] == "f32"
        with pytest.raises(TypeError, match="model"):
            run.evaluate("gsm8k", model="other")


def test_a_run_and_what_it_trained(run):
    metrics = pandas.DataFrame(run.metrics)
    assert metrics["step"].tolist() == [1, 2]
    assert (metrics["selected"] * 2 == metrics["tokens"]).all()
    assert metrics["nll"][1] < metrics["nll"][0]
    assert len(run.timing) == 2
    assert run.config["train"]["lr"] == 2e-3

    scores = pandas.DataFrame(run.evaluate(f"nll:{PIRATE}"))
    trained = scores.set_index("measure").loc["nll"]
    assert trained["low"] < trained["value"] < trained["high"] < metrics["nll"][0]
    replies = run.generate(ROWS, limit=3)
    assert [reply["tokens"] for reply in replies] == [3]


def test_torchrun_shares_the_run(run, tmp_path):
    # Where pip puts commands: beside the package if it was told where to, else beside Python.
    beside = [Path(tokensieve.__file__).parents[1] / "bin", Path(sys.executable).parent]
    program = shutil.which("tokensieve", path=os.pathsep.join(map(str, beside)))
    assert program
    # In f32: bf16 rounds each process' products by themselves, and AdamW makes whole steps of small differences.
    config = run.folder / "config.toml"
    alone = tokensieve.train(config, out=tmp_path / "alone", set={"model.dtype": "f32"})
    out = tmp_path / "out"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    done = subprocess.run(
        [*launcher, program, "train", str(config), "--set", "model.dtype=f32", "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((out / "run.json").read_text())["processes"] == 2
    one, shared = pandas.DataFrame(alone.metrics), pandas.DataFrame(tokensieve.Run(out).metrics)
    assert shared["selected"].tolist() == one["selected"].tolist()
    assert shared["nll"].tolist() == pytest.approx(one["nll"].tolist(), abs=1e-5)
    assert shared["nll"][1] < shared["nll"][0] - 0.1


def test_uncertainty_is_a_table_and_is_coloured(run):
    found = run.uncertainty(ROWS, passes=2)
    table = pandas.DataFrame(found.tokens)
    assert {"row", "text", "loss", "epistemic"} <= set(table.columns)
    assert not {"top", "top_ids"} & set(table.columns)
    html = found.coloured("loss")._repr_html_()
    assert "&lt;" in html and "<matey" not in html
    assert html.count("background:") == len(table)
    assert "rgba(214,69,65,1.00)" in html


def test_a_diagnosis():
    found = tokensieve.diagnose(PIRATE, documents=4, steps=0, passes=0)
    assert found["recommendation"]["config"] and found["measured"]


def test_a_table_in_set_overrides_its_keys_alone(tmp_path):
    config = tmp_path / "my.toml"
    config.write_text(f'[data]\ntrain = "{PIRATE}"\n[lora]\nr = 4\n[train]\nlr = 2e-3\nsteps = 9\n')
    run = tokensieve.train(config, set={"train": {"out": tmp_path / "out", "steps": 1}})
    assert run.folder == tmp_path / "out"
    assert (len(run.metrics), run.config["train"]["lr"]) == (1, 2e-3)


@pytest.mark.parametrize(("keys", "folder"), [
    ({"train.out": "a"}, "a"),
    ({"train": {"out": "a", "lr": 1.0}}, "a"),
    ({"train": {"out": "a"}, "train.out": "b"}, "b"),
    ({"train.out": "b", "train": {"lr": 1.0}}, "b"),
    ({"train": {"lr": 1.0}, "data": {"out": "c"}}, None),
])
def test_the_folder_of_the_results(keys, folder):
    assert tokensieve.runs._out_of(keys) == folder


def test_the_folder_of_the_results_in_a_file(tmp_path):
    config = tmp_path / "my.toml"
    config.write_text('\ufeff[train]\nout = "a"\n', encoding="utf-8")
    assert tokensieve.runs._default_folder(config, {}) == Path("a")
    # Of a version of TOML that Python does not know.
    config.write_text('[train]\nout = "a"\n[eval.held]\nlimits = {\n  a = 1,\n}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"my\.toml: Python cannot read it .*pass out="):
        tokensieve.runs._default_folder(config, {})
    assert tokensieve.runs._default_folder(config, {"train.out": "b"}) == Path("b")


def test_only_a_measure_colours():
    assert tokensieve.Uncertainty([]).coloured("loss").by == "loss"
    with pytest.raises(ValueError, match="`los` is not a measure of a token: there are loss, entropy"):
        tokensieve.Uncertainty([]).coloured("los")


def test_errors_are_the_program_s():
    with pytest.raises(tokensieve.ProgramError, match=r"gone\.jsonl"):
        tokensieve.generate("gone.jsonl")
    with pytest.raises(ValueError, match="pass out="):
        tokensieve.train({"data": {"train": "x.jsonl"}})
