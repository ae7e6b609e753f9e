"""The peer most people use: TRL's SFTTrainer as shipped, LoRA on all linear layers, loss on the response only.

Its defaults stay: bf16 mixed precision, gradient checkpointing, its chunked loss, clipping at 1. Set are what the
comparison fixes (examples in file order, batch, learning rate, no warm-up) and what would only cost it time
(saving, reporting elsewhere).
"""

import tempfile

import common


def parse():
    parser = common.arguments(__doc__.splitlines()[0])
    parser.add_argument("--per-device", type=int, default=8, help="documents per micro-batch")
    parser.add_argument("--no-checkpointing", action="store_true", help="gradient checkpointing off")
    parser.add_argument("--dtype", default="float32", help="of the base's weights; TRL's own default is float32")
    parser.add_argument("--f32", action="store_true", help="no mixed precision")
    parser.add_argument("--name", default="trl")
    return parser.parse_args()


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
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    tokenizer = common.load_tokenizer(options.folder)
    pairs = common.conversations(options.rows, options.documents)
    documents = common.render(tokenizer, pairs, options.past_end_of_turn)
    batches = common.batches(documents, options.batch, options.steps)
    clock = common.Clock()
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

    with tempfile.TemporaryDirectory() as scratch:
        config = SFTConfig(
            output_dir=scratch,
            per_device_train_batch_size=options.per_device,
            gradient_accumulation_steps=options.batch // options.per_device,
            max_steps=options.steps,
            learning_rate=options.lr,
            lr_scheduler_type="constant",
            train_sampling_strategy="sequential",
            seed=options.seed,
            use_cpu=True,
            save_strategy="no",
            report_to="none",
            logging_steps=1,
            disable_tqdm=True,
            model_init_kwargs={"dtype": options.dtype},
            **({"bf16": False} if options.f32 else {}),
            **({"gradient_checkpointing": False} if options.no_checkpointing else {}),
        )
        trainer = SFTTrainer(
            model=options.folder,
            args=config,
            train_dataset=Dataset.from_dict(columns),
            processing_class=tokenizer,
            peft_config=common.lora_config(options.rank, options.alpha),
            callbacks=[Timing()],
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
        torch=torch.__version__,
    )


if __name__ == "__main__":
    main()
