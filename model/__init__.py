"""The network: a Llama-family decoder and its parts."""
