"""A version with enough samples for pages of the list, and known numbers."""

from __future__ import annotations

from functools import cache

from qstar_core.records import Outcome
from qstar_core.report.data import ReportData, ShownSample
from qstar_core.report.render import render_report
from tests.report.example import report_data, shown_of

COUNT = 240
KINDS = ((Outcome.KEPT, ""), (Outcome.DROPPED, "wrong answer"), (Outcome.DROPPED, "exact duplicate"),
         (Outcome.FAILED, "engine error"))


@cache
def version() -> ReportData:
    return report_data(tuple(_sample(index) for index in range(COUNT)), total=10_000)


@cache
def report() -> str:
    return render_report(version())


def _sample(index: int) -> ShownSample:
    outcome, reason = KINDS[index % len(KINDS)]
    return shown_of(index, id=f"sample{index:04d}", outcome=outcome, reason=reason, length=20 + index % 50,
                    question=f"Question {index}: how many CLIPS?", answer=str(index), prompt=f"p{index % 60}",
                    duplicate_of=f"sample{index - 2:04d}" if reason == "exact duplicate" else "")
