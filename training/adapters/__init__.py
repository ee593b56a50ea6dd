"""Training a few weights beside a frozen model."""
