"""The peer most people use: TRL's SFTTrainer as shipped, LoRA on all linear layers, loss on the response only.

Its defaults stay: bf16 mixed precision, gradient checkpointing, its chunked loss, clipping at 1. Set are what the
comparison fixes (examples in file order, batch, learning rate, no warm-up) and what would only cost it time
(saving, reporting elsewhere). What its documentation advises for speed is asked for by arguments.
"""

import tempfile

import common


def parse():
    parser = common.arguments(__doc__.splitlines()[0])
    parser.add_argument("--per-device", type=int, default=8, help="documents per micro-batch")
    parser.add_argument("--no-checkpointing", action="store_true", help="gradient checkpointing off")
    parser.add_argument("--dtype", default="float32", help="of the base's weights; TRL's own default is float32")
    parser.add_argument("--f32", action="store_true", help="no mixed precision")
    parser.add_argument("--by-length", action="store_true", help="documents sorted by length: less padding")
    parser.add_argument("--padding-free", action="store_true", help="a micro-batch packed in one row")
    parser.add_argument("--attention", help="transformers' name, such as flash_attention_2; its default is sdpa")
    parser.add_argument("--liger", action="store_true", help="Liger's kernels")
    parser.add_argument("--sieve", metavar="OBJECTIVE", help="our SieveTrainer in its place, with this objective")
    parser.add_argument("--name", default="trl")
    options = parser.parse_args()
    if options.by_length and options.batch != options.documents:
        parser.error("--by-length wants all documents in every step, or steps are not the others'")
    return options


def same_tokens(trainer, documents):
    """The trainer's own preparation gives our tokens and labels, or this comparison is not one."""
    for row, (theirs, ours) in enumerate(zip(trainer.train_dataset, documents)):
        if theirs["input_ids"] != ours.tokens or theirs["labels"] != ours.labels:
            raise SystemExit(f"row {row}: TRL's tokens or labels are not common.py's")


def main():
    options = parse()
    common.quiet(options.threads)
    import torch
    from datasets import Dataset
    from torch.utils.data import SequentialSampler
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    tokenizer = common.load_tokenizer(options.folder)
    pairs = common.conversations(options.rows, options.documents)
    documents = common.render(tokenizer, pairs, options.past_end_of_turn)
    batches = common.batches(documents, options.batch, options.steps)
    clock = common.Clock(options.device)
    if options.by_length:
        order = sorted(range(len(documents)), key=lambda place: len(documents[place].tokens))
        pairs, documents = ([rows[place] for place in order] for rows in (pairs, documents))
    if options.past_end_of_turn:
        columns = {"prompt": [prompt for prompt, _ in pairs], "completion": [completion for _, completion in pairs]}
    else:
        columns = {
            "input_ids": [document.tokens for document in documents],
            "labels": [document.labels for document in documents],
        }

    class Timing(TrainerCallback):
        def on_step_begin(self, *_, **__):
            clock.start()

        def on_step_end(self, *_, **__):
            clock.stop(batches[len(clock.seconds)], 0.0)

        def on_log(self, args, state, control, logs=None, **__):
            if logs and "loss" in logs:
                clock.losses[state.global_step - 1] = round(float(logs["loss"]), 6)

    extra, base = {}, SFTTrainer
    if options.sieve:
        from tokensieve.trl import SieveTrainer

        extra, base = {"objective": options.sieve}, SieveTrainer

    class InOrder(base):
        # The option for it has another name in each of transformers' versions, or none.
        def _get_train_sampler(self, *_):
            return SequentialSampler(self.train_dataset)

    with tempfile.TemporaryDirectory() as scratch:
        config = SFTConfig(
            output_dir=scratch,
            per_device_train_batch_size=options.per_device,
            gradient_accumulation_steps=options.batch // options.per_device,
            max_steps=options.steps,
            learning_rate=options.lr,
            lr_scheduler_type="constant",
            seed=options.seed,
            use_cpu=options.device == "cpu",
            save_strategy="no",
            report_to="none",
            logging_steps=1,
            disable_tqdm=True,
            model_init_kwargs={"dtype": options.dtype}
            | ({"attn_implementation": options.attention} if options.attention else {}),
            use_liger_kernel=options.liger,
            **({"padding_free": True, "max_length": None} if options.padding_free else {}),
            **({"bf16": False} if options.f32 else {}),
            **({"gradient_checkpointing": False} if options.no_checkpointing else {}),
        )
        trainer = InOrder(
            model=options.folder,
            args=config,
            train_dataset=Dataset.from_dict(columns),
            processing_class=tokenizer,
            peft_config=common.lora_config(options.rank, options.alpha),
            callbacks=[Timing()],
            **extra,
        )
        same_tokens(trainer, documents)
        if options.adapter:
            common.copy_adapter(options.adapter, trainer.model)
        trainer.train()
    common.report(
        options.name,
        clock,
        checkpointing=not options.no_checkpointing,
        per_device=options.per_device,
        dtype=options.dtype,
        mixed="no" if options.f32 else "bf16",
        **({"packed": True} if options.padding_free else {}),
        **({"liger": True} if options.liger else {}),
        **({"sieve": options.sieve} if options.sieve else {}),
        torch=torch.__version__,
    )


if __name__ == "__main__":
    main()
