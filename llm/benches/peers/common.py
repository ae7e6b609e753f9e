"""What all peers share: the model, the examples, the measuring, the one line they print.

Examples are the first rows of GSM8K's training file, rendered by the model's chat template. All tokens count for
speed; learned are those from the generation prompt to the end of turn, as ours does.

As a program: `common.py MODEL.gguf FOLDER` writes the GGUF as a Hugging Face folder.
"""

import argparse
import gzip
import json
import os
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

# The linear layers of a Llama block.
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

IGNORED = -100


@dataclass
class Document:
    """One conversation: all tokens, and where those that are learned start and end."""

    tokens: list[int]
    start: int
    end: int

    @property
    def labels(self):
        """The tokens with those that are not learned replaced by -100."""
        return [
            token if self.start <= place < self.end else IGNORED for place, token in enumerate(self.tokens)
        ]


def arguments(about):
    """The arguments of every peer."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("folder", help="the model as a Hugging Face folder")
    parser.add_argument("rows", help="GSM8K's train.jsonl (or .jsonl.gz)")
    parser.add_argument("--documents", type=int, default=256, help="how many rows")
    parser.add_argument(
        "--past-end-of-turn",
        action="store_true",
        help="learn what the template writes after it too (SmolLM2's: a line break), as TRL's own preparation does",
    )
    parser.add_argument("--batch", type=int, default=32, help="documents per optimizer step")
    parser.add_argument("--steps", type=int, default=8, help="optimizer steps; the first is not timed")
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--alpha", type=float, default=64.0)
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--seed", type=int, default=0, help="of the adapter's A")
    parser.add_argument("--adapter", help="a PEFT folder to start from, instead of a random A")
    parser.add_argument("--threads", type=int, default=2)
    # Not what torch finds: a command in the log measures the same on every machine.
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    return parser


def quiet(threads):
    """Threads, and no progress bars; before torch and transformers do anything."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    warnings.simplefilter("ignore", FutureWarning)
    import torch
    import transformers

    torch.set_num_threads(threads)
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()


def conversations(path, documents):
    """The first rows as (prompt, completion) lists of messages."""
    unpack = gzip.open if str(path).endswith(".gz") else open
    with unpack(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for _, line in zip(range(documents), lines)]
    return [
        ([{"role": "user", "content": row["question"]}], [{"role": "assistant", "content": row["answer"]}])
        for row in rows
    ]


def load_tokenizer(folder):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    if not tokenizer.chat_template:
        sys.exit(f"{folder}: the tokenizer has no chat template; write the folder with `tokensieve convert`")
    return tokenizer


def render(tokenizer, pairs, past_end_of_turn=False):
    """Documents: the whole conversation's tokens, those after the generation prompt marked."""
    documents = []
    for prompt, completion in pairs:
        whole = tokenizer.apply_chat_template(prompt + completion, tokenize=False)
        head = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
        encoded = tokenizer(whole, add_special_tokens=False)["input_ids"]
        start = len(tokenizer(head, add_special_tokens=False)["input_ids"])
        end = len(encoded)
        if not past_end_of_turn:
            end -= encoded[::-1].index(tokenizer.eos_token_id)
        documents.append(Document(encoded, start, end))
    return documents


def load_documents(options):
    pairs = conversations(options.rows, options.documents)
    return render(load_tokenizer(options.folder), pairs, options.past_end_of_turn)


def load_base(folder, dtype):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)


def lora_config(rank, alpha):
    from peft import LoraConfig

    return LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules=LINEAR, task_type="CAUSAL_LM")


def copy_adapter(folder, model):
    """Sets a PEFT model's adapter to the values in a PEFT folder."""
    from peft import load_peft_weights, set_peft_model_state_dict

    outcome = set_peft_model_state_dict(model, load_peft_weights(folder, device="cpu"))
    if outcome.unexpected_keys:
        sys.exit(f"{folder}: the model has no place for {outcome.unexpected_keys[0]}")


def load_config(folder):
    return json.loads(Path(folder, "config.json").read_text(encoding="utf-8"))


def flop_per_token(config, documents, rank):
    """What a LoRA step cannot do without: 4 for each weight of the base (there and back, no gradient of its own), 6
    for each of the adapter's, the head for rows that are learned. Attention, norms and what is computed twice do not
    count."""
    width, ffn = config["hidden_size"], config["intermediate_size"]
    head = config.get("head_dim") or width // config["num_attention_heads"]
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    linear = [(width, queries), (width, keys), (width, keys), (queries, width), (width, ffn), (width, ffn), (ffn, width)]
    block = sum(4 * rows * columns + 6 * rank * (rows + columns) for rows, columns in linear)
    learned = sum(document.end - document.start for document in documents)
    share = learned / sum(len(document.tokens) for document in documents)
    return config["num_hidden_layers"] * block + 4 * share * config["vocab_size"] * width


def batches(documents, size, steps):
    """Batches in file order, from the beginning again after the last."""
    return [
        [documents[(step * size + place) % len(documents)] for place in range(size)] for step in range(steps)
    ]


def now(device):
    """Seconds, once the device has done all that it was given."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()
    return time.perf_counter()


class Clock:
    """Seconds and real tokens of each optimizer step."""

    def __init__(self, device):
        self.device = device
        self.seconds, self.tokens, self.losses = [], [], []
        self.began = None

    def start(self):
        self.began = now(self.device)

    def stop(self, batch, loss):
        self.seconds.append(now(self.device) - self.began)
        self.tokens.append(sum(len(document.tokens) for document in batch))
        self.losses.append(round(float(loss), 6))


def peak_bytes():
    """The most memory that the process ever held (VmHWM)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def peak_device_bytes():
    """The most memory that tensors took on the GPU at a time, as ours counts it."""
    import torch

    return torch.cuda.max_memory_allocated()


def report(name, clock, **more):
    """Prints the line that `run.py` reads. The first step, which warms up, is left out of the speed."""
    timed = slice(1, None) if len(clock.seconds) > 1 else slice(None)
    seconds, tokens = clock.seconds[timed], clock.tokens[timed]
    line = {
        "name": name,
        "tokens_per_second": round(sum(tokens) / sum(seconds), 2),
        "seconds_per_step": round(sum(seconds) / len(seconds), 4),
        "peak_bytes": peak_bytes(),
        **({"peak_device_bytes": peak_device_bytes()} if clock.device == "cuda" else {}),
        "steps": len(clock.seconds),
        "seconds": [round(second, 4) for second in clock.seconds],
        "tokens": clock.tokens,
        "losses": clock.losses,
        **more,
    }
    print(json.dumps(line), flush=True)


def convert(gguf, folder):
    """A GGUF of Llama's architecture as a Hugging Face folder, through transformers: the slow and independent way."""
    import torch
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    gguf = Path(gguf)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # transformers drops the digits' rule of SmolLM's pre-tokenizer (tokenizer.ggml.pre = smollm).
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    # The weights are plain by now; what remembers the quantisation would refuse to save them.
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: common.py MODEL.gguf FOLDER")
    convert(sys.argv[1], sys.argv[2])
