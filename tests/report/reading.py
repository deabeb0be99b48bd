"""The samples of a report's page, unpacked as its script unpacks them."""

from __future__ import annotations

import base64
import json
import re
import zlib
from typing import Any

_BLOCK = re.compile(r'<script type="application/json\+deflate" id="block-([a-z]+(?:-\d+)?)">([A-Za-z0-9+/=]*)</script>')


def blocks(page: str) -> dict[str, Any]:
    return {name: json.loads(zlib.decompress(base64.b64decode(data))) for name, data in _BLOCK.findall(page)}


def samples(page: str) -> list[dict[str, Any]]:
    """Every listed sample: its line of the list, `texts`, and `told`, its tokens, or None."""
    found = blocks(page)
    if not found:
        return []
    index = found["index"]
    columns = index["columns"]
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    for at, row in enumerate(rows):
        row |= dict(zip(("outcome", "stage", "reason"), index["reasons"][row["why"]], strict=True))
        row["texts"] = found[f"texts-{at // index['texts_a_block']}"][at % index["texts_a_block"]]
        place, size = row["trace"], index["tokens_a_block"]
        row["told"] = None if place is None else found[f"tokens-{place // size}"][place % size]
    return rows
