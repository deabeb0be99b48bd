"""What an export format is: the kinds of rows it takes, one row of each, and the small files beside the data.

A format is pure: it makes values. Writing, splitting and the card are the same for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from qstar_core.exports.kinds import Item, Kind
from qstar_core.records import JsonObject

TURN = pa.struct([("role", pa.string()), ("content", pa.string())])
TURNS = pa.list_(TURN)


@dataclass(frozen=True, slots=True)
class Made:
    """What was written. `tag` names the content; `files` are relative to the folder, by split, of which the validation
    split may be empty."""

    kind: Kind
    tag: str
    dataset: str
    version: str
    student: str
    files: dict[str, tuple[str, ...]]
    rows: dict[str, int]

    @property
    def train(self) -> tuple[str, ...]:
        return self.files["train"]

    @property
    def validation(self) -> tuple[str, ...]:
        return self.files.get("validation", ())


class Format(Protocol):
    """`schema` is given where the data are Parquet, made from that of the version's `data`; without one they are JSON
    lines."""

    @property
    def name(self) -> str: ...

    @property
    def about(self) -> str: ...

    @property
    def kinds(self) -> tuple[Kind, ...]: ...

    def schema(self, kind: Kind, data: pa.Schema) -> pa.Schema | None: ...

    def row(self, item: Item, split: str, index: int) -> JsonObject: ...

    def configuration(self, made: Made) -> dict[str, str]:
        """File name → content."""
        ...
