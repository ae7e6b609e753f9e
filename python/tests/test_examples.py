"""The example notebooks run from top to bottom. Needs SmolLM2-135M (`./just setup model`)."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize("notebook", sorted(path.name for path in EXAMPLES.glob("*.ipynb")))
def test_a_notebook_runs(notebook):
    content = nbformat.read(EXAMPLES / notebook, as_version=4)
    assert all(not cell.get("outputs") for cell in content.cells), "committed without outputs"
    NotebookClient(content, timeout=120, resources={"metadata": {"path": EXAMPLES}}).execute()
    outputs = [output for cell in content.cells for output in cell.get("outputs", [])]
    assert any("background:rgba" in output.get("data", {}).get("text/html", "") for output in outputs)
