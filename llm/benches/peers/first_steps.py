"""Does bf16 learn as f32 does? Stock LoRA's loss on the first rows before and after each of the first AdamW steps.

All start from one adapter (A random, B zero), which `--write` leaves as a PEFT folder for ours to start from. Each step
and each loss sees the same rows, 32 unless told otherwise. Precisions, all through peft's own layers:

- f32: everything in f32;
- bf16: base in bf16, adapters in f32, as peft does by itself: the base's output is rounded before the adapter's is added;
- mixed: base and adapters in f32 under autocast, as TRL trains;
- all-bf16: adapters in bf16 too (their copies in the optimizer as well).
"""

import json

import common


def parse():
    parser = common.arguments(__doc__.splitlines()[0])
    parser.add_argument("--precisions", default="f32,bf16", help="of f32, bf16, mixed, all-bf16")
    parser.add_argument("--write", metavar="FOLDER", help="writes the adapter that all start from")
    parser.add_argument("--micro", type=int, default=4, help="documents per micro-batch")
    parser.set_defaults(documents=32, steps=4)
    return parser.parse_args()


def adapted(options, precision):
    """The base with its adapter at the start: from the folder, or seeded."""
    import torch
    from peft import get_peft_model

    base = common.load_base(options.folder, torch.bfloat16 if "bf16" in precision else torch.float32)
    torch.manual_seed(options.seed)
    model = get_peft_model(
        base, common.lora_config(options.rank, options.alpha), autocast_adapter_dtype=precision != "all-bf16"
    ).to(options.device)
    if options.adapter:
        common.copy_adapter(options.adapter, model)
    return model


def summed_loss(model, documents):
    """Over the learned tokens of a micro-batch; documents one by one, so that no padding comes in."""
    import torch
    import torch.nn.functional as F

    loss = 0.0
    for document in documents:
        tokens = torch.tensor([document.tokens], device=model.device)
        labels = torch.tensor(document.labels[1:], device=model.device)
        logits = model(input_ids=tokens, use_cache=False).logits[0, :-1].float()
        loss = loss + F.cross_entropy(logits, labels, ignore_index=common.IGNORED, reduction="sum")
    return loss


def run(options, documents, precision):
    import torch

    model = adapted(options, precision)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=options.lr, weight_decay=0.0)
    total = sum(document.end - document.start for document in documents)
    losses = []
    for step in range(options.steps + 1):
        optimizer.zero_grad()
        loss = 0.0
        learns = step < options.steps
        for start in range(0, len(documents), options.micro):
            mixed = torch.autocast(options.device, torch.bfloat16, enabled=precision == "mixed")
            with torch.set_grad_enabled(learns), mixed:
                part = summed_loss(model, documents[start : start + options.micro]) / total
            if learns:
                part.backward()
            loss += part.item()
        losses.append(round(loss, 6))
        if learns:
            optimizer.step()
    return losses


def write(options):
    """The starting adapter as a PEFT folder, in f32."""
    model = adapted(options, "f32")
    model.save_pretrained(options.write)


def main():
    options = parse()
    common.quiet(options.threads)
    documents = common.load_documents(options)
    if options.write:
        write(options)
        options.adapter = options.write
    for precision in options.precisions.split(","):
        losses = run(options, documents, precision)
        print(json.dumps({"name": f"first-steps {precision}", "lr": options.lr, "losses": losses}), flush=True)


if __name__ == "__main__":
    main()
