"""MC dropout as one writes it by hand in PyTorch, beside `tokensieve uncertainty`: tokens per second, alternately.

    uncertainty.py HF_FOLDER TOKENSIEVE --data alpaca --documents 16 --passes 4 --rounds 3

Ours runs first and writes the tokens, so that all see the same documents. Every peer gives total, aleatoric and
epistemic uncertainty per response token (ours also pairwise KL, reverse MI and standard errors), with dropout on
attention's probabilities and on what each half of a layer adds. A token counts once per pass.

careful: documents sorted by length in padded batches, q, k, v and gate, up as one matrix each, dropout from
random bytes instead of torch's dropout (a rate of 0.1 is 26/256), nothing but rows that predict in the head, its logits in chunks, running means.
huggingface: transformers' model with hooks, torch's own dropout, the same head and running means.
"""

import argparse
import json
import re
import subprocess
import tempfile
import time
from pathlib import Path

from common import load_base, peak_bytes, quiet

# Rows of logits at a time.
CHUNK = 512


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="the model as a Hugging Face folder")
    parser.add_argument("tokensieve", help="the program, built with --release")
    parser.add_argument("--data", default="alpaca")
    parser.add_argument("--documents", type=int, default=16)
    parser.add_argument("--passes", type=int, default=4)
    parser.add_argument("--peer-passes", type=int, help="fewer for the peers, whose speed does not depend on it")
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16", help="of the peers")
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--batch", type=int, default=16, help="documents of a padded batch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=["careful", "huggingface"])
    return parser.parse_args()


def ours(options, out):
    """Runs the program; its own speed, without the time to load, and its documents."""
    command = [options.tokensieve, "uncertainty", options.data, "-n", str(options.documents), "--out", str(out)]
    command += ["--passes", str(options.passes), "--rate", str(options.rate), "--top", "0"]
    Path(out).unlink(missing_ok=True)
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    speed = float(re.search(r"([\d.]+) tokens/s", text).group(1))
    lines = Path(out).read_text(encoding="utf-8").splitlines()[1:]
    return speed, [json.loads(line)["tokens"] for line in lines]


class Batch:
    """Padded documents, and where the rows lie that predict."""

    def __init__(self, documents):
        import torch

        longest = max(len(tokens) for tokens in documents)
        # The last token predicts nothing.
        width = longest - 1
        self.tokens = torch.zeros(len(documents), width, dtype=torch.int64)
        rows = []
        for number, tokens in enumerate(documents):
            ids = [token["id"] for token in tokens][:-1]
            self.tokens[number, : len(ids)] = torch.tensor(ids)
            rows += [number * width + at - 1 for at, token in enumerate(tokens) if token["response"]]
        self.rows = torch.tensor(rows)
        self.count = sum(len(tokens) for tokens in documents)


class Means:
    """Running sums of probabilities and of entropies."""

    def __init__(self, rows, vocabulary):
        import torch

        self.p = torch.zeros(rows, vocabulary)
        self.entropy = torch.zeros(rows)

    def add(self, hidden, weight):
        for start in range(0, hidden.shape[0], CHUNK):
            part = slice(start, start + CHUNK)
            log_p = (hidden[part] @ weight.t()).float().log_softmax(-1)
            p = log_p.exp()
            self.p[part] += p
            self.entropy[part] -= log_p.mul_(p).sum(-1)

    def result(self, passes):
        mean = self.p / passes
        total = -(mean.clamp_min(1e-38).log() * mean).sum(-1)
        aleatoric = self.entropy / passes
        return total, aleatoric, total - aleatoric


def dropout(x, rate):
    """x with some numbers at 0 and the others scaled: a random byte decides on each."""
    import torch

    words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
    kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= round(rate * 256)
    return x.mul_(kept.to(x.dtype)), 1 / (1 - round(rate * 256) / 256)


class Careful:
    """The model's own weights, and a forward pass written for this."""

    def __init__(self, base, rate):
        import torch

        self.rate, self.config = rate, base.config
        self.head = base.lm_head.weight
        self.embedding = base.model.embed_tokens.weight
        self.norm = base.model.norm.weight
        self.layers = []
        for layer in base.model.layers:
            attention, mlp = layer.self_attn, layer.mlp
            qkv = torch.cat([attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight])
            both = torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight])
            norms = layer.input_layernorm.weight, layer.post_attention_layernorm.weight
            self.layers.append((norms, qkv, attention.o_proj.weight, both, mlp.down_proj.weight))

    def rms(self, x, weight):
        import torch.nn.functional as F

        return F.rms_norm(x, (x.shape[-1],), weight, self.config.rms_norm_eps)

    def hidden(self, tokens):
        import torch
        import torch.nn.functional as F

        config = self.config
        heads, groups = config.num_attention_heads, config.num_key_value_heads
        size = config.hidden_size // heads
        n, width = tokens.shape
        theta = config.rope_parameters["rope_theta"]
        angles = torch.outer(torch.arange(width), theta ** (-torch.arange(0, size, 2) / size))
        dtype = self.embedding.dtype
        cos, sin = (f(angles).to(dtype)[None, :, None] for f in (torch.cos, torch.sin))
        hide = torch.full((width, width), float("-inf"), dtype=dtype).triu(1)
        x = self.embedding[tokens]
        for norms, qkv, output, both, down in self.layers:
            all_heads = (self.rms(x, norms[0]) @ qkv.t()).view(n, width, heads + 2 * groups, size)
            turned, values = all_heads.split([heads + groups, groups], 2)
            first, second = turned.chunk(2, -1)
            turned = torch.cat([first * cos - second * sin, second * cos + first * sin], -1)
            q, k = turned.split([heads, groups], 2)
            q = (q * size**-0.5).view(n, width, groups, heads // groups, size).permute(0, 2, 3, 1, 4)
            q = q.reshape(n * groups, -1, size)
            k = k.permute(0, 2, 3, 1).reshape(n * groups, size, width)
            v = values.transpose(1, 2).reshape(n * groups, width, size)
            scores = torch.bmm(q, k).view(n * groups, -1, width, width).add_(hide)
            p, scale = dropout(torch.softmax(scores, -1), self.rate)
            o = torch.bmm(p.view(n * groups, -1, width), v).mul_(scale)
            o = o.view(n, groups, heads // groups, width, size).permute(0, 3, 1, 2, 4).reshape(n, width, -1)
            result, scale = dropout(o @ output.t(), self.rate)
            x = x.add(result, alpha=scale)
            gate, up = (self.rms(x, norms[1]) @ both.t()).chunk(2, -1)
            result, scale = dropout(F.silu(gate).mul_(up) @ down.t(), self.rate)
            x = x.add(result, alpha=scale)
        return self.rms(x, self.norm)


class HuggingFace:
    """transformers' model, dropout by hooks."""

    def __init__(self, base, rate):
        import torch.nn.functional as F

        self.base, self.head = base, base.lm_head.weight
        for layer in base.model.layers:
            layer.self_attn.attention_dropout = rate
            layer.self_attn.train()
            layer.self_attn.register_forward_hook(
                lambda module, inputs, result: (F.dropout(result[0], rate, True), *result[1:])
            )
            layer.mlp.register_forward_hook(lambda module, inputs, result: F.dropout(result, rate, True))

    def hidden(self, tokens):
        return self.base.model(input_ids=tokens, use_cache=False).last_hidden_state


def run(model, batches, passes):
    """Seconds for all passes over all batches, and the mean aleatoric and epistemic uncertainty."""
    import torch

    with torch.inference_mode():
        model.hidden(batches[0].tokens)
        began = time.perf_counter()
        found = []
        for batch in batches:
            means = Means(len(batch.rows), model.head.shape[0])
            for _ in range(passes):
                hidden = model.hidden(batch.tokens).flatten(0, 1)
                means.add(hidden[batch.rows], model.head)
            found.append(torch.stack(means.result(passes)[1:]))
        return time.perf_counter() - began, torch.cat(found, 1).mean(1).tolist()


def main():
    options = parse()
    quiet(options.threads)
    import torch

    passes = options.peer_passes or options.passes
    peers = {}
    for name, kind, attention in (("careful", Careful, "sdpa"), ("huggingface", HuggingFace, "eager")):
        if name in options.only:
            base = load_base(options.folder, getattr(torch, options.dtype))
            base.set_attn_implementation(attention)
            peers[name] = kind(base.eval(), options.rate)
    speeds = {name: [] for name in ("ours", *peers)}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds):
            speed, documents = ours(options, Path(folder, "ours.jsonl"))
            speeds["ours"].append(speed)
            predicted = [token for tokens in documents for token in tokens if token["response"]]
            mean = lambda name: sum(token[name] for token in predicted) / len(predicted)
            found = {"ours": [mean("aleatoric"), mean("epistemic")]}
            documents.sort(key=len)
            batches = [
                Batch(documents[at : at + options.batch]) for at in range(0, len(documents), options.batch)
            ]
            for name, peer in peers.items():
                seconds, found[name] = run(peer, batches, passes)
                speeds[name].append(sum(batch.count for batch in batches) * passes / seconds)
            print(json.dumps({"speed": {name: s[-1] for name, s in speeds.items()}, "aleatoric and epistemic": found}), flush=True)
    best = {name: max(speed) for name, speed in speeds.items()}
    ratios = {name: round(best["ours"] / speed, 2) for name, speed in best.items()}
    print(json.dumps({"tokens_per_second": best, "ours_is_times": ratios, "peak_bytes_of_peers": peak_bytes()}))


if __name__ == "__main__":
    main()
