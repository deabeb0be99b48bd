"""Whether a new student takes the old one's place: every reason with its statistic, interval and threshold."""

from __future__ import annotations

from enum import StrEnum

from qstar_core.records import Record


class Outcome(StrEnum):
    PROMOTE = "promote"
    KEEP = "keep"


class Reason(Record):
    """One thing that was asked. `value` with `low` and `high` is what was found, `threshold` what it is compared with,
    `p` the test's where there is one; `told` says it in words."""

    name: str
    passed: bool
    value: float | None = None
    low: float | None = None
    high: float | None = None
    threshold: float | None = None
    p: float | None = None
    told: str


class Decision(Record):
    """Promoted only where every reason passed. `old` and `new` are hashes of the checkpoints' own files; `old` is None
    where there was nobody to compare with."""

    old: str | None
    new: str
    suite: str
    reasons: tuple[Reason, ...]

    @property
    def outcome(self) -> Outcome:
        return Outcome.PROMOTE if all(reason.passed for reason in self.reasons) else Outcome.KEEP

    @property
    def objections(self) -> str:
        """What spoke against it, in one line."""
        return "; ".join(f"{reason.name}: {reason.told}" for reason in self.reasons if not reason.passed)
