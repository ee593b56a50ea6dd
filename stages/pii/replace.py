"""What stands in for a value: chosen by a hash of the value, never by order or worker.

Every stand-in is reserved for documentation or invalid by construction, and recognised again as a
stand-in, so that scrubbing twice changes nothing. Hashes are short on purpose: many values share
a stand-in, which keeps it from confirming a guess at the value behind it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable


def _number(kind: str, value: str, below: int) -> int:
    """A number in [0, below) that depends on the kind and the value alone."""
    digest = hashlib.blake2b(
        value.encode("utf-8", "surrogatepass"), digest_size=8, person=kind.encode()
    ).digest()
    return int.from_bytes(digest, "little") % below


def _email(value: str) -> str:
    return f"user-{_number('email', value, 1 << 16):04x}@example.com"


def _ip(value: str) -> str:
    if ":" in value:
        return f"2001:db8::{_number('ip', value, 0xFFFF) + 1:x}"
    block, host = divmod(_number("ip", value, 3 * 254), 254)
    return f"{('192.0.2', '198.51.100', '203.0.113')[block]}.{host + 1}"


def _phone(value: str) -> str:
    return f"555-01{_number('phone', value, 100):02d}"


def _credit_card(value: str) -> str:
    stem, choice = divmod(_number("credit_card", value, 9000), 9)
    # Zeros add nothing to Luhn's sum, so the last four digits decide; nine of ten are wrong.
    wrong = [digit for digit in range(10) if not _luhn(f"{stem:03d}{digit}")]
    return f"0000-0000-0000-{stem:03d}{wrong[choice]}"


def _iban(value: str) -> str:
    return f"XX00{_number('iban', value, 10**16):016d}"


def _name(value: str) -> str:
    return f"Person-{_number('name', value, 1 << 16):04x}"


def _luhn(digits: str) -> bool:
    doubled = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits))]
    return sum(n - 9 if n > 9 else n for n in doubled) % 10 == 0


REPLACERS: dict[str, Callable[[str], str]] = {
    "email": _email,
    "ip": _ip,
    "phone": _phone,
    "credit_card": _credit_card,
    "iban": _iban,
    "name": _name,
}
"""Kind -> stand-in for a normalised value. example.com is reserved (RFC 2606), the IP blocks are
for documentation (RFC 5737, RFC 3849), 555-0100 to 555-0199 are for fiction (NANP), no issuer
number begins with 0 and no country is XX with check digits 00 (ISO 13616 uses 02 to 98)."""

_STAND_IN = re.compile(
    r"user-[0-9a-f]{4}@example\.com|(?<!\d)555-01\d\d(?!\d)|0000-0000-0000-\d{4}(?!\d)"
    r"|XX00\d{16}(?!\d)|Person-[0-9a-f]{4}\b|192\.0\.2\.\d+|198\.51\.100\.\d+|203\.0\.113\.\d+"
    r"|2001:db8::[0-9a-f]{1,4}\b"
)


def stand_ins(text: str) -> list[tuple[int, int]]:
    """(start, end) of every stand-in in the text; nothing that overlaps one is personal data."""
    return [match.span() for match in _STAND_IN.finditer(text)]
