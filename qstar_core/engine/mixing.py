"""The mixing step that the settings describe, the same for every engine."""

from __future__ import annotations

from qstar_core.config import AlphaSettings, EngineSettings, SamplingSettings, SupportSettings
from qstar_core.mixture.alpha import AlphaOptions
from qstar_core.mixture.mixer import Mixer
from qstar_core.mixture.policies.chain import policies_of
from qstar_core.mixture.support import SupportCut


def mixer_of(alpha: AlphaSettings, sampling: SamplingSettings, support: SupportSettings, engine: EngineSettings,
             special_ids: frozenset[int]) -> Mixer:
    """`special_ids`: what ends a turn, and every control token."""
    options = AlphaOptions(alpha.method, alpha.fixed, alpha.min, alpha.max, alpha.tolerance)
    return Mixer(
        options, sampling.temperature, engine.diagnostics, sharpen=sampling.sharpen, support=SupportCut(support),
        policies=policies_of(alpha, special_ids), top_logprobs=engine.top_logprobs, passes=engine.compile,
    )
