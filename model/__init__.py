"""The network. Empty until pretraining lands; the shards it will read are opened in training/."""
