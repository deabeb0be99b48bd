"""What a report is drawn from: nothing else is read, so a report can be made again from a stored version."""

from __future__ import annotations

from dataclasses import dataclass, field

from qstar_core.records import (
    FunnelStep,
    GateReport,
    JsonObject,
    MixSummary,
    ModelRef,
    PromptPair,
    Sample,
    Trace,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class ShownSample:
    """One sample told in full. `tokens` are the texts of `trace.token`; trace is None where the sample failed."""

    sample: Sample
    verdict: Verdict
    pair: PromptPair
    tokens: tuple[str, ...]
    trace: Trace | None
    answer: str | None


@dataclass(frozen=True, slots=True)
class ReportData:
    """`replay` counts the rows of earlier versions, by version; the funnel does not."""

    dataset: str
    version: str
    round: str
    created: str
    funnel: tuple[FunnelStep, ...]
    gate: GateReport
    models: dict[str, ModelRef]
    settings: JsonObject
    speed: dict[str, float]
    summaries: tuple[MixSummary, ...]
    samples: tuple[ShownSample, ...]
    replay: dict[str, int] = field(default_factory=dict)
