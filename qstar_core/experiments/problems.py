"""What a cell is trained and judged on: prompts by its seed, and held-out problems that are the same for all cells."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache

from qstar_core.config import Settings, SourceSettings
from qstar_core.errors import DataError, RowError
from qstar_core.evaluation.rotation import conversation
from qstar_core.evaluation.suite import Suite, final_suite
from qstar_core.experiments.cells import CellSettings
from qstar_core.experiments.grid import Pool
from qstar_core.prompts import PromptRenderer
from qstar_core.records import Prompt, PromptPair
from qstar_core.sources.reading import read_source
from qstar_core.store.objects import ObjectStore
from qstar_core.store.opening import open_store


def held_out(settings: Settings, store: ObjectStore) -> Suite:
    """`store` is the worker's own, in which no round took a problem: the suite depends on the settings alone."""
    return _suite(settings.model_dump_json(include={"evaluation", "prompts", "sampling", "gate", "source"}), store.uri)


@lru_cache(maxsize=4)
def _suite(settings_json: str, uri: str) -> Suite:
    return final_suite(Settings.model_validate_json(settings_json), open_store(uri))


def training_prompts(how: CellSettings, suite: Suite, renderer: PromptRenderer) -> list[tuple[Prompt, PromptPair]]:
    """Those of all rounds, in order, that both models can take; none is asked in the suite. DataError where the source
    has too few."""
    asked = frozenset(conversation(prompt) for one in suite.sets for prompt in one.prompts)
    wanted = how.sizes.rounds * how.sizes.prompts
    found: list[tuple[Prompt, PromptPair]] = []
    for prompt in _pool(_seeded(how.settings.source, how.seed), how.pool):
        if conversation(prompt) not in asked:
            with suppress(RowError):
                found.append((prompt, renderer.render(prompt)))
            if len(found) == wanted:
                return found
    raise DataError(f"the source has {len(found)} prompts for the pool, and {how.sizes.rounds} rounds of "
                    f"{how.sizes.prompts} need {wanted}", "lower sizes.prompts or sizes.rounds, or widen the pool")


def _pool(source: SourceSettings, pool: Pool) -> Iterator[Prompt]:
    for read in read_source(source):
        prompt = read.prompt
        if (prompt is not None and prompt.answer is not None and (not pool.kinds or prompt.kind in pool.kinds)
                and all(prompt.meta.get(name) in values for name, values in pool.where.items())):
            yield prompt


def _seeded(source: SourceSettings, seed: int) -> SourceSettings:
    """Other problems of a built-in source, another order of the rows of any other."""
    if source.path.startswith("builtin:"):
        return source.model_copy(update={"seed": source.seed + seed})
    return source.model_copy(update={"shuffle_seed": (source.shuffle_seed or 0) + seed})
