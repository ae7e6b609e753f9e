"""The peer of a careful engineer: plain PyTorch, no padding, no custom kernels, nothing computed that is not used.

What it does beyond a textbook loop, each measured to be worth it here:
- documents of a micro-batch packed in one row of tokens, attention within each (`--attention`: torch's own, or matrix
  products around one softmax, which on a CPU takes half the time; on a GPU flash attention over all documents at once);
- q, k and v in one matrix product, gate and up in another, adapters included: [x, xAᵀ]·[W, sB]ᵀ (`--lora concat`; `add`
  is the usual base + adapter);
- autograd functions that keep only what their backward pass needs, adapters' gradients summed in f32;
- the head on response rows only, in chunks, its gradient formed in the forward pass;
- what torch spreads badly over cores (attention, the head's backward product) in threads of one core each;
- AdamW fused over one flat buffer, allocator tuned from outside (`run.py`).

Letters: T tokens, D hidden size, H query heads, G key heads, K head size, F feed-forward size, R response rows, V
vocabulary, r rank.
"""

import math
import os
import threading
from concurrent.futures import ThreadPoolExecutor

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
        out = qkv.new_empty(qkv.shape[0], heads * size)

        def one(start, end):
            length = end - start
            q = turned[start:end, :heads].view(length, groups, share, size).permute(1, 2, 0, 3)
            q = q.reshape(groups, share * length, size).mul_(size**-0.5)
            k = turned[start:end, heads:].transpose(0, 1).contiguous()
            v = values[start:end].transpose(0, 1).contiguous()
            scores = torch.bmm(q, k.transpose(1, 2)).view(groups, share, length, length)
            scores += pack.mask[:length, :length]
            p = torch.softmax(scores, -1).view(groups, share * length, length)
            o = torch.bmm(p, v).view(groups, share, length, size)
            out[start:end].view(length, groups, share, size).copy_(o.permute(2, 0, 1, 3))
            return q, k, v, p

        kept = pack.cores.each(one, pack.ranges)
        ctx.pack, ctx.sizes = pack, sizes
        ctx.save_for_backward(out, *(tensor for four in kept for tensor in four))
        return out

    @staticmethod
    def backward(ctx, d_out):
        heads, groups, size = ctx.sizes
        share = heads // groups
        pack = ctx.pack
        out, *kept = ctx.saved_tensors
        tokens = out.shape[0]
        d_qkv = out.new_empty(tokens, (heads + 2 * groups) * size)
        d_turned = out.new_empty(tokens, heads + groups, size)
        delta = (d_out * out).view(tokens, groups, share, size).sum(-1).permute(1, 2, 0)

        def one(start, end, q, k, v, p):
            length = end - start
            do = d_out[start:end].view(length, groups, share, size).permute(1, 2, 0, 3)
            do = do.reshape(groups, share * length, size)
            ds = torch.bmm(do, v.transpose(1, 2)).view(groups, share, length, length)
            ds.sub_(delta[:, :, start:end, None])
            ds = ds.view(groups, share * length, length).mul_(p)
            dq = torch.bmm(ds, k).mul_(size**-0.5).view(groups, share, length, size)
            d_turned[start:end, :heads].view(length, groups, share, size).copy_(dq.permute(2, 0, 1, 3))
            # q holds the scale already.
            d_turned[start:end, heads:].copy_(torch.bmm(ds.transpose(1, 2), q).transpose(0, 1))
            dv = torch.bmm(p.transpose(1, 2), do)
            d_qkv[start:end, (heads + groups) * size :].view(length, groups, size).copy_(dv.transpose(0, 1))

        pack.cores.each(one, [span + tuple(kept[4 * at : 4 * at + 4]) for at, span in enumerate(pack.ranges)])
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


def varlen(qkv, pack, sizes):
    """The same by flash attention, all documents at once; CUDA only."""
    from torch.nn.attention.varlen import varlen_attn

    heads, groups, size = sizes
    q, k, v = qkv.view(qkv.shape[0], -1, size).split([heads, groups, groups], 1)
    q, k = Turn.apply(q, pack), Turn.apply(k, pack)
    o = varlen_attn(q, k, v, pack.ends, pack.ends, pack.longest, pack.longest, window_size=(-1, 0))
    return o.reshape(qkv.shape[0], -1)


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
        random = torch.Generator(self.flat.device).manual_seed(seed)
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
        self.ends = torch.tensor([0, *(end for _, end in self.ranges)], dtype=torch.int32)
        self.longest = max(end - start for start, end in self.ranges)
        self.mask, self.cores = model.mask, model.cores


def frequencies(config, size):
    """Of the rotary positions; slow ones are slowed further where the model wants Llama 3's scaling."""
    rope = config | (config.get("rope_scaling") or config.get("rope_parameters") or {})
    plain = rope["rope_theta"] ** (-torch.arange(0, size, 2).float() / size)
    if rope.get("rope_type", "default") == "default":
        return plain
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    turns = rope["original_max_position_embeddings"] * plain / (2 * math.pi)
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return plain * (kept + (1 - kept) / rope["factor"])


class Model:
    """SmolLM2 and other plain Llamas, as flat functions over packed tokens."""

    def __init__(self, folder, kind, rank, scale, concat, attention, cores):
        from safetensors import safe_open

        config = common.load_config(folder)
        self.kind, self.eps, self.cores = kind, config["rms_norm_eps"], cores
        size = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        self.sizes = (config["num_attention_heads"], config["num_key_value_heads"], size)
        self.frequencies = frequencies(config, size)
        self.mask = torch.full((1024, 1024), -math.inf, dtype=kind).triu(1)
        self.attention = {"matmul": Attention.apply, "sdpa": sdpa, "varlen": varlen}[attention]
        weights = safe_open(os.path.join(folder, "model.safetensors"), "pt")

        def get(name):
            return weights.get_tensor(f"model.{name}.weight").to(self.mask.device, kind)

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


class Head:
    """Losses of response rows [R, D] and their gradients, chunk by chunk, each chunk on one core with its own buffer."""

    def __init__(self, weight, chunk, cores):
        self.weight, self.chunk, self.cores = weight, chunk, cores
        self.local = threading.local()

    def probabilities(self, logits):
        """softmax in f32, in this core's buffer."""
        if not hasattr(self.local, "buffer"):
            self.local.buffer = self.weight.new_empty(self.chunk, self.weight.shape[0], dtype=torch.float32)
        buffer = self.local.buffer[: len(logits)]
        return torch.softmax(buffer.copy_(logits), -1, out=buffer)

    def spans(self, count):
        return [(start, min(start + self.chunk, count)) for start in range(0, count, self.chunk)]

    def mle(self, h, labels):
        """The summed loss and its gradient by h."""
        gradient = torch.empty_like(h)

        def one(start, end):
            label = labels[start:end, None]
            logits = h[start:end] @ self.weight.t()
            p = self.probabilities(logits)
            p_label = p.gather(1, label)
            p.scatter_(1, label, p_label - 1.0)
            torch.mm(logits.copy_(p), self.weight, out=gradient[start:end])
            return p_label.log_().sum().double()

        return -sum(self.cores.each(one, self.spans(len(labels)))), gradient

    def distill(self, h, reference, labels, keep):
        """Cross-entropy for the `keep` share of highest loss, divergence from the reference's prediction for the rest."""
        gradient, spans = torch.empty_like(h), self.spans(len(labels))

        def score(start, end):
            logits = h[start:end] @ self.weight.t()
            log_p = self.probabilities(logits).gather(1, labels[start:end, None])[:, 0].log_()
            return logits, log_p

        scored = self.cores.each(score, spans)
        losses = -torch.cat([log_p for _, log_p in scored])
        selected = torch.zeros(len(losses), dtype=torch.bool)
        selected[losses.topk(max(1, round(keep * len(losses)))).indices] = True

        def one(start, end, logits, log_p):
            label, chosen = labels[start:end], selected[start:end]
            (rest,) = torch.where(~chosen)
            p = self.probabilities(logits)
            ones = torch.where(chosen)[0]
            p[ones, label[ones]] -= 1.0
            expected = reference[start:end][rest] @ self.weight.t()
            q = torch.softmax(expected, -1, dtype=torch.float32)
            p.index_add_(0, rest, q, alpha=-1.0)
            # Σ q (log q − log p) by the logits and the two normalisers, which the label's entries give.
            own, place = label[rest, None], logits[rest]
            norms = place.gather(1, own).float()[:, 0] - log_p[rest]
            norms -= expected.gather(1, own).float()[:, 0] - q.gather(1, own)[:, 0].log()
            divergence = (q.mul_(expected.sub_(place)).sum(-1) + norms).sum()
            torch.mm(logits.copy_(p), self.weight, out=gradient[start:end])
            return divergence.double()

        both = [span + pair for span, pair in zip(spans, scored)]
        return sum(self.cores.each(one, both)) + losses[selected].sum().double(), gradient


class Cores:
    """Threads that each run their own torch operations on one core: small products side by side."""

    def __init__(self, threads):
        self.pool = ThreadPoolExecutor(threads, initializer=self.alone) if threads > 1 else None

    @staticmethod
    def alone():
        torch.set_num_threads(1)
        torch.set_grad_enabled(False)

    def each(self, function, arguments):
        """The function's results for each tuple of arguments, in order."""
        if self.pool is None:
            return [function(*given) for given in arguments]
        return [future.result() for future in [self.pool.submit(function, *given) for given in arguments]]


def parse():
    parser = common.arguments(__doc__.splitlines()[0])
    parser.add_argument("--precision", choices=["bf16", "f32"], default="bf16")
    parser.add_argument("--objective", choices=["mle", "distill"], default="mle")
    parser.add_argument("--reference", help="distill: the reference's PEFT folder, instead of a random one")
    parser.add_argument("--keep", type=float, default=0.25, help="distill: share of tokens that get cross-entropy")
    parser.add_argument("--micro", type=int, default=8, help="documents per micro-batch; distill keeps all anyway")
    parser.add_argument("--chunk", type=int, default=256, help="rows of the head at a time, on each core")
    parser.add_argument("--attention", choices=["matmul", "sdpa", "varlen"], help="matmul, on a GPU varlen")
    parser.add_argument("--lora", choices=["concat", "add"], default="concat")
    parser.add_argument("--name", default="loop")
    options = parser.parse_args()
    options.attention = options.attention or {"cpu": "matmul", "cuda": "varlen"}[options.device]
    return options


def mle_step(model, head, packs, total):
    loss = 0.0
    for pack in packs:
        h = model.hidden(pack)
        with torch.no_grad():
            part, gradient = head.mle(h.detach(), pack.labels)
        loss += part
        h.backward(gradient.div_(total))
    return loss / total


def distill_step(model, head, packs, total, keep, adapter, reference):
    """Selection sees the whole batch: all micro-batches go forward before one goes backward."""
    with torch.no_grad():
        reference.attach(model.layers)
        expected = torch.cat([model.hidden(pack) for pack in packs])
        adapter.attach(model.layers)
    hidden = [model.hidden(pack) for pack in packs]
    with torch.no_grad():
        labels = torch.cat([pack.labels for pack in packs])
        together = torch.cat([h.detach() for h in hidden])
        loss, gradient = head.distill(together, expected, labels, keep)
        gradients = gradient.div_(total).split([len(h) for h in hidden])
    for h, gradient in zip(hidden, gradients):
        h.backward(gradient)
    return loss / total


def main():
    options = parse()
    common.quiet(options.threads)
    documents = common.load_documents(options)
    if options.device != "cpu":
        torch.set_default_device(options.device)
    kind = {"bf16": torch.bfloat16, "f32": torch.float32}[options.precision]
    scale = options.alpha / options.rank
    cores = Cores(options.threads if options.device == "cpu" else 1)
    model = Model(options.folder, kind, options.rank, scale, options.lora == "concat", options.attention, cores)
    head = Head(model.embedding, options.chunk, cores)
    adapter = Adapter(model.layers, options.seed, options.adapter)
    adapter.collect(model.layers)
    distill = options.objective == "distill"
    reference = Adapter(model.layers, options.seed + 1, options.reference, noise=1e-3) if distill else None
    optimizer = torch.optim.AdamW([adapter.flat], lr=options.lr, weight_decay=0.0, fused=True)
    clock = common.Clock(options.device)
    for batch in common.batches(documents, options.batch, options.steps):
        clock.start()
        packs = [Pack(batch[at : at + options.micro], model) for at in range(0, len(batch), options.micro)]
        total = sum(len(pack.labels) for pack in packs)
        adapter.flat.grad.zero_()
        adapter.attach(model.layers)
        if distill:
            loss = distill_step(model, head, packs, total, options.keep, adapter, reference)
        else:
            loss = mle_step(model, head, packs, total)
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
