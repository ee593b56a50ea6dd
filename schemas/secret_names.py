"""What is a secret by its name or by its looks, so that it is not written into a file."""

from __future__ import annotations

import re

_ENDINGS = ("TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "KEY", "CREDENTIAL")

_LOOKS = re.compile(
    r"hf_[A-Za-z0-9]{20}"  # Hugging Face
    r"|gh[pousr]_[A-Za-z0-9]{20}|github_pat_"
    r"|glpat-[A-Za-z0-9_-]{16}"
    r"|\b(AKIA|ASIA)[A-Z0-9]{16}\b"  # AWS access key ids
    r"|\bsk-[A-Za-z0-9_-]{20}"
    r"|\bxox[abprs]-"  # Slack
    r"|\bya29\."  # Google OAuth
    r"|\beyJ[A-Za-z0-9_-]{10,}\.eyJ"  # JSON web tokens
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|://[^/\s:@]+:[^/\s@]+@"  # user:password@host
)


def names_a_secret(name: str) -> bool:
    """Whether a word of an environment variable's name ends as secrets do: HF_TOKEN, APIKEY,
    DB_PASSWORD_FILE, but not TOKENIZERS_PARALLELISM."""
    words = (word.removesuffix("S") for word in name.upper().split("_"))
    return any(word.endswith(_ENDINGS) for word in words)


def looks_secret(value: str) -> bool:
    """Whether a value has the form of a well-known kind of access token, a private key or a URL
    with a password."""
    return _LOOKS.search(value) is not None
