"""The last layer in chunks: statistics and gradients of tokens, without the logits of all of them at a time.

Logits [tokens, vocabulary] are the largest tensor of a training step. Here they exist for a chunk of tokens only, in
two buffers of a fixed size that serve all chunks.

Letters: n tokens of a chunk, v tokens of the vocabulary, d width of the hidden states.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["Gradient", "Head", "Reference", "Statistics", "gradient", "pulled_loss", "statistics"]

# Logits of a chunk, at most. On the CPU by measurement with benches/trainers.py: half as many cost a quarter more time,
# twice as many save a tenth. On a GPU, where nothing has been measured, as many as take 256 MiB (choice).
ELEMENTS = {"cpu": 1 << 23, "cuda": 1 << 26}
# A product of fewer rows than this reads the weight more often than it computes with it (choice).
LEAST_ROWS = 16
# Over how many tokens `top_entropy` goes, as `tokensieve train` has it.
TOP = 20

Statistics = dict[str, Tensor]
PullsOf = Callable[[slice, Statistics], tuple[Tensor, Tensor | None]]


@dataclass(frozen=True)
class Head:
    """A last layer: logits = hidden · weightᵀ + bias."""

    weight: Tensor
    bias: Tensor | None = None
    dtype: torch.dtype | None = None
    """The type that products are computed in; the weight's own if not set."""

    @property
    def vocabulary(self) -> int:
        return self.weight.shape[0]

    def cut(self, vocabulary: int) -> Head:
        """The same layer for the first tokens of the vocabulary."""
        return Head(self.weight[:vocabulary], None if self.bias is None else self.bias[:vocabulary], self.dtype)

    def computing(self) -> Head:
        """The layer as products read it: detached, in their type."""
        dtype = self.dtype or self.weight.dtype
        bias = None if self.bias is None else self.bias.detach().float()
        return Head(self.weight.detach().to(dtype), bias, dtype)


@dataclass(frozen=True)
class Reference:
    """The distribution q that tokens are compared with and pulled towards: a model's prediction, the trained model's
    own at a temperature, or the uniform one."""

    hidden: Tensor | None = None
    head: Head | None = None
    top_k: int | None = None
    """How many tokens of the prediction are kept; the others are one event."""
    temperature: float | None = None
    """That of the trained model's own prediction."""
    reverse: bool = False
    """Whether pulls towards q lower KL(p ‖ q) and not KL(q ‖ p)."""

    def rows(self, rows: Tensor) -> Reference:
        """That of some of the tokens."""
        return self if self.hidden is None else replace(self, hidden=self.hidden[rows])


@dataclass(frozen=True)
class Gradient:
    """The gradient of a sum of tokens' losses, and the statistics that were computed on the way."""

    hidden: Tensor
    weight: Tensor | None
    bias: Tensor | None
    statistics: Statistics


class _Prediction:
    """The predictions of a chunk: p = exp(shifted) / total."""

    def __init__(self, logits_nv: Tensor, buffer_nv: Tensor) -> None:
        self.shifted_nv = logits_nv.sub_(logits_nv.amax(-1, keepdim=True))
        self.exp_nv = torch.exp(self.shifted_nv, out=buffer_nv)
        self.total_n = self.exp_nv.sum(-1)
        self.log_total_n = self.total_n.log()

    def log_p(self, labels_n: Tensor) -> Tensor:
        return self.shifted_nv.gather(-1, labels_n[:, None])[:, 0] - self.log_total_n

    def pull(self, a_n: Tensor) -> Tensor:
        """a p, in the place of p."""
        return self.exp_nv.mul_((a_n / self.total_n)[:, None])

    def mass(self, labels_n: Tensor) -> Tensor:
        """The probability of all tokens that are no more probable than the label, itself included."""
        of_label_n1 = self.shifted_nv.gather(-1, labels_n[:, None])
        mass_n = self.exp_nv.where(self.shifted_nv <= of_label_n1, 0.0).sum(-1) / self.total_n
        return torch.where(of_label_n1[:, 0] == 0, 1.0, mass_n.clamp(max=1.0))

    def entropy(self) -> Tensor:
        return self.log_total_n - _dot(self.exp_nv, self.shifted_nv) / self.total_n

    def top_entropy(self) -> Tensor:
        top = self.shifted_nv.topk(min(TOP, self.shifted_nv.shape[-1]), -1).values.log_softmax(-1)
        return -(top.exp() * top).sum(-1)

    def concentration(self) -> Tensor:
        return _dot(self.exp_nv, self.exp_nv) / self.total_n**2


class _Buffers:
    """The logits of a chunk, as many as one needs at a time."""

    def __init__(self, head: Head, hidden: Tensor) -> None:
        elements = ELEMENTS.get(hidden.device.type, ELEMENTS["cuda"])
        self.rows = max(LEAST_ROWS, elements // head.vocabulary)
        shape = (min(self.rows, len(hidden)), head.vocabulary)
        self.buffers = [torch.empty(shape, device=hidden.device) for _ in range(2)]

    def predict(self, head: Head, hidden_nd: Tensor) -> _Prediction:
        """The predictions of a chunk; `head` is `computing`."""
        logits, other = (buffer[: len(hidden_nd)] for buffer in self.buffers)
        hidden_nd = hidden_nd.to(head.weight.dtype)
        if logits.dtype == head.weight.dtype:
            torch.mm(hidden_nd, head.weight.T, out=logits)
        else:
            logits.copy_(hidden_nd @ head.weight.T)
        if head.bias is not None:
            logits.add_(head.bias)
        return _Prediction(logits, other)


class _Reference:
    """A reference of a chunk; none of its tensors is larger than a chunk's logits."""

    def __init__(self, reference: Reference, head: Head | None, buffers: _Buffers | None, chunk: slice) -> None:
        self.top_k, self.temperature, self.reverse = reference.top_k, reference.temperature, reference.reverse
        self.q_nv: Tensor | None = None
        self.prediction: _Prediction | None = None
        if reference.hidden is not None and head is not None and buffers is not None:
            self.prediction = buffers.predict(head, reference.hidden[chunk])
            self.q_nv = self.prediction.exp_nv / self.prediction.total_n[:, None]

    def log_q(self, labels_n: Tensor) -> Tensor:
        """The logarithm of the labels' probabilities."""
        return self._predicted().log_p(labels_n)

    def _predicted(self) -> _Prediction:
        if self.prediction is None:
            raise ValueError("the uniform reference has no predictions of its own to read: against names another one")
        return self.prediction

    def mass(self, labels_n: Tensor) -> Tensor:
        """The probability of all tokens that are no more probable than the label."""
        return self._predicted().mass(labels_n)

    def top(self) -> tuple[Tensor, Tensor, Tensor] | None:
        """Where it is cut: the kept tokens, their probabilities, and the others' sum."""
        if self.top_k is None or self.q_nv is None or self.top_k >= self.q_nv.shape[-1]:
            return None
        q_nk, kept_nk = self.q_nv.topk(self.top_k, -1)
        return kept_nk, q_nk, _without(self.q_nv, kept_nk).sum(-1)

    def distance(self, p: _Prediction) -> Tensor:
        """KL(p ‖ q) or -Σ q log p: what pulls towards q lower."""
        if self.temperature is not None:
            self.q_nv = (p.shifted_nv / self.temperature).softmax(-1)
        if not self.reverse:
            return self.cross_entropy(p)
        self.ratio_nv = self._log_ratio(p)
        self.divergence_n = _dot(p.exp_nv, self.ratio_nv) / p.total_n
        return self.divergence_n

    def _log_ratio(self, p: _Prediction) -> Tensor:
        """log p - log q; beyond the top k that of the others' sums."""
        log_p_nv = p.shifted_nv - p.log_total_n[:, None]
        if self.q_nv is None:
            return log_p_nv.add_(math.log(log_p_nv.shape[-1]))
        top = self.top()
        if top is None:
            return log_p_nv.sub_(_log(self.q_nv))
        kept_nk, q_nk, rest_n = top
        kept_ratio_nk = log_p_nv.gather(-1, kept_nk) - _log(q_nk)
        rest_ratio_n = _log(_without(p.exp_nv, kept_nk).sum(-1) / p.total_n) - _log(rest_n)
        return rest_ratio_n[:, None].expand_as(log_p_nv).scatter(-1, kept_nk, kept_ratio_nk)

    def cross_entropy(self, p: _Prediction) -> Tensor:
        """-Σ q log p, with the tokens beyond the top k as one event."""
        if self.q_nv is None:
            return p.log_total_n - p.shifted_nv.mean(-1)
        top = self.top()
        if top is None:
            return p.log_total_n - _dot(self.q_nv, p.shifted_nv)
        kept_nk, q_nk, rest_n = top
        log_p_nk = p.shifted_nv.gather(-1, kept_nk) - p.log_total_n[:, None]
        log_rest_n = _without(p.exp_nv, kept_nk).sum(-1).log() - p.log_total_n
        return -(q_nk * log_p_nk).sum(-1) - torch.where(rest_n > 0, rest_n * log_rest_n, 0.0)

    def entropy(self, vocabulary: int) -> Tensor | float:
        """-Σ q log q, likewise."""
        if self.prediction is None:
            return math.log(vocabulary)
        top = self.top()
        if top is None:
            return self.prediction.entropy()
        _, q_nk, rest_n = top
        return -torch.xlogy(q_nk, q_nk).sum(-1) - torch.xlogy(rest_n, rest_n)

    def pull(self, p: _Prediction, a_n: Tensor, b_n: Tensor) -> Tensor:
        """(a + b) p - b q, or a p + b p (log p - log q - KL(p ‖ q)), in the place of p; after `distance`."""
        if self.reverse:
            weights_nv = self.ratio_nv.sub(self.divergence_n[:, None]).mul_(b_n[:, None]).add_(a_n[:, None])
            return p.exp_nv.mul_(weights_nv).div_(p.total_n[:, None])
        scale_n = (a_n + b_n) / p.total_n
        if self.q_nv is None:
            return p.exp_nv.mul_(scale_n[:, None]).sub_((b_n / p.exp_nv.shape[-1])[:, None])
        top = self.top()
        if top is None:
            return p.exp_nv.mul_(scale_n[:, None]).sub_(self.q_nv.mul_(b_n[:, None]))
        kept_nk, q_nk, rest_n = top
        # The others' pull has the prediction's own shape; one that the prediction rules out has none.
        p_rest_n = _without(p.exp_nv, kept_nk).sum(-1)
        rest_scale_n = scale_n - torch.where(p_rest_n > 0, b_n * rest_n / p_rest_n, 0.0)
        kept = p.exp_nv.gather(-1, kept_nk).mul_(scale_n[:, None]).sub_(b_n[:, None] * q_nk)
        return p.exp_nv.mul_(rest_scale_n[:, None]).scatter_(-1, kept_nk, kept)


def statistics(
    head: Head, hidden: Tensor, labels: Tensor, wanted: frozenset[str], reference: Reference | None = None
) -> Statistics:
    """What an objective reads of each token: `loss`, and of `entropy`, `top_entropy`, `concentration` (Σ p²),
    `reference_loss`, `reference_mass`, `divergence` and `correct` (whether the label is the most probable token) those
    that are wanted."""
    with torch.no_grad():
        chunks = _chunks(head.computing(), hidden.detach(), labels, wanted, reference)
        return _joined([found for *_, found in chunks], labels, wanted)


def gradient(
    head: Head,
    hidden: Tensor,
    labels: Tensor,
    pulls: PullsOf,
    wanted: frozenset[str] = frozenset(),
    reference: Reference | None = None,
) -> Gradient:
    """The gradient (a + b) p - a e_y - b q of all tokens, or that of the reverse divergence, on `hidden` and, where
    it is trained, on the head.

    `pulls` says a and b (`None` where there are none) of a chunk's tokens, whose statistics it gets. The result's
    statistics have `distance`, -Σ q log p or KL(p ‖ q), too; 0 without a reference."""
    with torch.no_grad():
        computing = head.computing()
        d_hidden = torch.empty_like(hidden)
        d_weight, d_bias = _sum_on(head.weight), _sum_on(head.bias)
        found = []
        for chunk, p, q, statistics in _chunks(computing, hidden.detach(), labels, wanted, reference):
            a_n, b_n = (None if pull is None else pull.to(p.total_n) for pull in pulls(chunk, statistics))
            assert a_n is not None
            statistics["distance"] = torch.zeros_like(a_n) if q is None else q.distance(p)
            d_logits_nv = p.pull(a_n) if q is None or b_n is None else q.pull(p, a_n, b_n)
            d_logits_nv.scatter_add_(-1, labels[chunk, None], -a_n[:, None])
            products_nv = d_logits_nv.to(computing.weight.dtype)
            d_hidden[chunk] = products_nv @ computing.weight
            if d_weight is not None:
                d_weight += products_nv.T @ hidden[chunk].detach().to(computing.weight.dtype)
            if d_bias is not None:
                d_bias += d_logits_nv.sum(0)
            found.append(statistics)
        d_weight, d_bias = _in_type_of(head.weight, d_weight), _in_type_of(head.bias, d_bias)
        return Gradient(d_hidden, d_weight, d_bias, _joined(found, labels, wanted))


def pulled_loss(value: Tensor, scale: float, gradient: Gradient, hidden: Tensor, head: Head) -> Tensor:
    """A scalar of this value, whose gradient on the hidden states and the head is `gradient` times `scale`."""
    apply: Callable[..., Tensor] = _PulledLoss.apply
    return apply(value, scale, gradient, hidden, head.weight, head.bias)


class _PulledLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        value: Tensor,
        scale: float,
        gradient: Gradient,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
    ) -> Tensor:
        ctx.gradient, ctx.scale = gradient, scale  # type: ignore[attr-defined]
        return value.clone()

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *outer: Tensor) -> tuple[Tensor | None, ...]:
        gradient, factor = ctx.gradient, outer[0] * ctx.scale  # type: ignore[attr-defined]
        each = (gradient.hidden, gradient.weight, gradient.bias)
        return None, None, None, *(None if one is None else one * factor.to(one.dtype) for one in each)


def _chunks(
    head: Head, hidden: Tensor, labels: Tensor, wanted: frozenset[str], reference: Reference | None
) -> Iterator[tuple[slice, _Prediction, _Reference | None, Statistics]]:
    """Chunk by chunk: its place, predictions, reference and statistics."""
    buffers = _Buffers(head, hidden)
    other_head, others = None, None
    if reference is not None and reference.head is not None:
        other_head, others = reference.head.cut(head.vocabulary).computing(), _Buffers(head, hidden)
    for start in range(0, len(hidden), buffers.rows):
        chunk = slice(start, min(start + buffers.rows, len(hidden)))
        p = buffers.predict(head, hidden[chunk])
        q = None if reference is None else _Reference(reference, other_head, others, chunk)
        yield chunk, p, q, _statistics(p, q, labels[chunk], wanted)


def _statistics(p: _Prediction, q: _Reference | None, labels_n: Tensor, wanted: frozenset[str]) -> Statistics:
    log_p_n = p.log_p(labels_n)
    found = {"loss": -log_p_n}
    if "entropy" in wanted:
        found["entropy"] = p.entropy()
    if "top_entropy" in wanted:
        found["top_entropy"] = p.top_entropy()
    if "concentration" in wanted:
        found["concentration"] = p.concentration()
    if "correct" in wanted:
        found["correct"] = p.shifted_nv.gather(-1, labels_n[:, None])[:, 0] == 0
    if q is not None and "reference_loss" in wanted:
        found["reference_loss"] = -q.log_q(labels_n)
    if q is not None and "reference_mass" in wanted:
        found["reference_mass"] = q.mass(labels_n)
    if q is not None and "divergence" in wanted:
        found["divergence"] = (q.cross_entropy(p) - q.entropy(p.exp_nv.shape[-1])).clamp_(min=0)
    return found


def _sum_on(parameter: Tensor | None) -> Tensor | None:
    """Where chunks' gradients on a parameter are added up, if it is trained. In single precision: a sum in bf16 grows
    too large for what each of many chunks adds."""
    if parameter is None or not parameter.requires_grad:
        return None
    return torch.zeros_like(parameter, dtype=torch.float32)


def _in_type_of(parameter: Tensor | None, total: Tensor | None) -> Tensor | None:
    return None if parameter is None or total is None else total.to(parameter.dtype)


def _joined(chunks: list[Statistics], labels: Tensor, wanted: frozenset[str]) -> Statistics:
    if not chunks:
        return {name: torch.empty(0, device=labels.device) for name in wanted | {"loss", "distance"}}
    return {name: torch.cat([chunk[name] for chunk in chunks]) for name in chunks[0]}


def _dot(x_nv: Tensor, y_nv: Tensor) -> Tensor:
    """The products' sum over the vocabulary, without a third tensor of that size."""
    return torch.bmm(x_nv[:, None, :], y_nv[:, :, None])[:, 0, 0]


def _log(q: Tensor) -> Tensor:
    """The logarithm; of 0 that of the smallest number."""
    return q.clamp(min=torch.finfo(q.dtype).tiny).log()


def _without(x_nv: Tensor, columns_nk: Tensor) -> Tensor:
    return x_nv.scatter(-1, columns_nk, 0.0)
