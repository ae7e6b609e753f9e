"""The peer of a careful engineer: plain PyTorch, no padding, no custom kernels, nothing computed that is not used.

What it does beyond a textbook loop, each measured to be worth it here:
- documents of a micro-batch packed in one row of tokens, attention within each (`--attention`: torch's own, or matrix
  products around one softmax, which on a CPU takes half the time);
- q, k and v in one matrix product, gate and up in another, adapters included: [x, xAᵀ]·[W, sB]ᵀ (`--lora concat`; `add`
  is the usual base + adapter);
- autograd functions that keep only what their backward pass needs, adapters' gradients summed in f32;
- the head on response rows only, in chunks, its gradient formed in the forward pass;
- AdamW fused over one flat buffer, allocator tuned from outside (`run.py`).

Letters: T tokens, D hidden size, H query heads, G key heads, K head size, F feed-forward size, R response rows, V
vocabulary, r rank.
"""

import math
import os

import common
import torch
import torch.nn.functional as F
from common import Document


class Norm(torch.autograd.Function):
    """RMS normalisation in f32, [T, D]."""

    @staticmethod
    def forward(ctx, x, weight, eps):
        inverse = torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + eps).to(x.dtype)
        ctx.save_for_backward(x, weight, inverse)
        return (x * inverse).mul_(weight)

    @staticmethod
    def backward(ctx, dy):
        x, weight, inverse = ctx.saved_tensors
        g = dy * weight
        mean = (g * x).mean(-1, keepdim=True, dtype=torch.float32).to(x.dtype)
        return g.sub_(x * (mean * inverse * inverse)).mul_(inverse), None, None


class Gate(torch.autograd.Function):
    """silu(gate)·up of [T, 2F]."""

    @staticmethod
    def forward(ctx, both):
        ctx.save_for_backward(both)
        gate, up = both.chunk(2, -1)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx, dy):
        (both,) = ctx.saved_tensors
        gate, up = both.chunk(2, -1)
        d = torch.empty_like(both)
        d_gate, d_up = d.chunk(2, -1)
        torch.mul(F.silu(gate), dy, out=d_up)
        d_gate.copy_(torch.ops.aten.silu_backward(dy * up, gate))
        return d


class Linear(torch.autograd.Function):
    """A linear layer, or several of the same input, with their adapters."""

    @staticmethod
    def forward(ctx, x, layer):
        u = x @ layer.a.t()
        ctx.layer = layer
        ctx.save_for_backward(x, u)
        if layer.concat:
            return torch.cat([x, u], -1) @ layer.joined.t()
        return (x @ layer.weight.t()).addmm_(u, layer.b.t())

    @staticmethod
    def backward(ctx, dy):
        layer = ctx.layer
        x, u = ctx.saved_tensors
        if layer.concat:
            dx, du = (dy @ layer.joined).split([x.shape[1], u.shape[1]], -1)
            dx, du = dx.contiguous(), du.contiguous()
        else:
            dx, du = dy @ layer.weight, dy @ layer.b
        layer.grad_a.add_(du.t() @ x)
        d_b = dy.t() @ u
        for grad, rows, columns in zip(layer.grad_b, layer.rows, layer.columns):
            grad.add_(d_b[rows, columns], alpha=layer.scale)
        return dx.addmm_(du, layer.a), None


def rotate(x, cos, sin):
    """Rotary positions, half-split, of [T, heads, K]."""
    first, second = x.chunk(2, -1)
    out = torch.empty_like(x)
    left, right = out.chunk(2, -1)
    torch.mul(first, cos, out=left).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=right).addcmul_(first, sin)
    return out


class Attention(torch.autograd.Function):
    """Rotary positions and causal attention within each document, qkv [T, (H+2G)K] to [T, HK], by matrix products."""

    @staticmethod
    def forward(ctx, qkv, pack, sizes):
        heads, groups, size = sizes
        share = heads // groups
        turned = rotate(qkv[:, : (heads + groups) * size].view(-1, heads + groups, size), pack.cos, pack.sin)
        values = qkv[:, (heads + groups) * size :].view(-1, groups, size)
        out = torch.empty(qkv.shape[0], heads * size, dtype=qkv.dtype)
        kept = []
        for start, end in pack.ranges:
            length = end - start
            q = turned[start:end, :heads].view(length, groups, share, size).permute(1, 2, 0, 3)
            q = q.reshape(groups, share * length, size)
            k = turned[start:end, heads:].transpose(0, 1).contiguous()
            v = values[start:end].transpose(0, 1).contiguous()
            scores = torch.bmm(q, k.transpose(1, 2)).mul_(size**-0.5).view(groups, share, length, length)
            scores += pack.mask[:length, :length]
            p = torch.softmax(scores, -1).view(groups, share * length, length)
            o = torch.bmm(p, v).view(groups, share, length, size)
            out[start:end].view(length, groups, share, size).copy_(o.permute(2, 0, 1, 3))
            kept += [q, k, v, p]
        ctx.pack, ctx.sizes = pack, sizes
        ctx.save_for_backward(out, *kept)
        return out

    @staticmethod
    def backward(ctx, d_out):
        heads, groups, size = ctx.sizes
        share = heads // groups
        pack = ctx.pack
        out, *kept = ctx.saved_tensors
        kept = iter(kept)
        tokens = out.shape[0]
        d_qkv = torch.empty(tokens, (heads + 2 * groups) * size, dtype=out.dtype)
        d_turned = torch.empty(tokens, heads + groups, size, dtype=out.dtype)
        delta = (d_out * out).view(tokens, groups, share, size).sum(-1).permute(1, 2, 0)
        for start, end in pack.ranges:
            length = end - start
            q, k, v, p = next(kept), next(kept), next(kept), next(kept)
            do = d_out[start:end].view(length, groups, share, size).permute(1, 2, 0, 3)
            do = do.reshape(groups, share * length, size)
            ds = torch.bmm(do, v.transpose(1, 2)).view(groups, share, length, length)
            ds.sub_(delta[:, :, start:end, None])
            ds = ds.view(groups, share * length, length).mul_(p)
            dq = torch.bmm(ds, k).mul_(size**-0.5).view(groups, share, length, size)
            d_turned[start:end, :heads].view(length, groups, share, size).copy_(dq.permute(2, 0, 1, 3))
            dk = torch.bmm(ds.transpose(1, 2), q).mul_(size**-0.5)
            d_turned[start:end, heads:].copy_(dk.transpose(0, 1))
            dv = torch.bmm(p.transpose(1, 2), do)
            d_qkv[start:end, (heads + groups) * size :].view(length, groups, size).copy_(dv.transpose(0, 1))
        back = rotate(d_turned, pack.cos, -pack.sin)
        d_qkv[:, : (heads + groups) * size].copy_(back.view(tokens, -1))
        return d_qkv, None, None


def sdpa(qkv, pack, sizes):
    """The same by torch's scaled_dot_product_attention, document by document."""
    heads, groups, size = sizes
    q, k, v = qkv.view(qkv.shape[0], -1, size).split([heads, groups, groups], 1)
    q, k = Turn.apply(q, pack), Turn.apply(k, pack)
    outs = []
    for start, end in pack.ranges:
        q1, k1, v1 = (part[start:end].transpose(0, 1)[None] for part in (q, k, v))
        o = F.scaled_dot_product_attention(q1, k1, v1, is_causal=True, enable_gqa=True)
        outs.append(o[0].transpose(0, 1).reshape(end - start, -1))
    return torch.cat(outs)


class Turn(torch.autograd.Function):
    """Rotary positions of [T, heads, K]."""

    @staticmethod
    def forward(ctx, x, pack):
        ctx.pack = pack
        return rotate(x, pack.cos, pack.sin)

    @staticmethod
    def backward(ctx, dy):
        return rotate(dy, ctx.pack.cos, -ctx.pack.sin), None


class Layer:
    """The weights of one or several linear layers of the same input, and their adapters."""

    def __init__(self, weights, names, rank, scale, concat):
        self.names, self.rank, self.scale, self.concat = names, rank, scale, concat
        self.outputs = [weight.shape[0] for weight in weights]
        self.inputs = weights[0].shape[1]
        total = rank * len(names)
        kind = weights[0].dtype
        self.joined = torch.zeros(sum(self.outputs), self.inputs + total, dtype=kind) if concat else None
        if concat:
            self.weight, self.b = self.joined.split([self.inputs, total], 1)
            self.weight.copy_(torch.cat(weights))
        else:
            self.weight, self.b = torch.cat(weights), torch.zeros(sum(self.outputs), total, dtype=kind)
        self.a = torch.empty(total, self.inputs, dtype=kind)
        starts = [sum(self.outputs[:place]) for place in range(len(names))]
        self.rows = [slice(start, start + output) for start, output in zip(starts, self.outputs)]
        self.columns = [slice(place * rank, (place + 1) * rank) for place in range(len(names))]

    def attach(self, values):
        """Takes the adapter's values: {name: (A, B)} in f32."""
        for name, rows, columns in zip(self.names, self.rows, self.columns):
            a, b = values[name]
            self.a[columns].copy_(a)
            self.b[rows, columns].copy_(b * self.scale)


class Adapter:
    """LoRA matrices in one flat f32 buffer, and their gradients in another."""

    def __init__(self, layers, seed, folder=None, noise=0.0):
        shapes = {}
        for layer in layers:
            for name, output in zip(layer.names, layer.outputs):
                shapes[name] = ((layer.rank, layer.inputs), (output, layer.rank))
        count = sum(math.prod(a) + math.prod(b) for a, b in shapes.values())
        self.flat = torch.nn.Parameter(torch.zeros(count))
        self.flat.grad = torch.zeros(count)
        self.values, self.grads = self.views(shapes, self.flat.data), self.views(shapes, self.flat.grad)
        random = torch.Generator().manual_seed(seed)
        given = None
        if folder:
            from safetensors.torch import load_file

            given = load_file(os.path.join(folder, "adapter_model.safetensors"))
        for name, (a, b) in self.values.items():
            if given is None:
                torch.nn.init.kaiming_uniform_(a, a=math.sqrt(5), generator=random)
                b.normal_(0.0, noise, generator=random) if noise else None
            else:
                a.copy_(given[f"base_model.model.{name}.lora_A.weight"])
                b.copy_(given[f"base_model.model.{name}.lora_B.weight"])

    @staticmethod
    def views(shapes, flat):
        views, start = {}, 0
        # A of the layers of one product lie side by side, so that one product gives all their gradients.
        for name, pair in shapes.items():
            both = []
            for shape in pair:
                both.append(flat[start : start + math.prod(shape)].view(shape))
                start += math.prod(shape)
            views[name] = tuple(both)
        return views

    def attach(self, layers):
        for layer in layers:
            layer.attach(self.values)

    def collect(self, layers):
        """Lets the layers' gradients accumulate here."""
        for layer in layers:
            layer.grad_b = [self.grads[name][1] for name in layer.names]
            layer.grad_a = torch.zeros(layer.a.shape)

    def gather(self, layers):
        """Moves A's gradients, summed layer by layer, to their places."""
        for layer in layers:
            for name, columns in zip(layer.names, layer.columns):
                self.grads[name][0].copy_(layer.grad_a[columns])
            layer.grad_a.zero_()


class Pack:
    """Documents side by side: tokens, rotary tables, ranges, and the rows that predict a learned token."""

    def __init__(self, documents: list[Document], model):
        self.tokens = torch.tensor([token for document in documents for token in document.tokens])
        positions, rows, labels, self.ranges, start = [], [], [], [], 0
        for document in documents:
            length = len(document.tokens)
            positions.append(torch.arange(length))
            rows.append(torch.arange(start + document.start - 1, start + document.end - 1))
            labels += document.tokens[document.start : document.end]
            self.ranges.append((start, start + length))
            start += length
        angles = torch.cat(positions).float()[:, None] * model.frequencies
        self.cos, self.sin = (f(angles).to(model.kind)[:, None] for f in (torch.cos, torch.sin))
        self.rows, self.labels = torch.cat(rows), torch.tensor(labels)
        self.mask = model.mask


class Model:
    """SmolLM2 and other plain Llamas, as flat functions over packed tokens."""

    def __init__(self, folder, kind, rank, scale, concat, attention):
        import json

        from safetensors import safe_open

        with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
            config = json.load(file)
        self.kind, self.eps = kind, config["rms_norm_eps"]
        size = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        self.sizes = (config["num_attention_heads"], config["num_key_value_heads"], size)
        theta = (config.get("rope_parameters") or config)["rope_theta"]
        self.frequencies = theta ** (-torch.arange(0, size, 2).float() / size)
        self.mask = torch.full((1024, 1024), -math.inf, dtype=kind).triu(1)
        self.attention = sdpa if attention == "sdpa" else Attention.apply
        weights = safe_open(os.path.join(folder, "model.safetensors"), "pt")

        def get(name):
            return weights.get_tensor(f"model.{name}.weight").to(kind)

        def layer(block, *names):
            names = [f"layers.{block}.{name}" for name in names]
            return Layer([get(name) for name in names], [f"model.{name}" for name in names], rank, scale, concat)

        self.embedding, self.norm = get("embed_tokens"), get("norm")
        self.blocks = [
            (
                get(f"layers.{block}.input_layernorm"),
                layer(block, "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
                layer(block, "self_attn.o_proj"),
                get(f"layers.{block}.post_attention_layernorm"),
                layer(block, "mlp.gate_proj", "mlp.up_proj"),
                layer(block, "mlp.down_proj"),
            )
            for block in range(config["num_hidden_layers"])
        ]
        self.layers = [part for block in self.blocks for part in block if isinstance(part, Layer)]

    def hidden(self, pack):
        """[R, D] after the final norm: the rows that predict."""
        x = self.embedding[pack.tokens].requires_grad_(torch.is_grad_enabled())
        for before, qkv, out, between, gate_up, down in self.blocks:
            y = Linear.apply(Norm.apply(x, before, self.eps), qkv)
            x = x + Linear.apply(self.attention(y, pack, self.sizes), out)
            y = Gate.apply(Linear.apply(Norm.apply(x, between, self.eps), gate_up))
            x = x + Linear.apply(y, down)
        return Norm.apply(x[pack.rows], self.norm, self.eps)


def both_cores(p, weight):
    """p·weight, [R, V]·[V, D], as a batch of two: of one product this shape oneDNN's bf16 uses one core only."""
    if p.shape[0] % 2 or p.dtype != torch.bfloat16 or torch.get_num_threads() == 1:
        return p @ weight
    halves = torch.bmm(p.view(2, -1, p.shape[1]), weight.expand(2, -1, -1))
    return halves.view(p.shape[0], -1)


def mle_head(h, labels, weight, chunk):
    """The summed loss of the rows and its gradient by h."""
    gradient, loss = torch.empty_like(h), 0.0
    for start in range(0, len(labels), chunk):
        rows, label = slice(start, start + chunk), labels[start : start + chunk, None]
        p = torch.softmax(h[rows] @ weight.t(), -1, dtype=torch.float32)
        loss -= p.gather(1, label).log_().sum().item()
        p.scatter_add_(1, label, torch.full(label.shape, -1.0))
        gradient[rows] = both_cores(p.to(h.dtype), weight)
    return loss, gradient


def distill_head(h, reference, labels, weight, chunk, keep):
    """Cross-entropy of the `keep` share of highest loss, divergence from the reference's prediction for the rest."""
    logits, losses = [], []
    for start in range(0, len(labels), chunk):
        z = h[start : start + chunk] @ weight.t()
        label = labels[start : start + chunk, None]
        losses.append(torch.logsumexp(z.float(), -1) - z.gather(1, label)[:, 0].float())
        logits.append(z)
    losses = torch.cat(losses)
    selected = torch.zeros(len(losses), dtype=torch.bool)
    selected[losses.topk(max(1, round(keep * len(losses)))).indices] = True
    gradient, total = torch.empty_like(h), losses[selected].sum().item()
    for place, z in enumerate(logits):
        rows = slice(place * chunk, place * chunk + len(z))
        chosen = selected[rows]
        p = torch.softmax(z, -1, dtype=torch.float32)
        rest = (~chosen).nonzero()[:, 0]
        z_reference = reference[rows][rest] @ weight.t()
        q = torch.softmax(z_reference, -1, dtype=torch.float32)
        # q·(log q − log p), the entropy by its logits: no second logarithm of V numbers.
        scores = (q * (z_reference.float() - z[rest].float())).sum(-1)
        norms = torch.logsumexp(z[rest].float(), -1) - torch.logsumexp(z_reference.float(), -1)
        total += (scores + norms).sum().item()
        p[rest] -= q
        chosen = chosen.nonzero()[:, 0]
        p[chosen, labels[rows][chosen]] -= 1.0
        gradient[rows] = both_cores(p.to(h.dtype), weight)
    return total, gradient


def parse():
    parser = common.arguments(__doc__.splitlines()[0])
    parser.add_argument("--precision", choices=["bf16", "f32"], default="bf16")
    parser.add_argument("--objective", choices=["mle", "distill"], default="mle")
    parser.add_argument("--reference", help="distill: the reference's PEFT folder, instead of a random one")
    parser.add_argument("--keep", type=float, default=0.25, help="distill: share of tokens that get cross-entropy")
    parser.add_argument("--micro", type=int, default=8, help="documents per micro-batch; distill keeps all anyway")
    parser.add_argument("--chunk", type=int, default=512, help="rows of the head at a time")
    parser.add_argument("--attention", choices=["matmul", "sdpa"], default="matmul")
    parser.add_argument("--lora", choices=["concat", "add"], default="concat")
    parser.add_argument("--name", default="loop")
    return parser.parse_args()


def mle_step(model, packs, total, options):
    loss = 0.0
    for pack in packs:
        h = model.hidden(pack)
        with torch.no_grad():
            part, gradient = mle_head(h.detach(), pack.labels, model.embedding, options.chunk)
        loss += part
        h.backward(gradient.div_(total))
    return loss / total


def distill_step(model, packs, total, options, adapter, reference):
    """Selection sees the whole batch: all micro-batches go forward before one goes backward."""
    with torch.no_grad():
        reference.attach(model.layers)
        expected = torch.cat([model.hidden(pack) for pack in packs])
        adapter.attach(model.layers)
    hidden = [model.hidden(pack) for pack in packs]
    with torch.no_grad():
        labels = torch.cat([pack.labels for pack in packs])
        together = torch.cat([h.detach() for h in hidden])
        loss, gradient = distill_head(together, expected, labels, model.embedding, options.chunk, options.keep)
        gradients = gradient.div_(total).split([len(h) for h in hidden])
    for h, gradient in zip(hidden, gradients):
        h.backward(gradient)
    return loss / total


def main():
    options = parse()
    common.quiet(options.threads)
    documents = common.load_documents(options)
    kind = {"bf16": torch.bfloat16, "f32": torch.float32}[options.precision]
    scale = options.alpha / options.rank
    model = Model(options.folder, kind, options.rank, scale, options.lora == "concat", options.attention)
    adapter = Adapter(model.layers, options.seed, options.adapter)
    adapter.collect(model.layers)
    distill = options.objective == "distill"
    reference = Adapter(model.layers, options.seed + 1, options.reference, noise=1e-3) if distill else None
    optimizer = torch.optim.AdamW([adapter.flat], lr=options.lr, weight_decay=0.0, fused=True)
    clock = common.Clock()
    for batch in common.batches(documents, options.batch, options.steps):
        clock.start()
        packs = [Pack(batch[at : at + options.micro], model) for at in range(0, len(batch), options.micro)]
        total = sum(len(pack.labels) for pack in packs)
        adapter.flat.grad.zero_()
        adapter.attach(model.layers)
        if distill:
            loss = distill_step(model, packs, total, options, adapter, reference)
        else:
            loss = mle_step(model, packs, total, options)
        adapter.gather(model.layers)
        optimizer.step()
        clock.stop(batch, loss)
    common.report(
        options.name,
        clock,
        precision=options.precision,
        objective=options.objective,
        micro=options.micro,
        attention=options.attention,
        lora=options.lora,
        torch=torch.__version__,
    )


if __name__ == "__main__":
    main()
