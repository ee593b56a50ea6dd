"""One model over many devices: how ranks are laid out, and the plans that are laid over a model."""
