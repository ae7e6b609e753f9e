"""The example notebooks run from top to bottom. objectives.ipynb needs SmolLM2-135M (`./just setup model`)."""

import io
from pathlib import Path

import nbformat
import pandas
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[1] / "examples"


def outputs(notebook):
    """What its cells show after it has run: by the kind of content."""
    content = nbformat.read(EXAMPLES / notebook, as_version=4)
    assert all(not cell.get("outputs") for cell in content.cells), "committed without outputs"
    NotebookClient(content, timeout=120, resources={"metadata": {"path": EXAMPLES}}).execute()
    return [output.get("data", {}) for cell in content.cells for output in cell.get("outputs", [])]


def has_coloured_tokens(shown):
    assert any("background:rgba" in data.get("text/html", "") for data in shown)


def has_a_falling_loss(shown):
    table = pandas.read_csv(io.StringIO(shown[-1]["text/plain"]), sep=r"\s+")
    assert table["step"].tolist() == [10, 20, 30, 40, 50]
    assert table["loss"].iloc[-1] < table["loss"].iloc[0] / 2
    assert table["selected"].tolist() == [0.25] * 5


CHECKS = {"objectives.ipynb": has_coloured_tokens, "trainer.ipynb": has_a_falling_loss}


@pytest.mark.parametrize("notebook", sorted(path.name for path in EXAMPLES.glob("*.ipynb")))
def test_a_notebook_runs(notebook):
    CHECKS[notebook](outputs(notebook))
