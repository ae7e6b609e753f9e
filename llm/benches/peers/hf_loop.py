"""The textbook loop: transformers' own Llama, padded batches, AdamW, all weights in f32.

    hf_loop.py FOLDER ROWS.jsonl [--batch N] [--steps N] [--threads N]

Rows have a `text`, of which every token is learned. `small.py` runs it beside ours.
"""

import argparse
import json
from pathlib import Path

import common
from common import Document


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="the model to start from, as a Hugging Face folder")
    parser.add_argument("rows", help="rows with a `text`, as JSON lines")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--lr", type=float, default=1e-3)
    return parser.parse_args()


def main():
    options = arguments()
    common.quiet(options.threads)
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(options.folder)
    lines = Path(options.rows).read_text(encoding="utf-8").splitlines()
    tokens = [tokenizer(json.loads(line)["text"])["input_ids"] for line in lines]
    documents = [Document(row, 1, len(row)) for row in tokens]
    model = common.load_base(options.folder, torch.float32).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr, betas=(0.9, 0.95), weight_decay=0.1)
    clock = common.Clock("cpu")
    for batch in common.batches(documents, options.batch, options.steps):
        clock.start()
        longest = max(len(document.tokens) for document in batch)
        ids = torch.full((len(batch), longest), tokenizer.pad_token_id)
        seen = torch.zeros_like(ids)
        for row, document in enumerate(batch):
            ids[row, : len(document.tokens)] = torch.tensor(document.tokens)
            seen[row, : len(document.tokens)] = 1
        labels = ids.masked_fill(seen == 0, common.IGNORED)
        loss = model(input_ids=ids, attention_mask=seen, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        clock.stop(batch, loss.detach())
    common.report("hf loop", clock)


if __name__ == "__main__":
    main()
