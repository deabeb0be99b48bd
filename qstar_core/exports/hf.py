"""All columns of the kept rows as Parquet with a card: what `load_dataset` reads, from the folder or the hub."""

from __future__ import annotations

import pyarrow as pa

from qstar_core.exports.base import Made
from qstar_core.exports.kinds import Conversation, Item, Kind
from qstar_core.records import JsonObject


class Hf:
    name, about = "hf", "`datasets`"
    kinds = (Kind.CONVERSATIONS,)

    def schema(self, kind: Kind, data: pa.Schema) -> pa.Schema | None:
        return data

    def row(self, item: Item, split: str, index: int) -> JsonObject:
        match item:
            case Conversation():
                return item.row
            case _:
                raise TypeError(f"{self.name} has no rows of this kind")

    def configuration(self, made: Made) -> dict[str, str]:
        return {}
