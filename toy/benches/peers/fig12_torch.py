"""Figure 12's protocol in PyTorch, written for speed: what `toy/src/bands.rs` is measured against.

Install:  python3 -m venv venv && venv/bin/pip install torch==2.11.0 numpy
Run:      venv/bin/python fig12_torch.py FOLDER [--epochs 2] [--threads 2]
FOLDER holds the four unpacked idx files. Prints one JSON object: for each variant the seconds per
network-epoch (60,000 images trained on, 10,000 tested) and the final accuracies, to see that it learns the same.

Variants, each of which computes the same thing:
- plain:   one network at a time; gradient-free forward for the losses, then forward and backward of the kept
           images only, by autograd.
- manual:  one network at a time; one forward, backward by hand from its activations, of the kept images only.
- stacked: all twelve networks at once as batched matrix products; backward by hand, kept images only.
All data lie in memory as one float tensor; no DataLoader, no copies but the gather of a batch; the optimizer is
two lines of in-place arithmetic.
"""

import argparse
import json
import pathlib
import time

import numpy as np
import torch

SIZES, RATE, BATCH = (784, 32, 16, 10), 0.01, 256


def idx(path, header):
    return np.frombuffer(path.read_bytes(), dtype=np.uint8, offset=header)


def load(folder):
    folder = pathlib.Path(folder)
    out = []
    for part in ("train", "t10k"):
        images = idx(folder / f"{part}-images-idx3-ubyte", 16).reshape(-1, 784)
        labels = idx(folder / f"{part}-labels-idx1-ubyte", 8)
        out += [torch.from_numpy(images.astype(np.float32) / 255), torch.from_numpy(labels.astype(np.int64))]
    return out


def initial(seed):
    """PyTorch's default for nn.Linear: uniform on plus or minus 1/sqrt(inputs). Weights are stored input by output."""
    generator = torch.Generator().manual_seed(seed)
    weights = []
    for inputs, outputs in zip(SIZES, SIZES[1:]):
        bound = inputs**-0.5
        weights.append((torch.rand(inputs, outputs, generator=generator) * 2 - 1) * bound)
        weights.append((torch.rand(outputs, generator=generator) * 2 - 1) * bound)
    return weights


def networks():
    """Bands of loss quantiles; None trains on everything, a width alone on a random share."""
    return [None, 0.1] + [(k / 10, (k + 1) / 10) for k in range(10)]


def ranks(band, n):
    return slice(round(band[0] * n), round(band[1] * n))


def choose(loss, band):
    n = loss.shape[-1]
    if band is None:
        return None
    if isinstance(band, float):
        return torch.randperm(n)[: round(band * n)]
    return torch.argsort(loss)[ranks(band, n)]


def forward(w, x):
    h1 = torch.addmm(w[1], x, w[0]).relu_()
    h2 = torch.addmm(w[3], h1, w[2]).relu_()
    return h1, h2, torch.addmm(w[5], h2, w[4])


def accuracy(w, x, y):
    return (forward(w, x)[2].argmax(1) == y).float().mean().item()


def plain_step(w, x, y, band):
    with torch.no_grad():
        kept = choose(torch.nn.functional.cross_entropy(forward(w, x)[2], y, reduction="none"), band)
    if kept is not None:
        x, y = x[kept], y[kept]
    for p in w:
        p.requires_grad_(True)
    h1 = torch.addmm(w[1], x, w[0]).relu()
    h2 = torch.addmm(w[3], h1, w[2]).relu()
    loss = torch.nn.functional.cross_entropy(torch.addmm(w[5], h2, w[4]), y)
    gradients = torch.autograd.grad(loss, w)
    with torch.no_grad():
        torch._foreach_add_(w, gradients, alpha=-RATE)


@torch.no_grad()
def manual_step(w, x, y, band):
    h1, h2, logits = forward(w, x)
    log_p = torch.log_softmax(logits, 1)
    kept = choose(-log_p.gather(1, y[:, None])[:, 0], band)
    if kept is not None:
        x, y, h1, h2, log_p = x[kept], y[kept], h1[kept], h2[kept], log_p[kept]
    d3 = log_p.exp_()
    d3[torch.arange(len(y)), y] -= 1
    d3 *= -RATE / len(y)
    d2 = (d3 @ w[4].T).mul_(h2 > 0)
    d1 = (d2 @ w[2].T).mul_(h1 > 0)
    w[4].addmm_(h2.T, d3)
    w[2].addmm_(h1.T, d2)
    w[0].addmm_(x.T, d1)
    for bias, d in ((w[5], d3), (w[3], d2), (w[1], d1)):
        bias += d.sum(0)


def single(step, data, epochs, seed, bands):
    x, y, tx, ty = data
    seconds, final = 0.0, []
    for band in bands:
        w = initial(seed)
        start = time.perf_counter()
        for _ in range(epochs):
            for indices in torch.randperm(len(x)).split(BATCH):
                step(w, x[indices], y[indices], band)
            final_accuracy = accuracy([p.detach() for p in w], tx, ty)
        seconds += time.perf_counter() - start
        final.append(final_accuracy)
    return seconds / (epochs * len(bands)), final


@torch.no_grad()
def stacked(data, epochs, seed):
    """The first layers of the twelve networks side by side are one matrix product; the upper ones are batched.

    The ten bands keep about equally many images, so one index tensor holds them all; a row too many is given
    weight 0. The network that trains on everything goes its own way, by views into the stacked weights.
    """
    x, y, tx, ty = data
    g = len(networks())
    one = initial(seed)
    w1 = one[0].repeat(1, g)
    w = [p.repeat(g, *[1] * p.dim()) for p in one]

    def run(x):
        h1 = torch.addmm(w[1].view(-1), x, w1).view(len(x), g, 32).transpose(0, 1).relu_()
        h2 = torch.baddbmm(w[3][:, None], h1, w[2]).relu_()
        return h1, h2, torch.baddbmm(w[5][:, None], h2, w[4])

    start = time.perf_counter()
    for _ in range(epochs):
        for indices in torch.randperm(len(x)).split(BATCH):
            bx, by = x[indices], y[indices]
            n = len(by)
            h1, h2, logits = run(bx)
            log_p = torch.log_softmax(logits, 2)
            loss = -log_p.gather(2, by.expand(g, n)[..., None])[..., 0]
            order = torch.argsort(loss[2:], 1)
            spans = [ranks((k / 10, (k + 1) / 10), n) for k in range(10)]
            width = max(s.stop - s.start for s in spans)
            kept = torch.stack([order[k, max(0, s.stop - width) : s.stop] for k, s in enumerate(spans)])
            real = torch.tensor([[float(j >= width - (s.stop - s.start)) for j in range(width)] for s in spans])
            some = round(0.1 * n)
            random = torch.cat([torch.randperm(n)[:some], torch.zeros(width - some, dtype=torch.long)])
            kept = torch.cat([random[None], kept])
            real = torch.cat([(torch.arange(width) < some).float()[None], real])
            scale = -RATE * real / real.sum(1, keepdim=True)
            rows = torch.arange(1, g)[:, None]
            k1, k2, ky = h1[rows, kept], h2[rows, kept], by[kept]
            d3 = log_p[rows, kept].exp_()
            d3.scatter_add_(2, ky[..., None], torch.full((*ky.shape, 1), -1.0))
            d3 *= scale[..., None]
            everything = log_p[0].exp()
            everything[torch.arange(n), by] -= 1
            everything *= -RATE / n
            for nets, a1, a2, d3, pixels in (
                (slice(1, g), k1, k2, d3, bx[kept]),
                (slice(0, 1), h1[:1], h2[:1], everything[None], bx[None]),
            ):
                d2 = torch.bmm(d3, w[4][nets].transpose(1, 2)).mul_(a2 > 0)
                d1 = torch.bmm(d2, w[2][nets].transpose(1, 2)).mul_(a1 > 0)
                w[4][nets].baddbmm_(a2.transpose(1, 2), d3)
                w[2][nets].baddbmm_(a1.transpose(1, 2), d2)
                moved = torch.bmm(pixels.transpose(1, 2), d1)
                w1.view(784, g, 32)[:, nets] += moved.transpose(0, 1)
                for bias, d in ((w[5], d3), (w[3], d2), (w[1], d1)):
                    bias[nets] += d.sum(1)
        final = (run(tx)[2].argmax(2) == ty).float().mean(1)
    return (time.perf_counter() - start) / (epochs * g), final.tolist()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder")
    arguments.add_argument("--epochs", type=int, default=2)
    arguments.add_argument("--threads", type=int, default=2)
    arguments = arguments.parse_args()
    torch.set_num_threads(arguments.threads)
    data = load(arguments.folder)
    # One of each kind represents its like: everything, random, three bands.
    few = [networks()[k] for k in (0, 1, 2, 6, 11)]
    # Of twelve networks one trains on everything and eleven on a tenth.
    result = {"torch": torch.__version__, "threads": arguments.threads, "seconds_per_network_epoch": {}, "accuracy": {}}
    for name, step in (("plain", plain_step), ("manual", manual_step)):
        whole, first = single(step, data, arguments.epochs, 0, few[:1])
        tenth, rest = single(step, data, arguments.epochs, 0, few[1:])
        result["seconds_per_network_epoch"][name] = (whole + 11 * tenth) / 12
        result["accuracy"][name] = dict(zip(("all", "random", "0-10", "40-50", "90-100"), first + rest))
    seconds, final = stacked(data, arguments.epochs, 0)
    result["seconds_per_network_epoch"]["stacked"] = seconds
    result["accuracy"]["stacked"] = dict(zip(("all", "random", "0-10", "40-50", "90-100"), [final[k] for k in (0, 1, 2, 6, 11)]))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
