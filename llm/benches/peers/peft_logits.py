"""Logits of a fixed prompt under peft, to compare with ours: `peft_logits.py ADAPTER_FOLDER HF_FOLDER [--merged]`.

Prints JSON: the prompt's tokens, and of the last row of the f32 logits the ten largest, the sum, and the norm; the whole
[T, V] goes to `--save FILE.npy`.
"""

import argparse
import json

import common

PROMPT = "Natalia sold clips to 48 of her friends in April. How many clips did Natalia sell?"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("adapter", help="PEFT folder")
    parser.add_argument("folder", help="the model as a Hugging Face folder")
    parser.add_argument("--prompt", default=PROMPT, help="what the user says")
    parser.add_argument("--merged", action="store_true", help="the adapter merged into the weights first")
    parser.add_argument("--save", metavar="FILE.npy", help="all logits, f32 [T, V]")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    common.quiet(options.threads)
    import numpy
    import torch
    from peft import PeftModel

    tokenizer = common.load_tokenizer(options.folder)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": options.prompt}], tokenize=False, add_generation_prompt=True
    )
    tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
    model = PeftModel.from_pretrained(common.load_base(options.folder, torch.float32), options.adapter).eval()
    if options.merged:
        model = model.merge_and_unload()
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([tokens])).logits[0].float()
    if options.save:
        numpy.save(options.save, logits.numpy())
    top = logits[-1].topk(10)
    print(
        json.dumps(
            {
                "tokens": tokens,
                "top": [[token, value] for token, value in zip(top.indices.tolist(), top.values.tolist())],
                "sum": logits[-1].double().sum().item(),
                "norm": logits.double().norm().item(),
                "next": tokenizer.decode([top.indices[0].item()]),
            }
        )
    )


if __name__ == "__main__":
    main()
