"""What the worker is told about the mixture: plain data, because the worker may be another process."""

from __future__ import annotations

from qstar_core.config import AlphaSettings, EngineSettings, SamplingSettings, SupportSettings
from qstar_core.records import Record


class MixOrder(Record):
    """`special_ids`: what ends a turn, and every control token. `vocab`: the columns that mean something. `stop`: what
    a row is given that must end."""

    alpha: AlphaSettings
    sampling: SamplingSettings
    support: SupportSettings
    engine: EngineSettings
    special_ids: frozenset[int]
    vocab: int
    stop: int
