#!/usr/bin/env bash
# sft: corpusmill sft on 1 node(s) with 1 GPU(s) each.
# Start it on every node; SIGTERM makes the trainer save its state and end.
# Rendered by: corpusmill launch --target torchrun
set -euo pipefail

export PYTHONUNBUFFERED=1
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=110

# The configuration as it was when the job was rendered; renamed into place, since several hosts
# may write it.
mkdir -p -- /runs/sft/launch
unfinished=$(mktemp -- /runs/sft/launch/.config.XXXXXX)
printf %s 'seed: 1
device: cuda
dtype: bfloat16
init: /runs/pretrain-1b
data:
  train: /data/chat/train.jsonl
  eval: /data/chat/eval.jsonl
  format: messages
  template: chatml
  sequence_length: 4096
optimizer: {name: adamw, lr: 1.0e-5, weight_decay: 0.0}
schedule: {name: cosine, warmup_steps: 100}
train: {steps: 3000, batch_size: 64, accumulation: 8, log_every: 10}
checkpoint: {every: 500, keep: 2}
validation: {every: 250}
' > "$unfinished"
chmod 644 -- "$unfinished"
mv -f -- "$unfinished" /runs/sft/launch/sft.yaml

exec torchrun --nnodes=1 --nproc-per-node=1 --standalone --max-restarts=3 --no-python \
  corpusmill sft /runs/sft/launch/sft.yaml --set output=/runs/sft
