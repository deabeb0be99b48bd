"""Settings as the parameter of a deployment: what differs from the defaults, so that its form stays readable."""

from __future__ import annotations

from pydantic import ValidationError

from qstar_core.config import Settings
from qstar_core.records import JsonObject


def as_parameter(settings: Settings) -> JsonObject:
    """What means the same settings again. A section that is chosen by a field, as a recipe is by its name, is whole:
    its choice may be a default too."""
    short = {"dataset": settings.dataset, **settings.model_dump(mode="json", exclude_defaults=True)}
    if settings.training is not None:
        short["training"] = settings.training.model_dump(mode="json")
    try:
        same = Settings.model_validate(short) == settings
    except ValidationError:
        same = False
    return short if same else settings.model_dump(mode="json")
