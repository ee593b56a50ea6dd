"""Numbers as people read them; pure functions that the templates know as filters."""

from __future__ import annotations

_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_COUNT_UNITS = ("", "k", "M", "G", "T")


def count(number: int) -> str:
    """12345 -> 12,345."""
    return f"{number:,}"


def things(number: int, noun: str) -> str:
    """1 file, 2 files."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def percent(part: float, whole: float) -> str:
    """A share to one decimal; what is there but rounds to nothing says so."""
    if not whole:
        return "–"
    share = 100 * part / whole
    if 0 < share < 0.05:
        return "<0.1%"
    if 99.95 <= share < 100:
        return ">99.9%"
    return f"{share:.1f}%"


def share(percents: float) -> str:
    """A published share with the digits it was published with."""
    return f"{percents:g}%"


def size(number_bytes: float) -> str:
    """Bytes in decimal units: 1234567 -> 1.2 MB."""
    return _scaled(number_bytes, _BYTE_UNITS, " ")


def short(number: float) -> str:
    """A count in few characters, for axes and tiles: 1234567 -> 1.2M."""
    return _scaled(number, _COUNT_UNITS, "")


def _scaled(number: float, units: tuple[str, ...], gap: str) -> str:
    value, unit = float(number), 0
    while abs(value) >= 999.5 and unit < len(units) - 1:
        value, unit = value / 1000, unit + 1
    digits = f"{value:.1f}" if unit and abs(value) < 99.95 else f"{value:.0f}"
    return f"{digits.removesuffix('.0')}{gap}{units[unit]}"


def duration(seconds: float) -> str:
    """12.3 s, 4 min 5 s, 2 h 03 min."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02d} min"


def number(value: float | None) -> str:
    """A measured value to four significant digits; nothing where there is none."""
    if value is None:
        return "–"
    if value == int(value) and abs(value) < 1e12:
        return f"{int(value):,}"
    if 1000 <= abs(value) < 1e12:
        return f"{value:,.0f}"
    return f"{value:.4g}"


FILTERS = {
    "count": count,
    "things": things,
    "percent": percent,
    "share": share,
    "size": size,
    "short": short,
    "duration": duration,
    "number": number,
}
