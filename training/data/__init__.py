"""Training data: token shards, and what is built on them. Importing it does not load torch."""
