"""New tokens per second: Hugging Face `generate` beside `tokensieve generate`, alternately, on the same prompts.

    generate.py TOKENSIEVE HF_FOLDER GSM8K_TRAIN.jsonl[.gz] [--prompts 64] [--new 128] [--batch 16] [--rounds 1]
        [--gguf MODEL.gguf]

Greedy, prompts by the chat template, every reply ended by its end of turn or after --new tokens; the tokens counted are
those of the replies. Loading is not timed, prompts are. With --gguf and llama-cpp-python installed, single streams are
compared too, both in bf16. The fraction of the memory-bandwidth ceiling is that of a single stream: bytes of weights, keys
and values read for a token, over the seconds it took, over the measured speed of reading memory.
"""

import argparse
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokensieve")
    parser.add_argument("folder")
    parser.add_argument("rows")
    for key, default in {"prompts": 64, "new": 128, "batch": 16, "rounds": 1, "threads": 2, "single": 4}.items():
        parser.add_argument(f"--{key}", type=int, default=default)
    parser.add_argument("--ours-batch", type=int, help="ours; its default if not given")
    parser.add_argument("--gguf", help="the model in bf16, for llama.cpp")
    parser.add_argument("--skip-f32", action="store_true", help="bf16 only")
    return parser.parse_args()


class HuggingFace:
    def __init__(self, options, dtype):
        import torch

        self.torch, self.options = torch, options
        self.tokenizer = common.load_tokenizer(options.folder)
        self.tokenizer.padding_side = "left"
        self.tokenizer.pad_token = self.tokenizer.pad_token or self.tokenizer.eos_token
        self.model = common.load_base(options.folder, getattr(torch, dtype)).eval()

    def run(self, pairs):
        texts = [
            self.tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
            for prompt, _ in pairs
        ]
        replies = []
        start = time.perf_counter()
        with self.torch.inference_mode():
            for first in range(0, len(texts), self.options.batch):
                batch = self.tokenizer(
                    texts[first : first + self.options.batch],
                    return_tensors="pt",
                    padding=True,
                    add_special_tokens=False,
                )
                out = self.model.generate(
                    **batch,
                    max_new_tokens=self.options.new,
                    do_sample=False,
                    pad_token_id=self.tokenizer.pad_token_id,
                )
                replies += out[:, batch["input_ids"].shape[1] :].tolist()
        seconds = time.perf_counter() - start
        ends = {self.tokenizer.eos_token_id, self.tokenizer.convert_tokens_to_ids("<|im_end|>")}
        counted = 0
        texts = []
        for reply in replies:
            length = next((place + 1 for place, token in enumerate(reply) if token in ends), len(reply))
            counted += length
            texts.append(self.tokenizer.decode(reply[:length], skip_special_tokens=True))
        return counted, seconds, texts


def ours(options, precision, batch, prompts):
    with tempfile.TemporaryDirectory() as folder:
        rows, out = Path(folder, "rows.jsonl"), Path(folder, "out.jsonl")
        unpack = gzip.open if options.rows.endswith(".gz") else open
        with unpack(options.rows, "rt", encoding="utf-8") as lines:
            rows.write_text("".join(line for _, line in zip(range(prompts), lines)), encoding="utf-8")
        command = [options.tokensieve, "generate", rows, "--out", out, "--model", options.folder]
        command += ["--precision", precision, "--limit", str(options.new)]
        command += ["--batch", str(batch)] if batch else []
        printed = subprocess.run(
            command,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(options.threads)},
        ).stdout
        replies = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()[1:]]
    tokens, seconds = re.search(r"replies of (\d+) tokens in ([\d.]+) s", printed).groups()
    return int(tokens), float(seconds), replies


def bandwidth(threads):
    """Bytes a second that `threads` threads read from memory."""
    import torch

    numbers = torch.zeros(1 << 26)
    best = 0.0
    for _ in range(10):
        start = time.perf_counter()
        numbers.sum()
        best = max(best, 4 * numbers.numel() / (time.perf_counter() - start))
    return best


def bytes_per_token(folder, replies, size):
    """What a single stream reads for one token, on average."""
    config = json.loads(Path(folder, "config.json").read_text(encoding="utf-8"))
    width, layers = config["hidden_size"], config["num_hidden_layers"]
    head = config.get("head_dim") or width // config["num_attention_heads"]
    keys = config["num_key_value_heads"] * head
    layer = width * (2 * width + 2 * keys) + 3 * width * config["intermediate_size"]
    weights = layers * layer + config["vocab_size"] * width
    held = sum(r["prompt_tokens"] + r["tokens"] / 2 for r in replies) / len(replies)
    return size * (weights + 2 * layers * keys * held)


def llama(options, pairs):
    """New tokens per second of llama.cpp, one prompt after the other."""
    from llama_cpp import Llama

    model = Llama(options.gguf, n_ctx=2048, n_threads=options.threads, n_threads_batch=options.threads, verbose=False)
    tokenizer = common.load_tokenizer(options.folder)
    ends = {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|im_end|>")}
    counted, seconds = 0, 0.0
    for prompt, _ in pairs:
        text = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
        tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
        model.reset()
        start = time.perf_counter()
        for count, token in enumerate(model.generate(tokens, temp=0.0, top_k=1, repeat_penalty=1.0), 1):
            if token in ends or count == options.new:
                break
        seconds += time.perf_counter() - start
        counted += count
    return counted, seconds


def main():
    options = parse()
    common.quiet(options.threads)
    load = os.getloadavg()[0]
    if load > 1:
        print(f"warning: load average {load:.1f}; others are at work here, only ratios mean anything", file=sys.stderr)
    pairs = common.conversations(options.rows, options.prompts)
    precisions = ["bf16"] if options.skip_f32 else ["bf16", "f32"]
    peers = {p: HuggingFace(options, {"bf16": "bfloat16", "f32": "float32"}[p]) for p in precisions}
    for peer in peers.values():
        peer.run(pairs[:2])
    speeds, texts = {}, {}
    for _ in range(options.rounds):
        for precision, peer in peers.items():
            tokens, seconds, replies = ours(options, precision, options.ours_batch, options.prompts)
            texts["ours", precision] = [reply["text"] for reply in replies]
            speeds.setdefault(("ours", precision), []).append(tokens / seconds)
            print(f"tokensieve {precision:5} {tokens:6} tokens {seconds:7.2f} s {tokens / seconds:8.0f} tokens/s", flush=True)
            tokens, seconds, replies = peer.run(pairs)
            texts["hf", precision] = replies
            speeds.setdefault(("hf", precision), []).append(tokens / seconds)
            print(f"HF batch {options.batch:2} {precision:4} {tokens:6} tokens {seconds:7.2f} s {tokens / seconds:8.0f} tokens/s", flush=True)
    for precision in precisions:
        same = sum(a == b for a, b in zip(texts["ours", precision], texts["hf", precision]))
        print(f"the same text as Hugging Face in {precision}: {same} of {options.prompts}")
    best = max(max(values) for (who, _), values in speeds.items() if who == "hf")
    for precision in precisions:
        print(f"ours in {precision}: {max(speeds['ours', precision]) / best:.2f} × the better of Hugging Face's")

    read = bandwidth(options.threads)
    tokens, seconds, replies = ours(options, "bf16", 1, options.single)
    single = tokens / seconds
    share = bytes_per_token(options.folder, replies, 2) * single / read
    print(f"single stream, bf16: {single:.0f} tokens/s, {share:.0%} of the ceiling at {read / 1e9:.0f} GB/s")
    if options.gguf:
        tokens, seconds = llama(options, pairs[: options.single])
        print(f"llama.cpp, single stream: {tokens / seconds:.0f} tokens/s; ours {single * seconds / tokens:.2f} ×")


if __name__ == "__main__":
    main()
