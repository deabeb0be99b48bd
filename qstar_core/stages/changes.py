"""Which settings differ from those that the round was last planned with, and what follows from each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from qstar_core.config import Settings
from qstar_core.records import JsonObject, ModelRef
from qstar_core.stages.naming import judged_by, planned_by, sampling_hash
from qstar_core.stages.plan import Plan, load_plan, planned_in
from qstar_core.stages.workspace import Workspace

_NONE = object()
_PROMPTS = ("source.", "round.prompts", "engine.context")
_RECORDED = ("engine.diagnostics", "engine.top_logprobs")
_PLACES = ("source.s3.",)
_LONGEST = 60


class Effect(StrEnum):
    SAMPLES = "all samples are drawn anew"
    PLAN = "a new plan; what is finished and belongs to it stays"
    VERSION = "the same samples, judged anew"


@dataclass(frozen=True, slots=True)
class Change:
    """`old` and `new` are as the settings file would have them."""

    setting: str
    old: Any
    new: Any
    effect: Effect

    @property
    def told(self) -> str:
        return f"{self.setting} from {_short(self.old)} to {_short(self.new)}: {self.effect.value}"


def last_plan(workspace: Workspace, round_name: str) -> Plan | None:
    store = workspace.store
    plans = (load_plan(store, key) for key in planned_in(store, workspace.round_key(round_name)))
    return max(plans, key=lambda plan: plan.created, default=None)


def changes(before: Plan, settings: Settings, models: dict[str, ModelRef]) -> tuple[Change, ...]:
    """Those that something follows from, the gravest first. Other weights under the same name count as a change of the
    model."""
    now = settings.model_dump(mode="json")
    found = [Change(name, old, new, effect) for name, old, new in _differing(before.settings, now)
             if (effect := _effect(name, old, before, settings, models)) is not None]
    named = {change.setting for change in found}
    found += [Change(f"{role}.model", before.models[role].sha256[:8], ref.sha256[:8], Effect.SAMPLES)
              for role, ref in models.items()
              if ref.sha256 != before.models[role].sha256 and f"{role}.model" not in named]
    return tuple(sorted(found, key=lambda change: (list(Effect).index(change.effect), change.setting)))


def _differing(old: JsonObject, new: JsonObject, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(dotted name, before, now) of every setting; one that was not there before has None."""
    for name in sorted({*old, *new}):
        was, is_ = old.get(name, _NONE), new.get(name, _NONE)
        if isinstance(was, dict) and isinstance(is_, dict):
            yield from _differing(was, is_, f"{prefix}{name}.")
        elif was != is_:
            yield f"{prefix}{name}", None if was is _NONE else was, None if is_ is _NONE else is_


def _effect(name: str, old: Any, before: Plan, settings: Settings, models: dict[str, ModelRef]) -> Effect | None:
    """What putting that one setting back would change."""
    if name.startswith(_PLACES):
        return None
    role = name.partition(".")[0]
    if role in models and models[role].sha256 != before.models[role].sha256:
        return Effect.SAMPLES
    if name.startswith(_PROMPTS):
        return Effect.PLAN
    if name in _RECORDED:  # what was not recorded of a sample can only be had by drawing it again
        return Effect.SAMPLES
    try:
        back = Settings.model_validate(_with(settings.model_dump(mode="json"), name.split("."), old))
    except ValidationError:  # the old value stands only beside another one that changed with it
        return Effect.SAMPLES if before.sampling_hash != sampling_hash(settings, models) else Effect.PLAN
    if sampling_hash(back, models) != sampling_hash(settings, models):
        return Effect.SAMPLES
    if planned_by(back) != planned_by(settings):
        return Effect.PLAN
    return Effect.VERSION if judged_by(back) != judged_by(settings) else None


def _with(values: JsonObject, path: list[str], value: Any) -> JsonObject:
    name, *rest = path
    return {**values, name: _with(values.get(name) or {}, rest, value) if rest else value}


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
