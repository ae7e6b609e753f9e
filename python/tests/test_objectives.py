"""Objectives as Python sees them. Needs the wheel's extension alone; `./just python-test` runs it."""

import copy
import math
import pickle

import numpy as np
import pytest
import tokensieve
import torch
from tokensieve import Objective, _objectives
from tokensieve.objectives import _column

LOSS = [0.1, 2.0, 0.3, 0.7]


def batch(count=1000, seed=0):
    random = np.random.default_rng(seed)
    return {
        "loss": random.exponential(size=count),
        "entropy": random.exponential(size=count),
        "document": np.arange(count) // 50,
    }


def test_paper_a():
    pulls = Objective("masked-mle+distill").pulls(loss=LOSS)
    assert pulls.selected.tolist() == [False, True, False, False]
    assert pulls.label.tolist() == [0, 1, 0, 0]
    assert pulls.reference.tolist() == [1, 0, 1, 1]
    assert (pulls.normaliser, pulls.tokens, pulls.kept, pulls.pulled) == (4, 4, 1, 4)


def test_a_definition_is_a_preset_an_expression_toml_or_a_table():
    table = {"selected": "-p", "select": {"by": "loss", "keep": "top 25%"}}
    toml = "selected = '-p'\nselect = { by = 'loss', keep = 'top 25%' }"
    ours, theirs = (Objective(definition).pulls(loss=LOSS) for definition in (table, toml))
    assert ours.label.tolist() == theirs.label.tolist() == [0, pytest.approx(math.exp(-2)), 0, 0]
    assert Objective("-p^10").name == Objective({"preset": "-p^10"}).name
    assert Objective("-p^3").pulls(loss=[0.5]).label[0] == pytest.approx(3 * math.exp(-1.5))
    for name in tokensieve.names():
        assert Objective(name, steps=10).name == name
        assert tokensieve.preset(name)
    assert "select.keep" in [key.name for key in tokensieve.keys()]


def test_an_objective_is_the_table_as_it_was_given():
    table = {"select": {"by": "loss", "keep": "top 50%"}}
    objective = Objective(table)
    table["select"]["keep"] = objective.definition["select"]["keep"] = "top 25%"
    assert objective.definition == {"select": {"by": "loss", "keep": "top 50%"}}
    assert objective.fresh().pulls(loss=LOSS).kept == objective.pulls(loss=LOSS).kept == 2


def test_numbers_of_a_table_may_be_numpys():
    assert Objective({"preset": "truncated-kd", "top_k": np.int64(5)}).top_k == 5
    running = {"by": "loss", "keep": "top 50%", "within": "running", "window": np.int64(200)}
    assert "the last 200" in Objective({"select": running}).explain()


@pytest.mark.parametrize("convert", [
    list,
    np.array,
    lambda values: np.array(values, np.float32),
    lambda values: np.array([values, values]).T[:, 0],
    torch.tensor,
    lambda values: torch.tensor(values, dtype=torch.float64),
    lambda values: np.array(values[::-1], np.float32)[::-1],
    lambda values: np.frombuffer(b"?" + np.array(values, np.float32).tobytes(), np.float32, offset=1),
])
def test_arrays_and_tensors_of_any_layout(convert):
    pulls = Objective("masked-mle").pulls(loss=convert(LOSS), document=np.zeros(4, np.int64))
    assert pulls.label.tolist() == [0, 1, 0, 0]
    assert isinstance(pulls.label, torch.Tensor) == isinstance(convert(LOSS), torch.Tensor)
    halves = Objective("masked-mle").pulls(loss=torch.tensor(LOSS, dtype=torch.bfloat16))
    assert halves.label.tolist() == [0, 1, 0, 0]


class Exporter:
    """What a library has that knows DLPack and neither buffers nor NumPy."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __dlpack__(self, **options):
        return self.tensor.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.tensor.__dlpack_device__()

    def __len__(self):
        return len(self.tensor)


@pytest.mark.parametrize("step", [1, 2, -1])
def test_single_precision_is_read_where_it_lies(step):
    array = np.random.default_rng(0).exponential(size=1000).astype(np.float32)[::step]
    address = array.__array_interface__["data"][0]
    wanted = Objective("masked-mle").pulls(loss=array.astype(np.float64)).label.tolist()
    sources = [array]
    if step > 0:  # torch has no negative strides
        tensor = torch.from_numpy(array)
        sources += [tensor, torch.nn.Parameter(tensor), Exporter(tensor)]
    for source in sources:
        assert _objectives.read_at(_column("loss", source)) == address
        assert Objective("masked-mle").pulls(loss=source).label.tolist() == wanted


def test_what_cannot_be_read_where_it_lies():
    with pytest.raises(ValueError, match="`loss` cannot be read where it lies"):
        Objective("mle").pulls(loss=Exporter(torch.tensor(LOSS, dtype=torch.bfloat16)))
    with pytest.raises(ValueError, match="one dimension"):
        _objectives.read_at(np.zeros((2, 2), np.float32))


@pytest.mark.parametrize("definition", ["mle", "-p", "-p^10", "log(1-p)", "(1-p^0.5)/0.5"])
def test_pulls_are_the_derivative_of_the_loss(definition):
    loss, h = np.linspace(0.01, 9, 50), 1e-6
    objective = Objective(definition)
    selected, nothing = np.ones(50, bool), np.zeros(50)
    above, below = (objective.losses({"loss": loss + step}, selected, nothing) for step in (h, -h))
    assert objective.pulls(loss=loss).label == pytest.approx((above - below) / (2 * h), rel=1e-5, abs=1e-8)


def test_a_run_goes_on_where_its_state_was_saved():
    table = {"selected": "-p", "select": {"by": "entropy", "keep": "top 20%", "within": "running", "window": 1500,
                                          "schedule": "ramp", "over": "50%"}}
    whole, first = Objective(table, steps=8), Objective(table, steps=8)
    whole_pulls = [whole.pulls(**batch(seed=step)).label for step in range(6)]
    for step in range(3):
        first.pulls(**batch(seed=step))
    second = first.fresh()
    second.resume(first.state())
    assert second.step == 3
    for step in range(3, 6):
        assert np.array_equal(second.pulls(**batch(seed=step)).label, whole_pulls[step])


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_goes_on_where_the_original_is(copied):
    table = {"select": {"by": "loss", "keep": "top 20%", "within": "running", "window": 1500, "schedule": "ramp"}}
    original = Objective(table, steps=8, seed=3)
    original.pulls(**batch())
    other = copied(original)
    assert (other.definition, other.state()) == (original.definition, original.state())
    assert np.array_equal(other.pulls(**batch(seed=1)).label, original.pulls(**batch(seed=1)).label)
    # They have a state each.
    other.pulls(**batch(seed=2))
    assert (other.step, original.step) == (3, 2)


class Counted(Objective):
    """One that counts its steps and is made of other arguments."""

    def __new__(cls, name):
        return super().__new__(cls, name, steps=4)

    def __init__(self, name):
        self.counted = [name]

    def step_on(self, *arguments):
        self.counted.append("step")
        return super().step_on(*arguments)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one)), Objective.fresh])
def test_a_subclass_stays_one(copied):
    other = copied(Counted("mle"))
    assert type(other) is Counted
    other.pulls(loss=LOSS)
    assert other.counted == ["mle", "step"]
    assert other.fresh(steps=9, seed=2)._arguments == ("mle", 9, 2)


def test_the_written_out_losses_are_of_every_token():
    objective, columns = Objective("mle"), {"loss": np.array([1.0, 2.0, 3.0])}
    assert objective.losses(columns, np.array([1, 0, 1]), np.zeros(3, int)).tolist() == [1, 0, 3]
    with pytest.raises(ValueError, match="have 3 and 30 values for 3 tokens"):
        objective.losses(columns, np.ones(3, bool), np.zeros(30))


def test_an_empty_batch():
    assert Objective("mle").pulls(loss=[], document=[], position=[]).tokens == 0


def test_the_corpus_is_surveyed_first():
    objective = Objective({"select": {"by": "loss", "keep": "top 25%", "within": "corpus"}})
    assert objective.within_corpus and not Objective("masked-mle").within_corpus
    with pytest.raises(ValueError, match="survey"):
        objective.pulls(loss=LOSS)
    objective.survey(loss=np.arange(100.0))
    assert objective.pulls(loss=[74.0, 76.0]).selected.tolist() == [False, True]


def test_documents_and_micro_batches():
    data = batch()
    documents = Objective({"select": {"keep": "top 25%", "of": "documents"}}).pulls(**data)
    assert {len(set(documents.selected[data["document"] == d])) for d in range(20)} == {1}
    assert Objective({"normalise": "documents"}).pulls(**data).normaliser == 20
    parts = Objective({"select": {"keep": "top 25%", "within": "micro-batch"}})
    with pytest.raises(ValueError, match="do not make a batch of 1000"):
        parts.pulls(**data, micro_batches=[2**64 - 1, 4])
    halves = parts.pulls(**data, micro_batches=[400, 600])
    assert (halves.selected[:400].sum(), halves.selected[400:].sum()) == (100, 150)


@pytest.mark.parametrize(("definition", "problem"), [
    ("mel", "did you mean `mle`"),
    ("log(", "nor is it an expression: column 5"),
    ({"bla": 1}, "unknown key `bla`"),
    ({"select": {"keep": [1]}}, "`select.keep`: expected text, a number or a table"),
    ({"select": {"schedule": "ramp"}}, "pass steps="),
    ("p", "it increases"),
])
def test_a_wrong_definition_says_what_would_be_right(definition, problem):
    with pytest.raises(ValueError, match=problem.replace("(", r"\(").replace("[", r"\[")):
        Objective(definition)
    with pytest.raises(TypeError, match="not int"):
        Objective(3)


@pytest.mark.parametrize(("definition", "statistics", "problem"), [
    ("mle", {}, "need `loss`"),
    ("mle", {"loss": [1.0, math.nan]}, "token 1 .* NaN"),
    ("mle", {"loss": [1.0], "weight": [1.0, 2.0]}, "`weight` has 2 values, but there are 1 losses"),
    ("mle", {"loss": [[1.0]]}, "one number per token"),
    ("mle", {"loss": [1.0], "document": [-1]}, "`document` must be whole numbers"),
    ("rho", {"loss": [1.0]}, "reads `reference_loss`: pass reference_loss="),
    ("eaft", {"loss": [1.0]}, "reads `entropy_top20`: pass top_entropy="),
    ("prift-mass", {"loss": [1.0]}, "reads `mass_ref`: pass reference_mass="),
    ("-p * p_base", {"loss": [1.0]}, "reads `p_base`: pass base_loss="),
    ({"select": {"keep": "top 25%", "of": "documents"}}, {"loss": [1.0]}, "pass document="),
    ({"normalise": "documents"}, {"loss": [1.0]}, "pass document="),
    ({"preset": "label-smoothing", "match": "grad-norm"}, {"loss": [1.0]}, "pass vocabulary="),
    ({"weight": "entropy / log vocabulary"}, {"loss": [1.0], "vocabulary": 9}, "pass entropy="),
    ({"weight": "entropy / log vocabulary"}, {"loss": [1.0], "entropy": [1.0]}, "pass vocabulary="),
])
def test_a_wrong_statistic_says_what_would_be_right(definition, statistics, problem):
    statistics = {"loss": None, **statistics}
    with pytest.raises(ValueError, match=problem):
        Objective(definition).pulls(**statistics)
