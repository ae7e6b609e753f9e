"""SieveTrainer against the formula written out on all logits, and TRL's own trainer; refusals; checkpoints."""

from __future__ import annotations

import importlib.machinery
import sys
import types
from pathlib import Path
from typing import Any

import peft
import pytest
import tokenizers
import tokensieve.head
import torch
import transformers
from sieve_fixtures import InOrder, arguments, distance, tiny, tiny_rows, trained
from tokensieve import Objective
from tokensieve._columns import Collator
from tokensieve._step import Tokens

UNIFORM_OR_MODEL = [
    "mle",
    "masked-mle",
    "-p^10",
    {"preset": "f-alpha", "match": "grad-norm"},
    "eaft",
    "deft",
    "cayley",
    "random",
    "label-smoothing",
    "gem",
    "reverse-kl",
    {"preset": "truncated-kd", "top_k": 5, "direction": "reverse"},
    {"preset": "label-smoothing", "direction": "reverse"},
    "asft",
    "prift-mass",
    "masked-mle+distill",
    {"preset": "truncated-kd", "top_k": 5},
    {"against": "reference", "select": {"by": "divergence", "keep": "top 50%"}},
    {"selected": "-log p", "select": {"by": "entropy", "keep": "top 50%", "of": "documents"}},
    {"selected": "-log p", "select": {"by": "loss", "keep": "top 50%", "within": "micro-batch"}, "normalise": "all"},
]


def lora(model: torch.nn.Module) -> Any:
    """The model with an adapter `default` to train and another one, `mle`, both away from zero."""
    torch.manual_seed(2)
    config = peft.LoraConfig(r=4, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM")
    adapted = peft.get_peft_model(model, config)  # type: ignore[arg-type]
    adapted.add_adapter("mle", config)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return adapted


def written_out(
    model: Any, data: list[dict[str, torch.Tensor]], objective: Objective, source: str | None, micro_batches: int
) -> dict[str, torch.Tensor]:
    """The gradient by autograd, on the logits of all tokens at a time."""
    model.eval()
    batch = {name: torch.stack([row[name] for row in data]) for name in data[0]}
    labels = batch.pop("labels")[:, 1:]
    mask = labels != -100
    with torch.no_grad():
        if source == "mle":
            model.set_adapter("mle")
            log_q = model(**batch).logits[:, :-1][mask].double().log_softmax(-1)
            model.set_adapter("default")
        else:
            with model.disable_adapter():
                log_q = model(**batch).logits[:, :-1][mask].double().log_softmax(-1)
    log_p = model(**batch).logits[:, :-1][mask].double().log_softmax(-1)
    y, p, q = labels[mask][:, None], log_p.exp().detach(), log_q.exp()
    if objective.against == "uniform":
        q = torch.full_like(p, 1 / p.shape[-1])
    elif objective.temperature:
        q = (log_p.detach() / objective.temperature).softmax(-1)
    elif objective.top_k:
        tail = torch.ones_like(q).scatter(-1, q.topk(objective.top_k).indices, 0.0)
        rest = (q * tail).sum(-1, keepdim=True) * p / (p * tail).sum(-1, keepdim=True)
        q = torch.where(tail == 0, q, rest)
    top = log_p.detach().topk(20).values.log_softmax(-1)
    document = mask.nonzero()[:, 0]
    position = torch.cat([torch.arange(int(row.sum())) for row in mask])
    per_micro = mask.view(micro_batches, -1).sum(-1).tolist()
    pulls = objective.pulls(
        loss=-log_p.gather(-1, y)[:, 0],
        entropy=-(p * log_p).sum(-1),
        top_entropy=-(top.exp() * top).sum(-1),
        concentration=(p * p).sum(-1),
        reference_loss=-log_q.gather(-1, y)[:, 0],
        reference_mass=(log_q.exp() * (log_q <= log_q.gather(-1, y))).sum(-1),
        divergence=(q * (q.log() - log_p)).sum(-1),
        document=document,
        position=position,
        vocabulary=p.shape[-1],
        micro_batches=per_micro,
    )
    towards_label = (pulls.label * log_p.gather(-1, y)[:, 0]).sum()
    if objective.reverse:
        # Beyond the top k, q has the prediction's shape: there log p - log q does not change with p's shape.
        towards_reference = -(pulls.reference[:, None] * log_p.exp() * (log_p - q.log())).sum()
    else:
        towards_reference = (pulls.reference[:, None] * q * log_p).sum()
    (-(towards_label + towards_reference) / pulls.normaliser).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("micro_batches", [1, 3])
@pytest.mark.parametrize("definition", UNIFORM_OR_MODEL, ids=str)
def test_the_gradient_of_an_adapter_is_the_formulas(definition: Any, micro_batches: int, tmp_path: Path) -> None:
    objective = Objective(definition, steps=3)
    source = "mle" if objective.against in ("mle", "reference") else None
    model, data = lora(tiny()), tiny_rows()
    _, _, gradient = trained(
        tmp_path, model, data, micro_batches, 1, objective=definition, **({"reference": source} if source else {})
    )
    wanted = written_out(model, data, objective, source, micro_batches)
    print(f"{definition}, {micro_batches} micro-batches: gradient {distance(gradient, wanted):.1e}")
    assert distance(gradient, wanted) < 1e-5


def test_all_weights_are_trained_with_a_head_of_its_own_and_with_a_tied_one(tmp_path: Path) -> None:
    for tied in (False, True):
        model = tiny(tied)
        _, _, ours = trained(tmp_path, model, tiny_rows(), 3, 1, objective="mle")
        batch = {name: torch.stack([row[name] for row in tiny_rows()]) for name in tiny_rows()[0]}
        model(**batch).loss.backward()
        theirs = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        assert distance(ours, theirs) < 1e-5


def test_dropout_draws_the_same_masks_in_both_passes(tmp_path: Path) -> None:
    model = tiny()
    model.config.attention_dropout = 0.5
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.5
    everything = {"selected": "-log p", "select": {"by": "loss", "keep": "top 100%"}}
    gradients = []
    for objective in ("mle", everything):
        gradients.append(trained(tmp_path, model, tiny_rows(), 3, 1, objective=objective)[2])
    assert distance(*gradients) < 1e-6


def test_a_micro_batch_may_have_nothing_to_learn(tmp_path: Path) -> None:
    data = tiny_rows()
    for row in data[4:8]:
        row["labels"] = torch.full_like(row["labels"], -100)
    few = {"selected": "-log p", "select": {"by": "loss", "keep": "top 5%"}}
    for objective in ("mle", "masked-mle", few, {"preset": "-p", "match": "grad-norm"}):
        one, three = (trained(tmp_path, tiny(), data, count, 1, objective=objective) for count in (1, 3))
        assert one[0] == pytest.approx(three[0], rel=1e-5)
        assert distance(one[2], three[2]) < 1e-5


def test_the_head_is_never_larger_than_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = []
    for tokens in (512, 2048):
        hidden, weight = torch.randn(tokens, 8), torch.randn(4096, 8, requires_grad=True)
        labels = torch.randint(4096, (tokens,))
        monkeypatch.setitem(tokensieve.head.ELEMENTS, "cpu", 64 * 4096)
        with torch.profiler.profile(profile_memory=True) as profile:
            tokensieve.head.gradient(
                tokensieve.head.Head(weight),
                hidden,
                labels,
                lambda chunk, found: (found["loss"], found["loss"]),
                frozenset({"entropy", "divergence", "correct"}),
                tokensieve.head.Reference(hidden, tokensieve.head.Head(weight), 8),
            )
        now, peak = 0, 0
        for event in profile.profiler.kineto_results.events():
            if event.name() == "[memory]":
                now += event.nbytes()
                peak = max(peak, now)
        peaks.append(peak)
    logits = 64 * 4096 * 4
    print(f"peak for 512 and 2048 tokens: {peaks[0] / 1e6:.2f} and {peaks[1] / 1e6:.2f} MB")
    assert peaks[1] < 10 * logits < 2048 * 4096 * 4
    assert peaks[1] - peaks[0] < logits


def test_the_heads_gradient_in_bf16_does_not_depend_on_the_number_of_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    weight, bias, hidden = (torch.randn(shape, generator=generator) for shape in ((500, 16), (500,), (4800, 16)))
    labels = (torch.rand(4800, generator=generator) ** 3 * 500).long()
    exact = [parameter.bfloat16().double().requires_grad_() for parameter in (weight, bias)]
    logits = hidden.bfloat16().double() @ exact[0].T + exact[1]
    torch.nn.functional.cross_entropy(logits, labels, reduction="sum").backward()
    for rows in (4800, 16):
        monkeypatch.setitem(tokensieve.head.ELEMENTS, "cpu", rows * 500)
        head = tokensieve.head.Head(weight.bfloat16().requires_grad_(), bias.bfloat16().requires_grad_())
        found = tokensieve.head.gradient(
            head, hidden.bfloat16(), labels, lambda _, found: (torch.ones_like(found["loss"]), None)
        )
        for name, ours, theirs in zip(("weight", "bias"), (found.weight, found.bias), exact, strict=True):
            assert ours is not None and ours.dtype == torch.bfloat16 and theirs.grad is not None
            apart = distance({name: ours.double()}, {name: theirs.grad})
            print(f"{name} in chunks of {rows}: {apart:.4f}")
            assert apart < 0.005


def test_documents_of_a_packed_row_are_told_apart_by_their_positions() -> None:
    labels = torch.tensor([[-100, 5, 6, -100, 7, -100, 8, -100]])
    positions = torch.tensor([[0, 1, 2, 0, 1, 0, 1, 2]])
    tokens = Tokens.of({"labels": labels, "position_ids": positions})
    assert tokens.labels.tolist() == [5, 6, 7, 8]
    assert tokens.columns()["document"].tolist() == [0, 0, 1, 2]
    assert tokens.columns()["position"].tolist() == [0, 1, 0, 0]
    assert tokens.documents == 3
    # Positions may stand for all rows.
    rows = Tokens.of({"labels": labels.repeat(2, 1), "position_ids": positions})
    assert rows.columns()["document"].tolist() == [0, 0, 1, 2, 3, 3, 4, 5]
    assert rows.documents == 6
    # Every row begins a document, wherever its positions start.
    for start in (0, 5):
        later = torch.tensor([[start, start + 1, start + 2], [5, 6, 0], [0, 1, 2]])
        rest = Tokens.of({"labels": torch.ones(3, 3, dtype=torch.long), "position_ids": later})
        assert rest.columns()["document"].tolist() == [0, 0, 1, 2, 3, 3]
        assert rest.documents == 4


def test_a_run_continues_with_the_objectives_state(tmp_path: Path) -> None:
    running = {"select": {"by": "loss", "keep": "top 50%", "within": "running", "window": 200}}
    saved = {"save_strategy": "steps", "save_steps": 2, "max_steps": 4, "seed": 1}
    ends = []
    for resumed in (None, str(tmp_path / "checkpoint-2")):
        trainer = InOrder(tiny(), arguments(tmp_path, 3, **saved), train_dataset=tiny_rows() * 4, objective=running)
        trainer.train(resumed)
        assert isinstance(trainer.model, torch.nn.Module)
        ends.append((trainer.objective.state(), trainer.model.state_dict()))
    assert ends[0][0] == ends[1][0]
    assert distance(ends[0][1], ends[1][1]) < 1e-6


def test_a_run_does_not_continue_with_another_objective(tmp_path: Path) -> None:
    def train(steps: int, by: str, resumed: str | None = None) -> None:
        objective = {"select": {"by": by, "keep": "top 50%", "within": "running", "window": 200}}
        settings = arguments(tmp_path, 1, save_strategy="steps", save_steps=1, max_steps=steps)
        InOrder(tiny(), settings, train_dataset=tiny_rows(), objective=objective).train(resumed)

    train(1, "loss")
    checkpoint = str(tmp_path / "checkpoint-1")
    with pytest.raises(ValueError, match=r"objective\.json: .*'by': 'loss'.* this trainer has .*'by': 'entropy'"):
        train(2, "entropy", checkpoint)
    train(2, "loss", checkpoint)


def test_a_trainers_objective_is_the_table_as_it_was_given(tmp_path: Path) -> None:
    table = {"select": {"by": "loss", "keep": "top 50%"}}
    trainer = InOrder(tiny(), arguments(tmp_path, 1, max_steps=1), train_dataset=tiny_rows(), objective=table)
    table["select"]["keep"] = "top 10%"
    trainer.train()
    assert trainer.state.log_history[0]["selected"] == pytest.approx(0.5, abs=0.01)
    assert "top 50%" in trainer.objective.explain()


class Study:
    """Runs trials as a study of optuna does."""

    values: list[float]

    def optimize(self, run: Any, n_trials: int, **_: Any) -> None:
        trials = [types.SimpleNamespace(number=number, params={}) for number in range(n_trials)]
        self.values = [run(trial) for trial in trials]
        self.best_trial = types.SimpleNamespace(number=0, value=min(self.values), params={})

    def _is_multi_objective(self) -> bool:
        return False


def test_trials_of_a_search_have_folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module stands in for optuna, whose search keeps a trial's value where we have the objective."""
    optuna, study = types.ModuleType("optuna"), Study()
    optuna.__spec__ = importlib.machinery.ModuleSpec("optuna", None)
    optuna.Trial = types.SimpleNamespace
    optuna.trial = types.SimpleNamespace(BaseTrial=types.SimpleNamespace)
    optuna.create_study = lambda **_: study
    monkeypatch.setitem(sys.modules, "optuna", optuna)
    saved = {"save_strategy": "steps", "save_steps": 1, "max_steps": 2, "eval_strategy": "steps", "eval_steps": 1}
    trainer = InOrder(
        model_init=lambda: lora(tiny()),
        args=arguments(tmp_path, 1, **saved),
        train_dataset=tiny_rows(),
        eval_dataset=tiny_rows()[:4],
        objective="asft",
    )
    best = trainer.hyperparameter_search(
        lambda trial: {"learning_rate": 0.01 * (1 + 4 * trial.number)}, backend="optuna", n_trials=2
    )
    assert [len(set(study.values)), best.objective] == [2, min(study.values)]
    for trial, step in ((0, 1), (0, 2), (1, 1), (1, 2)):
        assert (tmp_path / f"run-{trial}" / f"checkpoint-{step}" / "objective.json").exists()
    assert not list(tmp_path.glob("checkpoint-*"))
    assert isinstance(trainer.objective, Objective)
    with pytest.raises(AttributeError, match="the one that it was made with"):
        trainer.objective = None


def test_a_survey_of_the_corpus_leaves_evaluations_their_rows(tmp_path: Path) -> None:
    corpus = {"select": {"by": "loss", "keep": "top 50%", "within": "corpus"}}
    workers = {"dataloader_num_workers": 1, "dataloader_persistent_workers": True}
    settings = arguments(tmp_path, 1, max_steps=1, **workers)
    held_out = tiny_rows()[:5]
    trainer = InOrder(tiny(), settings, train_dataset=tiny_rows(), eval_dataset=held_out, objective=corpus)
    trainer.train()
    assert trainer.get_eval_dataloader().dataset is held_out


def test_an_adapter_with_its_own_head_beside_one_without(tmp_path: Path) -> None:
    with_head = peft.LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=["lm_head"], task_type="CAUSAL_LM")
    model = peft.get_peft_model(tiny(), with_head)  # type: ignore[arg-type]
    model.add_adapter("mle", peft.LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM"))
    for name, parameter in model.named_parameters():
        if "lora_B" in name or "modules_to_save" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    objective = Objective("masked-mle+distill", steps=3)
    _, _, gradient = trained(tmp_path, model, tiny_rows(), 1, 1, objective="masked-mle+distill", reference="mle")
    assert distance(gradient, written_out(model, tiny_rows(), objective, "mle", 1)) < 1e-5


def test_a_reference_leaves_the_adapters_as_they_were(tmp_path: Path) -> None:
    for options in ({"objective": "asft"}, {"objective": "masked-mle+distill", "reference": "mle"}):
        model = lora(tiny())
        model.add_adapter("old", peft.LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM"))
        model.base_model.set_adapter(["old", "default"])
        # What is frozen by hand stays so.
        for name, parameter in model.named_parameters():
            parameter.requires_grad_("default" in name and "lora_A" not in name)
        learning = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        trained(tmp_path, model, tiny_rows(), 1, 1, **options)
        assert model.base_model.active_adapters == ["old", "default"]
        assert [name for name, parameter in model.named_parameters() if parameter.requires_grad] == learning


def halve(_: Any, __: Any, output: Any) -> None:
    """A model that does more after its last layer."""
    if output.logits.shape[-1] == 61:
        output.logits = output.logits / 2


def rule_out(_: Any, __: Any, output: Any) -> None:
    """A model that forbids tokens after its last layer."""
    if output.logits.shape[-1] == 61:
        output.logits[..., 40:] = -torch.inf


def refusal(tmp_path: Path, model: Any, **options: Any) -> str:
    with pytest.raises(ValueError) as error:
        trainer = InOrder(model, arguments(tmp_path, 1), train_dataset=tiny_rows(), **options)
        trainer.train()
    return str(error.value)


def test_refusals_name_what_is_wrong(tmp_path: Path) -> None:
    capped = tiny()
    capped.config.final_logit_softcapping = 30.0
    assert "final_logit_softcapping = 30.0" in refusal(tmp_path, capped, objective="mle")
    scaled = transformers.GraniteConfig(
        vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=2, logits_scaling=8.0,
    )  # fmt: skip
    granite = transformers.GraniteForCausalLM(scaled)
    assert "logits_scaling = 8.0" in refusal(tmp_path, granite, objective="mle")
    for changes in (halve, rule_out):
        changed = tiny()
        changed.register_forward_hook(changes)
        assert "are not those of its last layer" in refusal(tmp_path, changed, objective="mle")
    assert "reads `bald`" in refusal(tmp_path, tiny(), objective="bald")
    assert "pass reference=" in refusal(tmp_path, tiny(), objective="distill")
    assert "full fine-tuning overwrites" in refusal(tmp_path, tiny(), objective="asft")
    assert "train an adapter" in refusal(tmp_path, tiny(), objective="tail-sft")
    assert "no reference model" in refusal(tmp_path, tiny(), objective="mle", reference="mle")
    assert "it has 'default', 'mle'" in refusal(tmp_path, lora(tiny()), objective="distill", reference="other")
    for model, reference in ((lora(base := tiny()), base), (whole := tiny(), whole)):
        assert "weights that are trained" in refusal(tmp_path, model, objective="distill", reference=reference)
    assert "compare it with itself" in refusal(tmp_path, lora(tiny()), objective="distill", reference="default")
    adaptive = peft.AdaLoraConfig(total_step=10, target_modules=["q_proj"], task_type="CAUSAL_LM")
    assert "AdaLoRA adds a loss" in refusal(tmp_path, peft.get_peft_model(tiny(), adaptive), objective="mle")
    spread = tiny()
    spread.hf_device_map = {"model": 0, "lm_head": 1}
    assert "several GPUs in one process" in refusal(tmp_path, spread, objective="mle")
    searching = arguments(tmp_path, 1, auto_find_batch_size=True)
    with pytest.raises(ValueError, match="auto_find_batch_size"):
        InOrder(tiny(), searching, train_dataset=tiny_rows(), objective="mle")
    on_head = peft.get_peft_model(tiny(), peft.LoraConfig(target_modules=["lm_head"]))  # type: ignore[arg-type]
    assert "needs a plain nn.Linear" in refusal(tmp_path, on_head, objective="mle")
    unwrapped = tiny()
    unwrapped.add_adapter(peft.LoraConfig(target_modules=["q_proj"]), "mle")
    assert "peft.get_peft_model" in refusal(tmp_path, unwrapped, objective="asft")
    assert "peft.get_peft_model" in refusal(tmp_path, unwrapped, objective="distill", reference="mle")


def tokenizer() -> transformers.PreTrainedTokenizerFast:
    """One token a word."""
    vocabulary = {chr(97 + i) if i < 26 else f"<{i}>": i for i in range(61)}
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<60>"))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<59>", pad_token="<58>")


def test_trls_trainer_gives_its_own_loss_and_gradient(tmp_path: Path) -> None:
    import trl
    from datasets import Dataset
    from sieve_fixtures import Gradients
    from tokensieve.trl import SieveTrainer

    results = []
    data = Dataset.from_list([
        {name: row[name][: int(row["attention_mask"].sum())].tolist() for name in ("input_ids", "labels")}
        for row in tiny_rows()
    ])  # fmt: skip
    for trainer, options in ((trl.SFTTrainer, {}), (SieveTrainer, {"objective": "mle"})):
        settings = arguments(tmp_path, 3).to_dict()
        settings = {name: settings[name] for name in (
            "per_device_train_batch_size", "gradient_accumulation_steps", "max_steps", "logging_steps", "optim",
            "learning_rate", "lr_scheduler_type", "max_grad_norm", "report_to", "use_cpu", "save_strategy", "seed",
        )}  # fmt: skip
        config = trl.SFTConfig(str(tmp_path), **settings, bf16=False, gradient_checkpointing=False, disable_tqdm=True)
        gradients = Gradients()
        run = trainer(
            tiny(), args=config, train_dataset=data, processing_class=tokenizer(), callbacks=[gradients], **options
        )
        run.train()
        entries = [entry for entry in run.state.log_history if "loss" in entry]
        logged = [[entry[name] for entry in entries] for name in ("loss", "num_tokens", "mean_token_accuracy")]
        results.append((logged, gradients.first))
    for theirs, ours in zip(results[0][0], results[1][0], strict=True):
        assert len(ours) == 3 and ours == pytest.approx(theirs, rel=1e-5)
    assert distance(results[1][1], results[0][1]) < 1e-5


def with_columns(data: list[dict[str, torch.Tensor]]) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(4)
    for row in data:
        row["weights"] = torch.randint(3, row["labels"].shape, generator=generator) / 2
        row["token_scores"] = torch.randn(row["labels"].shape, generator=generator)
    return data


def test_trls_trainer_pads_weights_and_scores(tmp_path: Path) -> None:
    import trl
    from datasets import Dataset
    from sieve_fixtures import Gradients
    from tokensieve.trl import SieveTrainer

    objective = {"selected": "-log p", "select": {"by": "loss + score", "keep": "top 50%"}}
    data = with_columns(tiny_rows())
    *_, wanted = trained(tmp_path, tiny(), data, 1, 1, objective=objective)
    ragged = Dataset.from_list([
        {name: row[name][: int(row["attention_mask"].sum())].tolist() for name in row if name != "attention_mask"}
        for row in data
    ])  # fmt: skip
    # As large as the rows, so that its order does not matter.
    settings: dict[str, Any] = {
        "per_device_train_batch_size": len(data), "max_steps": 1, "optim": "sgd", "max_grad_norm": 0.0, "report_to": [],
        "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "save_strategy": "no",
    }  # fmt: skip
    gradients = Gradients()
    config = trl.SFTConfig(str(tmp_path), **settings)
    options: dict[str, Any] = {"processing_class": tokenizer(), "objective": objective}
    run = SieveTrainer(
        tiny(), config, train_dataset=ragged, eval_dataset=ragged, callbacks=[gradients], **options
    )  # fmt: skip
    run.train()
    assert distance(gradients.first, wanted) < 1e-5
    # Evaluations report -log p, whatever weights the rows have.
    plain = Dataset.from_list([{name: row[name] for name in ("input_ids", "labels")} for row in ragged])
    with_them, without_them = (run.evaluate(run._remove_unused_columns(one)) for one in (ragged, plain))
    assert with_them["eval_loss"] == pytest.approx(without_them["eval_loss"], rel=1e-6)
    with pytest.raises(ValueError, match="packing=False"):
        packing = trl.SFTConfig(str(tmp_path), **settings, packing=True, packing_strategy="wrapped", max_length=16)
        SieveTrainer(tiny(), packing, train_dataset=ragged, **options)


def test_weights_and_scores_lie_beside_their_tokens() -> None:
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    rows = [
        {"input_ids": [1, 2, 3], "labels": [1, 2, 3], "weights": [0.5, 1.0, 2.0], "token_scores": [1.0, 2.0, 3.0]},
        {"input_ids": [4, 5], "labels": [4, 5], "weights": None, "token_scores": [4.0, 5.0]},
    ]
    padded = Collator(DataCollatorForLanguageModeling(0))(rows)
    assert padded["weights"].tolist() == [[0.5, 1.0, 2.0], [1.0, 1.0, 1.0]]
    assert padded["token_scores"][1, :2].tolist() == [4.0, 5.0] and padded["token_scores"][1, 2].isnan()
    flat = Collator(DataCollatorForLanguageModeling(0, padding_free=True))(rows)
    assert flat["weights"].tolist() == [[0.5, 1.0, 2.0, 1.0, 1.0]]
    words = tokenizer()
    words.padding_side = "left"
    left = Collator(transformers.DataCollatorForSeq2Seq(words))(rows)
    assert left["labels"].tolist() == [[1, 2, 3], [-100, 4, 5]]
    assert left["token_scores"][1, 1:].tolist() == [4.0, 5.0]
    rows[1]["token_scores"] = [4.0]
    with pytest.raises(ValueError, match="row 1 of a batch has 1 `token_scores`, but 2 tokens"):
        Collator(DataCollatorForLanguageModeling(0))(rows)
    with pytest.raises(ValueError, match="which the data collator leaves out"):
        Collator(lambda rows: {"input_ids": torch.zeros(2, 3)})(rows)


def test_weights_and_scores_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    def problem(name: str, value: torch.Tensor | None, objective: Any) -> str:
        data = with_columns(tiny_rows())
        for row in data:
            row.pop(name) if value is None else row.update({name: value})
        with pytest.raises(ValueError) as error:
            trained(tmp_path, tiny(), data, 1, 1, objective=objective)
        return str(error.value)

    reads_score = {"weight": "score"}
    assert "batches need `token_scores`" in problem("token_scores", None, reads_score)
    assert "batches need `token_scores`" in problem("token_scores", torch.full((16,), torch.nan), reads_score)
    assert "finite and not negative" in problem("weights", torch.full((16,), -1.0), "mle")
    assert "row 0 of a batch has 15 `weights`, but 16 tokens" in problem("weights", torch.ones(15), reads_score)
    assert "batches need `labels`" in problem("labels", None, "mle")
    with pytest.raises(ValueError, match=r"shape \(1, 2\), but `labels` has \(1, 3\)"):
        Tokens.of({"labels": torch.ones(1, 3), "weights": torch.ones(1, 2)})


def test_trls_trainer_names_its_own_option_against_the_routers_loss(tmp_path: Path) -> None:
    import trl
    from datasets import Dataset
    from tokensieve.trl import SieveTrainer

    shape = transformers.MixtralConfig(
        vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=2, num_local_experts=2,
    )  # fmt: skip
    mixture = transformers.MixtralForCausalLM(shape)
    data = Dataset.from_list([{"input_ids": [1, 2, 3], "labels": [1, 2, 3]}])
    options: dict[str, Any] = {"use_cpu": True, "bf16": False, "report_to": []}
    with pytest.raises(ValueError, match=r"router_aux_loss_coef=0\.0 in SFTConfig"):
        config = trl.SFTConfig(str(tmp_path), **options)
        SieveTrainer(mixture, config, train_dataset=data, processing_class=tokenizer(), objective="mle")
    config = trl.SFTConfig(str(tmp_path), **options, router_aux_loss_coef=0.0)
    SieveTrainer(mixture, config, train_dataset=data, processing_class=tokenizer(), objective="mle")
