"""Parameter-efficient training: small weights beside a frozen model. Imports no torch."""
