"""How the samples of a cell were mixed: traces in, a few numbers out.

`ess_ratio` is exp(mean log ESS_θ/ESS_t) and `alpha_within` the share of tokens whose α is in the gate's range, both
over all tokens drawn that have one. `leaked` is the share of kept samples that give the answer alone where the problem
has a worked solution, or that betray a hint.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from qstar_core.config import Range
from qstar_core.experiments.records import Mixing
from qstar_core.filters.base import Candidate
from qstar_core.filters.context import NO_CONTEXT
from qstar_core.filters.hint_leak import HintLeakFilter, HintLeakOptions
from qstar_core.records import Floats, Prompt, Sample, Trace

_SAMPLES = 300
_POSITIONS = 128
_LONGER = 4  # words beside the answer that are no reasoning
_REASONED = 12  # words of a solution that reasons


class Mixed:
    """Adds up what is drawn; `record` is None where no token was mixed."""

    def __init__(self, within: Range) -> None:
        self._within = within
        self._alpha: list[Floats] = []
        self._ess: list[tuple[float, float]] = []
        self._log_ratio: list[Floats] = []
        self._kept = self._leaked = 0
        self._hint = HintLeakFilter(HintLeakOptions(), NO_CONTEXT)

    def add(self, trace: Trace) -> None:
        self._alpha.append(trace.alpha)
        self._ess.append((float(trace.ess_theta.mean(dtype=np.float64)), float(trace.ess_t.mean(dtype=np.float64))))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.log(trace.ess_theta) - np.log(trace.ess_t)
        self._log_ratio.append(ratio[np.isfinite(ratio)])

    def keep(self, candidates: Sequence[Candidate]) -> None:
        self._kept += len(candidates)
        self._leaked += sum(self._leaks(candidate.prompt, candidate.sample) for candidate in candidates)

    def record(self, dropped: Counter[str]) -> Mixing | None:
        ratios = np.concatenate(self._log_ratio) if self._log_ratio else np.empty(0, dtype=np.float32)
        if not ratios.size:
            return None
        alpha = np.concatenate(self._alpha)
        within = (alpha >= self._within.low) & (alpha <= self._within.high)
        return Mixing(
            alpha=tuple(float(one.mean(dtype=np.float64)) for one in self._alpha[:_SAMPLES]),
            ess=tuple(self._ess[:_SAMPLES]), alpha_by_position=self._by_position(),
            ess_ratio=float(np.exp(ratios.mean(dtype=np.float64))), alpha_within=float(within.mean()),
            leaked=self._leaked / self._kept if self._kept else 0.0, dropped=dict(sorted(dropped.items())))

    def _by_position(self) -> tuple[tuple[float, float, float, int], ...]:
        found = []
        for position in range(min(_POSITIONS, max(map(len, self._alpha)))):
            there = np.array([one[position] for one in self._alpha if len(one) > position], dtype=np.float64)
            low, high = np.percentile(there, (10, 90))
            found.append((float(there.mean()), float(low), float(high), len(there)))
        return tuple(found)

    def _leaks(self, prompt: Prompt, sample: Sample) -> bool:
        if self._hint.judge(Candidate(prompt, sample)) is not None:
            return True
        reasoned = prompt.solution is not None and len(prompt.solution.split()) >= _REASONED
        alone = len((prompt.answer or "").split()) + _LONGER
        return reasoned and prompt.answer is not None and len(sample.completion.split()) <= alone
