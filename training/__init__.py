"""What trains on the shards. Today: the shard reader, which needs numpy and no torch."""
