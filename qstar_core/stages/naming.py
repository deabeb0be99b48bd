"""What settings decide, by what follows from a change of them: other samples, another plan of the same samples, or
another version of the same plan. What enters none of the three may change without a trace.
"""

from __future__ import annotations

from typing import Any

from qstar_core.config import Settings
from qstar_core.records import ModelRef, content_hash


def sampling_hash(settings: Settings, models: dict[str, ModelRef]) -> str:
    """Identifies finished samples. Engine, batch and dtype stand outside of it; max_tokens is part of the plan. Stop
    strings enter only where there are any, so that rounds planned without them keep their names."""
    stop = sorted(set(settings.sampling.stop))
    return content_hash([{role: ref.sha256 for role, ref in models.items()}, settings.prompts.model_dump(mode="json"),
                         settings.alpha.model_dump(mode="json"), settings.support.model_dump(mode="json"),
                         settings.sampling.temperature, settings.sampling.sharpen, settings.sampling.seed,
                         *([stop] if stop else [])])


def planned_by(settings: Settings) -> list[Any]:
    """What decides the plan beside the samples' hash, the prompts and the context."""
    return [settings.sampling.draws, settings.sampling.max_tokens, settings.round.shard_size,
            settings.engine.diagnostics, *([settings.engine.top_logprobs] if settings.engine.top_logprobs else [])]


def judged_by(settings: Settings) -> list[Any]:
    """What decides the version beside the plan."""
    return [settings.output.model_dump(mode="json"), settings.gate.model_dump(mode="json"),
            settings.best_of.model_dump(mode="json"), settings.mixing.model_dump(mode="json"),
            [step.model_dump(mode="json") for step in settings.filters]]
