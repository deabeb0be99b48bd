"""What the gate looks at: a refined round as columns, and the versions before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qstar_core.gate.bootstrap import Codes, Values

Ids = npt.NDArray[Any]
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Samples:
    """Every sample of the round, kept or not. `passed`: no filter dropped it, whether it was chosen or not. `columns`
    are those of MixSummary; NaN is null."""

    id_N: Ids
    prompt_N: Codes
    kept_N: npt.NDArray[np.bool_]
    passed_N: npt.NDArray[np.bool_]
    failed_N: npt.NDArray[np.bool_]
    columns: dict[str, Values]


@dataclass(frozen=True, slots=True)
class Texts:
    """The kept rows. `hash_N` names the whole conversation, white space aside; `vocabulary_N_V` counts the previous
    version's most frequent words in each completion, all others in the last column."""

    id_N: Ids
    prompt_N: Codes
    tokens_N: Values
    words_N: Values
    hedges_N: Values
    leaks_N: npt.NDArray[np.bool_]
    hash_N: Hashes
    vocabulary_N_V: Values


@dataclass(frozen=True, slots=True)
class Previous:
    """The version before: its lengths, and how often its most frequent words occur, all others at the end."""

    version: str
    tokens_N: Values
    words: tuple[str, ...]
    counts_V: Values


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """What one suite of expectations found: `failed` tells each in a line, `ids` names rows that are at fault."""

    name: str
    expectations: int
    failed: tuple[str, ...]
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Given:
    samples: Samples
    texts: Texts | None
    previous: Previous | None
    earlier: Hashes
    suites: tuple[SuiteResult, ...]
    method: str
