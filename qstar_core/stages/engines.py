"""The engine that the settings name, loaded once a process and kept for the next shard."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from qstar_core.config import Settings
from qstar_core.engine.decode import LockstepEngine
from qstar_core.engine.loading import load_pair
from qstar_core.engine.protocol import Engine
from qstar_core.engine.tokenizer import ChatTokenizer
from qstar_core.models import present
from qstar_core.records import ModelRef


def engine_for(settings: Settings, models: dict[str, ModelRef], context: int) -> Engine:
    wanted = Settings(alpha=settings.alpha, sampling=settings.sampling, support=settings.support,
                      engine=settings.engine)
    student, teacher = (present(models[role]).model_dump_json() for role in ("student", "teacher"))
    return _loaded(wanted.model_dump_json(), student, teacher, context)


@lru_cache(maxsize=1)
def _loaded(settings_json: str, student_json: str, teacher_json: str, context: int) -> Engine:
    settings = Settings.model_validate_json(settings_json)
    student_ref, teacher_ref = ModelRef.model_validate_json(student_json), ModelRef.model_validate_json(teacher_json)
    student, teacher = load_pair(student_ref, teacher_ref, settings.engine)
    tokenizer = ChatTokenizer(student_ref.name, Path(student_ref.path))
    return LockstepEngine(student, teacher, tokenizer, context, settings.alpha, settings.sampling, settings.support,
                          settings.engine)
