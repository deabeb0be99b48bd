"""What filters are given beside their options, by those who may load models and read stores. Nothing is loaded until a
filter asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

from qstar_core.errors import ConfigError
from qstar_core.records import Floats, Message


class Embedder(Protocol):
    def encode(self, texts: Sequence[str]) -> Floats:
        """One row of length 1 a text."""
        ...


class Scorer(Protocol):
    def score(self, prompts: Sequence[tuple[Message, ...]], completions: Sequence[str]) -> list[float]:
        """One raw number a reply, higher is better."""
        ...

    def probability(self, raw: float) -> float:
        """That a reply with this score is a good one. ConfigError where the scorer is not calibrated."""
        ...


@dataclass(frozen=True, slots=True)
class EarlierRow:
    """A row of the version before this one."""

    prompt_id: str
    completion: str


def _absent(*_: str) -> NoReturn:
    raise ConfigError("this filter needs a round to run in", "run it through `qstar refresh`")


@dataclass(frozen=True, slots=True)
class FilterContext:
    """`cache` outlives the round; `texts` are the questions and solutions of a source; `earlier` the rows of the
    version before; `present` raises where a checkpoint is missing, `calibrated` where it gives no probabilities,
    `embedder` and `scorer` load it."""

    cache: Path | None = None
    texts: Callable[[str], Iterator[str]] = _absent
    earlier: Callable[[], Iterator[EarlierRow]] = _absent
    present: Callable[[str], object] = _absent
    calibrated: Callable[[str], object] = _absent
    embedder: Callable[[str], Embedder] = _absent
    scorer: Callable[[str], Scorer] = _absent


NO_CONTEXT = FilterContext()
