"""`make bench NAME=report`: the page of 5,000 samples in a real browser, and how a round of 100,000 becomes a page.

The browser is the Chromium of this machine. Loading counts from the beginning of navigation until the list can be used
and a sample is open; a filter's answer from the event until its rows stand in the list.
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.results import Figure, record
from qstar_core.records import (
    FinishReason,
    GateReport,
    Message,
    MixSummary,
    Outcome,
    PromptPair,
    Role,
    Sample,
    Trace,
    Verdict,
)
from qstar_core.report.data import ReportData, ShownSample
from qstar_core.report.render import render_report

_TURNS, _TOKENS, _LISTED, _TOLD, _MEGABYTES = 5, 100, 5_000, 1_000, 10.0
_WORDS = np.asarray([f"word{index}" for index in range(2_000)])
_FILTERS = (("alpha_mean-low", "0.45"), ("ess_ratio_mean-high", "1.0"), ("words", "word17"), ("words", "word1 word"),
            ("tokens-low", "1"))
_FILTER = """async ([name, value]) => {
    const field = document.getElementById("filters").elements[name];
    const since = performance.now();
    const told = new Promise(done => new MutationObserver((_, watch) => { watch.disconnect(); done(); })
        .observe(document.getElementById("rows"), {childList: true}));
    field.value = value;
    field.dispatchEvent(new Event("input", {bubbles: true}));
    await told;
    return performance.now() - since;
}"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        small = _built(Path(folder), 5_000)
        loads, filters = _browsed(Path(folder) / "5000.html")
        large = _built(Path(folder), 100_000)
    record("report", [
        Figure("report-5k-file", small[0], "MB", goal=_MEGABYTES),
        Figure("report-5k-load-seconds", statistics.median(loads), f"s until it can be used, median of {_TURNS}", 2),
        Figure("report-5k-filter-milliseconds", statistics.median(filters),
               f"ms, median of {len(filters)}; the slowest {max(filters):.0f}", 100),
        Figure("report-5k-build-seconds", small[1], "CPU s"),
        Figure("report-100k-file", large[0], "MB", goal=_MEGABYTES),
        Figure("report-100k-build-seconds", large[1], "CPU s"),
        Figure("report-100k-peak-memory", large[2], "MB"),
    ], "make bench NAME=report", f"{_TOKENS} tokens a sample, {_LISTED:,} samples listed and {_TOLD:,} told token by "
       "token as by default; building begins with the samples in memory and includes the figures.")


def _built(folder: Path, samples: int) -> tuple[float, float, float]:
    done = subprocess.run([sys.executable, "-m", "benchmarks.report", str(folder / f"{samples}.html"), str(samples)],
                          capture_output=True, text=True, check=True)
    megabytes, seconds, peak = map(float, done.stdout.split())
    return megabytes, seconds, peak


def build(path: Path, samples: int) -> None:
    data = ReportData(
        dataset="bench", version="1-00000000", round="1", created="2026-01-01T00:00:00Z", funnel=(),
        gate=GateReport(checks=()), models={}, settings={}, speed={}, total=samples, megabytes=_MEGABYTES,
        summaries={name: np.random.default_rng(1).uniform(0.1, 1.0, samples) for name in MixSummary.model_fields},
        samples=tuple(_shown(min(samples, _LISTED))),
    )
    since = time.process_time()
    path.write_text(render_report(data), encoding="utf-8")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(path.stat().st_size / 1e6, time.process_time() - since, peak)


def _shown(count: int) -> Iterator[ShownSample]:
    rng = np.random.default_rng(0)
    summary = dict.fromkeys(MixSummary.model_fields, 0.5) | {
        name: 5 for name, field in MixSummary.model_fields.items() if field.annotation is int}
    for index in range(count):
        words = tuple(f" {word}" for word in rng.choice(_WORDS, _TOKENS))
        question = " ".join(rng.choice(_WORDS, 40))
        outcome, reason = ((Outcome.KEPT, ""), (Outcome.DROPPED, "wrong answer"))[index % 2]
        trace = None
        if index < _TOLD:
            numbers = {name: rng.uniform(0, 1, _TOKENS).astype(np.float32) for name in Trace.__dataclass_fields__
                       if not name.startswith("top_")}
            trace = Trace(**numbers | {name: np.zeros(_TOKENS, np.int32) for name in ("token", "status")})
        yield ShownSample(
            sample=Sample(id=f"{rng.integers(2**63):016x}", prompt_id="p", draw=0, completion="".join(words),
                          token_ids=(1,) * _TOKENS, finish_reason=FinishReason.STOP, seed=0, max_tokens=_TOKENS,
                          summary=MixSummary(**summary | {"alpha_mean": rng.uniform(),
                                                          "ess_ratio_mean": 2 * rng.uniform()})),
            verdict=Verdict(sample_id="s", prompt_id="p", outcome=outcome, reason=reason),
            pair=PromptPair(prompt_id="p", student_messages=(Message(role=Role.USER, content=question),),
                            student_text=question, teacher_text=f"{question} the answer is 17", student_ids=(1,),
                            teacher_ids=(1,)),
            tokens=words if trace else (), trace=trace, answer="17")


def _browsed(path: Path) -> tuple[list[float], list[float]]:
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    loads, filters = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, chromium_sandbox=os.geteuid() != 0)
        for _ in range(_TURNS):
            page = browser.new_page()
            page.goto(path.as_uri())
            page.wait_for_selector("html[data-ready]", state="attached")
            loads.append(page.evaluate("performance.getEntriesByName('samples-ready')[0].startTime") / 1e3)
            filters += [page.evaluate(_FILTER, list(asked)) for asked in _FILTERS]
            page.close()
        browser.close()
    return loads, filters


if __name__ == "__main__":
    build(Path(sys.argv[1]), int(sys.argv[2])) if len(sys.argv) > 1 else main()
