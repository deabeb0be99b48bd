"""The samples that checks object to, with the beginning of what they say: printable, short, on one line."""

from __future__ import annotations

import json
from pathlib import Path

from qstar_core.gate.reading import completions
from qstar_core.records import GateCheck, GateReport

_LONGEST = 120


def with_texts(report: GateReport, data: Path, rejects: Path) -> GateReport:
    """The report with a text at each example that has one: kept rows are in `data`, all others in `rejects`."""
    wanted = frozenset(example.sample_id for check in report.checks for example in check.examples)
    if not wanted:
        return report
    texts = dict(completions(data, wanted))
    with rejects.open(encoding="utf-8", errors="surrogatepass") as lines:
        for line in lines:
            row = json.loads(line)
            if row["sample_id"] in wanted:
                texts.setdefault(row["sample_id"], f"[{row['reason']}] {row['completion'] or ''}")
    return report.model_copy(update={"checks": tuple(_told(check, texts) for check in report.checks)})


def _told(check: GateCheck, texts: dict[str, str]) -> GateCheck:
    examples = tuple(example.model_copy(update={"text": short(texts.get(example.sample_id, ""))})
                     for example in check.examples)
    return check.model_copy(update={"examples": examples})


def short(text: str) -> str:
    line = " ".join(text.split())
    cut = line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
    return "".join(c if c.isprintable() else f"[U+{ord(c):04X}]" for c in cut)
