#!/usr/bin/env bash
# pretrain-1b: corpusmill pretrain on 1 node(s) with 8 GPU(s) each.
# Start it on every node; SIGTERM makes the trainer save its state and end.
# Rendered by: corpusmill launch --target torchrun
set -euo pipefail

export PYTHONUNBUFFERED=1
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=110

# The configuration as it was when the job was rendered; renamed into place, since several hosts
# may write it.
mkdir -p -- /runs/pretrain-1b/launch
unfinished=$(mktemp -- /runs/pretrain-1b/launch/.config.XXXXXX)
printf %s '# About one billion parameters, for 8 GPUs of 80 GB and more.
seed: 1
device: cuda
dtype: bfloat16
data:
  manifest: /data/shards/manifest.json
  sequence_length: 4096
model:
  dim: 2048
  n_layers: 20
  n_heads: 16
  n_kv_heads: 8
  max_seq_len: 4096
optimizer: {name: adamw, lr: 3.0e-4, weight_decay: 0.1}
schedule: {name: wsd, warmup_steps: 2000}
train: {steps: 100000, batch_size: 512, accumulation: 4, z_loss: 1.0e-4, log_every: 10}
parallel: {dp_shard: 8}
checkpoint: {every: 1000, keep: 3}
validation: {every: 1000}
' > "$unfinished"
chmod 644 -- "$unfinished"
mv -f -- "$unfinished" /runs/pretrain-1b/launch/pretrain-1b.yaml

exec torchrun --nnodes=1 --nproc-per-node=8 --standalone --max-restarts=3 --no-python \
  corpusmill pretrain /runs/pretrain-1b/launch/pretrain-1b.yaml --set output=/runs/pretrain-1b
