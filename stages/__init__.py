"""What happens to a document: pure Python, one module a step, no Beam, no I/O of its own."""
