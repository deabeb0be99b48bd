"""The engine that the settings name, loaded once a process and kept for the next shard. The models are kept apart from
it, so that another α or temperature does not load them again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from qstar_core.config import EngineSettings, Settings
from qstar_core.engine.decode import TransformersEngine
from qstar_core.engine.headroom import Headroom
from qstar_core.engine.hf import LoadedModel
from qstar_core.engine.loading import load_pair
from qstar_core.engine.protocol import Engine
from qstar_core.engine.tokenizer import ChatTokenizer
from qstar_core.engine.vllm.installed import check_installed
from qstar_core.engine.vllm.loading import load_engine
from qstar_core.models import present
from qstar_core.records import ModelRef

Loaded = tuple[LoadedModel, LoadedModel, ChatTokenizer]


def engine_for(settings: Settings, models: dict[str, ModelRef], context: int) -> Headroom:
    wanted = Settings(alpha=settings.alpha, sampling=settings.sampling, support=settings.support,
                      engine=settings.engine)
    student, teacher = (present(models[role]).model_dump_json() for role in ("student", "teacher"))
    return _engine(wanted.model_dump_json(), student, teacher, context)


@lru_cache(maxsize=1)
def _engine(settings_json: str, student_json: str, teacher_json: str, context: int) -> Headroom:
    settings = Settings.model_validate_json(settings_json)
    if settings.engine.kind == "vllm":
        return Headroom(_vllm(settings, student_json, teacher_json, context), settings.engine.batch_size)
    student, teacher, tokenizer = _loaded(settings.engine.model_dump_json(), student_json, teacher_json)

    def build(slots: int) -> TransformersEngine:
        return TransformersEngine(student, teacher, tokenizer, context, settings.alpha, settings.sampling,
                                  settings.support, settings.engine.model_copy(update={"batch_size": slots}))

    return Headroom(build, settings.engine.batch_size)


def _vllm(settings: Settings, student_json: str, teacher_json: str, context: int) -> Callable[[int], Engine]:
    """Refused here, before the first sample is asked for, where it cannot be."""
    student, teacher = ModelRef.model_validate_json(student_json), ModelRef.model_validate_json(teacher_json)
    check_installed(settings.engine.vllm)

    def build(slots: int) -> Engine:
        engine = settings.engine.model_copy(update={"batch_size": slots})
        return load_engine(student, teacher, context, settings.model_copy(update={"engine": engine}))

    return build


@lru_cache(maxsize=1)
def _loaded(engine_json: str, student_json: str, teacher_json: str) -> Loaded:
    engine = EngineSettings.model_validate_json(engine_json)
    student_ref, teacher_ref = ModelRef.model_validate_json(student_json), ModelRef.model_validate_json(teacher_json)
    student, teacher = load_pair(student_ref, teacher_ref, engine)
    return student, teacher, ChatTokenizer(student_ref.name, Path(student_ref.path))
