"""Importance weights π_θ/q* of drawn completions: truncated, then self-normalised to a mean of 1.

Contract: no weight is above `max_weight` before normalising; equal ratios give equal weights; ESS = (Σw)²/Σw² is
between 1 and the number of weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from qstar_core.errors import DataError

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Weights:
    """One array a completion, as long as it; `ess` counts completions (or tokens), `share` is it over their number."""

    tokens: tuple[Values, ...]
    ess: float
    share: float
    truncated: float

    @property
    def metrics(self) -> dict[str, float]:
        return {"ess": self.ess, "ess_share": self.share, "truncated_share": self.truncated}


def importance_weights(log_ratios: Sequence[Sequence[float]], level: Literal["token", "sequence"],
                       max_weight: float) -> Weights:
    """`log_ratios` are log π_θ − log q of every token of every completion."""
    arrays = [np.asarray(ratios, dtype=np.float64) for ratios in log_ratios]
    flat = np.concatenate(arrays) if level == "token" else np.asarray([ratios.sum() for ratios in arrays])
    raw = np.exp(np.minimum(flat, np.log(max_weight)))
    if not raw.sum() > 0:
        raise DataError("every importance weight is 0: the student gives the drawn completions no probability",
                        "sample a new round from this student")
    lengths = [len(ratios) for ratios in arrays]
    each = raw if level == "token" else np.repeat(raw, lengths)
    each = each / each.mean()
    ess = float(raw.sum() ** 2 / (raw ** 2).sum())
    ends = np.cumsum(lengths)[:-1]
    return Weights(tuple(np.split(each, ends)), ess, ess / len(raw), float((flat > np.log(max_weight)).mean()))
