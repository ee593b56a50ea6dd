"""How large a model, on how many tokens, with how much memory and time: before anything starts."""
