"""What the trainers ask of a model: hidden states, the last layer, and a reference's; and which models they refuse."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from tokensieve._columns import without
from tokensieve.head import Head

# Keys of a model's configuration that change logits after the last layer, and that say so unless they are 1 or absent.
RESCALING = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier", "output_multiplier")


def check(model: nn.Module) -> None:
    """Refuses models whose logits are not those of a last linear layer on all tokens."""
    config: Any = model.config
    if getattr(config, "is_encoder_decoder", False):
        raise ValueError("SieveTrainer trains models that predict the next token; this one has an encoder")
    text = config.get_text_config()
    for key in RESCALING:
        value = getattr(text, key, None)
        if value is not None and value != 1.0:
            raise ValueError(
                f"the model's configuration has {key} = {value}: it changes the logits after the last layer, which "
                "SieveTrainer does not; `tokensieve train` supports Gemma 2's soft cap"
            )
    if getattr(text, "output_router_logits", False):
        raise ValueError("SieveTrainer has no auxiliary loss for routers: set output_router_logits to False")
    prompts = [name for name, adapter in adapters(model).items() if getattr(adapter, "is_prompt_learning", False)]
    if prompts:
        raise ValueError(f"the adapter {prompts[0]!r} learns a prompt, which SieveTrainer does not support: use LoRA")
    if any(getattr(adapter, "peft_type", None) == "ADALORA" for adapter in adapters(model).values()):
        raise ValueError("AdaLoRA adds a loss of its own, which SieveTrainer does not compute: use LoRA")
    last_layer(model)


def last_layer(model: nn.Module) -> nn.Module:
    """The module of the last layer; where an adapter holds another copy of it, the one in use."""
    output: Any = model.get_output_embeddings()  # type: ignore[operator]
    if output is None:
        raise ValueError(f"{type(model).__name__} has no output embeddings: a causal language model is needed")
    if hasattr(output, "modules_to_save"):
        active = [] if output.disable_adapters else output.active_adapters
        output = output.modules_to_save[active[0]] if active else output.original_module
    if not isinstance(output, nn.Linear):
        raise ValueError(
            f"the last layer is a {type(output).__name__}, and SieveTrainer needs a plain nn.Linear: "
            "leave lm_head out of target_modules (modules_to_save may have it) and unquantised"
        )
    return output


def head(model: nn.Module, dtype: torch.dtype | None = None) -> Head:
    """The last layer."""
    layer = last_layer(model)
    bias = layer.bias
    return Head(_tensor(layer.weight), None if bias is None else _tensor(bias), dtype)


def hidden_states(model: nn.Module, wrapped: nn.Module, inputs: Mapping[str, Any]) -> Tensor:
    """What the last layer of `model` gets, by a forward pass of `wrapped`: `model` itself, or what trains it on several
    devices."""
    layer = last_layer(model)
    given = {name: value for name, value in without(inputs).items() if name not in ("labels", "num_items_in_batch")}
    # DistributedDataParallel looks for parameters that a forward pass leaves out, and would take the layer's for such.
    used = [weight for weight in layer.parameters() if wrapped is not model and weight.requires_grad]
    previous = layer.__dict__.get("forward")
    layer.forward = lambda hidden: sum((0.0 * weight.flatten()[0] for weight in used), hidden)
    try:
        hidden = _tensor(wrapped(**given, use_cache=False).logits)
    finally:
        del layer.forward
        if previous is not None:
            layer.forward = previous
    return hidden.to(_tensor(layer.weight).device)


def verify(model: nn.Module, inputs: Mapping[str, Any]) -> None:
    """Compares the logits of a few tokens with those of the last layer alone: a model may do more."""
    few = {"input_ids": inputs["input_ids"][:1, :8]}
    with evaluating(model), torch.no_grad():
        logits = model(**few, use_cache=False).logits.float()
        layer = last_layer(model)
        own = layer(hidden_states(model, model, few).to(_tensor(layer.weight).dtype)).float()
    size, error = logits.abs().max().item(), (logits - own).abs().max().item()
    # Far above the rounding of bf16, far below any scale worth having.
    if not (math.isfinite(error) and error <= 0.02 * size):
        raise ValueError(
            f"the logits of {type(model).__name__} are not those of its last layer (they differ by {error:.3g}, the "
            f"largest is {size:.3g}): SieveTrainer would compute another loss than the model's"
        )


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Without dropout."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


class ReferenceModel:
    """The model that an objective compares with.

    `source` is the name of an adapter of the trained model, another model, or `None`: the trained model without its
    adapter."""

    def __init__(self, trained: nn.Module, source: str | nn.Module | None) -> None:
        if not isinstance(source, nn.Module) and not adapters(trained):
            problem = "compares with the base model, which full fine-tuning overwrites: pass reference=<the original>"
            if source is not None:
                problem = f"names the adapter {source!r} as reference, but the model has no adapters: pass a model"
            raise ValueError(f"the objective {problem}")
        if not isinstance(source, nn.Module) and not hasattr(trained, "disable_adapter"):
            raise ValueError(
                "SieveTrainer cannot set aside an adapter that transformers added to the model itself: "
                "wrap it with peft.get_peft_model"
            )
        if isinstance(source, str) and source not in adapters(trained):
            known = ", ".join(map(repr, adapters(trained)))
            raise ValueError(f"reference={source!r} is not an adapter of the model; it has {known}")
        if isinstance(source, str) and active(trained) == [source]:
            raise ValueError(f"reference={source!r} is what is trained: the objective would compare it with itself")
        if isinstance(source, nn.Module):
            check(source)
            learning = {id(parameter) for parameter in trained.parameters() if parameter.requires_grad}
            if any(id(parameter) in learning for parameter in source.parameters()):
                raise ValueError(
                    "the reference has weights that are trained (peft.get_peft_model changes the model it is given): "
                    "leave reference= out for the model without its adapter, or pass a copy of its own"
                )
            rows, wanted = head(source).vocabulary, head(trained).vocabulary
            if rows < wanted:
                raise ValueError(f"the reference has a vocabulary of {rows}, the trained model one of {wanted}")
        self.trained, self.source = trained, source

    def hidden(self, inputs: Mapping[str, Any], dtype: torch.dtype | None = None) -> tuple[Tensor, Head]:
        """Its hidden states and last layer."""
        with self._model() as model, evaluating(model), torch.no_grad():
            return hidden_states(model, model, inputs), head(model, dtype)

    @contextmanager
    def _model(self) -> Iterator[nn.Module]:
        trained: Any = self.trained
        if isinstance(self.source, nn.Module):
            device = next(trained.parameters()).device
            yield self.source.to(device)
            return
        # Setting an adapter, or setting none aside any longer, makes it trainable and freezes the others.
        trains = [parameter.requires_grad for parameter in trained.parameters()]
        name, all_active = trained.active_adapter, active(trained)
        try:
            if self.source is None:
                with trained.disable_adapter():
                    yield trained
            else:
                trained.set_adapter(self.source)
                yield trained
        finally:
            if self.source is not None:
                trained.set_adapter(name)
                trained.base_model.set_adapter(all_active)
            for parameter, train in zip(trained.parameters(), trains, strict=True):
                parameter.requires_grad_(train)


def active(model: nn.Module) -> list[str]:
    """The adapters in use, which may be several."""
    return list(getattr(getattr(model, "base_model", None), "active_adapters", []))


def adapters(model: nn.Module) -> dict[str, Any]:
    found: Any = getattr(model, "peft_config", {})
    return dict(found)


def _tensor(value: Any) -> Tensor:
    assert isinstance(value, Tensor)
    return value
