#!/bin/sh
# Everything on one GPU in one call of less than ten minutes: LoRA r 32 on a random model of Llama-3.2-1B's shape,
# 280 GSM8K rows per step in four micro-steps of at most 16,384 tokens (ours also in two), every step the same rows for all.
#
#     gpu.sh TOKENSIEVE TOKENIZER_FOLDER TRAIN.jsonl [further arguments of run.py]
#
# PEER_PYTHON has torch, transformers, peft, and for TRL trl and datasets. DEVICE=cpu SHAPE=--tiny with `--batch 8
# --documents 8` tries it without a GPU.
set -eu
tokensieve=$1 tokenizer=$2 rows=$3
shift 3
here=$(dirname "$0")
python=${PEER_PYTHON:-python3}
model=$(mktemp -d)
trap 'rm -rf "$model"' EXIT

# shellcheck disable=SC2086 # no argument, or several
"$python" "$here/random_model.py" "$tokenizer" "$model" ${SHAPE:-}

ours="{python} '$here/ours.py' '$tokensieve' {rows} --model {folder} --steps {steps} --batch {batch}"
ours="$ours --documents {documents} --threads {threads} --device {device} --set train.micro_tokens"
"$python" "$here/run.py" "$model" "$rows" --gpu --device "${DEVICE:-cuda}" --python "$python" --within "${WITHIN:-510}" \
    --steps 4 --batch 280 --documents 280 --threads 8 --ours "ours=$ours=16384" --ours "ours=$ours=32768" \
    --ours "ours, distill=$ours=16384 --distill" "$@"
