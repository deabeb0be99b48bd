"""A checkpoint on a suite → its score, kept in the store under the hashes of both: nothing is evaluated twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from qstar_core.checkpoints import checkpoint_hash
from qstar_core.config import Settings
from qstar_core.errors import ConflictError
from qstar_core.evaluation.given import Given
from qstar_core.evaluation.harness import harness_measures
from qstar_core.evaluation.intervals import measured
from qstar_core.evaluation.measures.base import Measurement
from qstar_core.evaluation.measures.registry import measurement_of, measurements
from qstar_core.evaluation.score import Measure, Parts, Score, SetScore, score_key
from qstar_core.evaluation.speaker import Speaker
from qstar_core.evaluation.suite import ProblemSet, Suite
from qstar_core.evaluation.verdicts import Verdicts
from qstar_core.records import ModelRef
from qstar_core.stages.lines import load_record
from qstar_core.store.objects import ObjectStore

OnProgress = Callable[[str, int, int], None]
"""Hears (set, replies so far, replies of this pass)."""


def evaluate(settings: Settings, store: ObjectStore, model: ModelRef, suite: Suite,
             on_progress: OnProgress | None = None) -> Score:
    """Public benchmarks (`evaluation.harness`) run with the final suite only: they are the same every round."""
    wanted = measurements(settings.evaluation.measures)
    key = score_key(model.sha256, suite.hash)
    if store.head(key) is not None:
        return load_record(store, key, Score)
    public = harness_measures(model, settings) if suite.final else ()
    speaker = Speaker(model, settings)
    sets: list[SetScore] = []
    found: list[Measure] = []
    with Verdicts(settings.evaluation.verifier) as verdicts:
        for one in suite.sets:
            given = Given(one.name, one.prompts, speaker, verdicts, settings, _of_set(on_progress, one.name))
            outcomes = _outcomes(given, wanted)
            found += _measures(one.name, outcomes, settings.evaluation.confidence)
            sets.append(_set_score(one, given, outcomes))
    score = Score(model=model.name, sha256=model.sha256, checkpoint=own_hash(model), suite=suite.hash,
                  final=suite.final, sets=tuple(sets), measures=(*found, *public), code_version=version("qstar"),
                  created=datetime.now(UTC).isoformat(timespec="seconds"))
    with suppress(ConflictError):  # another process evaluated the same at the same time; its score stands
        store.write(key, score.model_dump_json().encode(), if_absent=True)
    return load_record(store, key, Score)


def _outcomes(given: Given, wanted: Sequence[Measurement]) -> dict[str, Parts]:
    """Of the figures that at least one problem has a value of."""
    found = {figure: parts for measurement in wanted for figure, parts in measurement.figures(given)}
    return {figure: parts for figure, parts in found.items() if any(weight > 0 for _, weight in parts)}


def _measures(name: str, outcomes: dict[str, Parts], confidence: float) -> Iterator[Measure]:
    for figure, parts in outcomes.items():
        yield measured(f"{name}/{figure}", parts, measurement_of(figure).transform, confidence)


def own_hash(model: ModelRef) -> str:
    """Of the files in the checkpoint's own folder: an adapter's without its base."""
    return model.sha256 if model.adapter is None else checkpoint_hash(Path(model.adapter.path))


def _set_score(one: ProblemSet, given: Given, outcomes: dict[str, Parts]) -> SetScore:
    return SetScore(name=one.name, role=one.role, prompts=tuple(prompt.id for prompt in given.prompts),
                    replies=tuple(sample.completion for sample in given.greedy), outcomes=outcomes,
                    skipped=given.skipped)


def _of_set(on_progress: OnProgress | None, name: str) -> Callable[[int, int], None] | None:
    return None if on_progress is None else lambda done, total: on_progress(name, done, total)
