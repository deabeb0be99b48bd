"""What a report is drawn from: nothing else is read, so a report can be made again from a stored version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from qstar_core.records import (
    FunnelStep,
    GateReport,
    JsonObject,
    ModelRef,
    PromptPair,
    Sample,
    Trace,
    Verdict,
)

Values = npt.NDArray[np.float64]
# The columns of MixSummary over all samples that have one; NaN where there is no such number.
Summaries = Mapping[str, Values]


@dataclass(frozen=True, slots=True)
class ShownSample:
    """One sample of the browser. `tokens` are the texts of `trace.token`; trace is None where the sample failed, was
    sampled without diagnostics, or is not told token by token."""

    sample: Sample
    verdict: Verdict
    pair: PromptPair
    tokens: tuple[str, ...]
    trace: Trace | None
    answer: str | None


@dataclass(frozen=True, slots=True)
class ReportData:
    """`replay` counts the rows of earlier versions, by version; the funnel does not. `samples` are those that the
    browser may show, the most wanted first, out of `total`; the page is to stay below `megabytes`. `files` lie
    beside the page."""

    dataset: str
    version: str
    round: str
    created: str
    funnel: tuple[FunnelStep, ...]
    gate: GateReport
    models: dict[str, ModelRef]
    settings: JsonObject
    speed: dict[str, float]
    summaries: Summaries
    samples: tuple[ShownSample, ...]
    total: int
    megabytes: float
    replay: dict[str, int] = field(default_factory=dict)
    files: tuple[str, ...] = ()
