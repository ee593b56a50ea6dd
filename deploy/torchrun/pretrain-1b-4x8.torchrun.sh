#!/usr/bin/env bash
# pretrain-1b-4x8: corpusmill pretrain on 4 node(s) with 8 GPU(s) each.
# Start it on every node; SIGTERM makes the trainer save its state and end.
# Rendered by: corpusmill launch --target torchrun
set -euo pipefail

export PYTHONUNBUFFERED=1
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=290
export NCCL_SOCKET_IFNAME=eth0
export GLOO_SOCKET_IFNAME=eth0
export NCCL_IB_HCA=mlx5

# The configuration as it was when the job was rendered; renamed into place, since several hosts
# may write it.
mkdir -p -- /runs/pretrain-1b-4x8/launch
unfinished=$(mktemp -- /runs/pretrain-1b-4x8/launch/.config.XXXXXX)
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
mv -f -- "$unfinished" /runs/pretrain-1b-4x8/launch/pretrain-1b-4x8.yaml

exec torchrun --nnodes=4 --nproc-per-node=8 --rdzv-id=pretrain-1b-4x8 --rdzv-backend=c10d --rdzv-endpoint=node-0.example.com:29500 --max-restarts=10 --no-python \
  corpusmill pretrain /runs/pretrain-1b-4x8/launch/pretrain-1b-4x8.yaml --set parallel.dp_replicate=4 --set train.accumulation=1 --set output=/runs/pretrain-1b-4x8
