"""Text of datasets and models, made fit to be shown.

`visible` never lets a character change how the page around it is read: control characters become their pictures,
direction overrides become their code points, and what UTF-8 cannot carry becomes U+FFFD. Escaping is the template's.
"""

from __future__ import annotations

import math
import re

_DIRECTION_CONTROLS = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
_SHOWN: dict[int, int | str] = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"},
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), "\ufffd"),
    **{code: f"[U+{code:04X}]" for code in _DIRECTION_CONTROLS},
}
_SURROGATES = re.compile("[\ud800-\udfff]")


def visible(text: str) -> str:
    """The text with every character that would be invisible, harmful or not encodable made visible."""
    return _SURROGATES.sub("\ufffd", text.replace("\r\n", "\n")).translate(_SHOWN)


def cut(text: str, limit: int) -> str:
    """At most `limit` characters of the visible text, and a note of how many more there were."""
    if len(text) <= limit:
        return visible(text)
    return f"{visible(text[:limit])}… [{len(text) - limit:,} more characters]"


def number(value: float | None, digits: int = 3) -> str:
    """A number as a person writes it, with at least `digits` significant digits. What is no number says so."""
    if value is None:
        return "—"
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    if abs(value) < 1e-4:
        return f"{value:.{digits - 1}e}".replace("-", "−")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    shown = f"{value:,.{decimals}f}"
    return (shown.rstrip("0").rstrip(".") if "." in shown else shown).replace("-", "−")


def percent(share: float | None) -> str:
    return "—" if share is None else f"{100 * share:.1f} %"
