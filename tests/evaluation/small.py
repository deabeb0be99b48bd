"""A small suite for the embedded student: stories of two and three steps, and sorting."""

from __future__ import annotations

from typing import Any

from qstar_core.config import Settings
from qstar_core.configload import load_settings

SOURCE = {"path": "builtin:problems", "seed": 9, "limit": 400}


def settings(**flags: Any) -> Settings:
    return load_settings(flags={
        "evaluation.sets": [
            {"name": "stories", "role": "target", "source": SOURCE, "kinds": ["story"], "where": {"difficulty": [2, 3]},
             "prompts": 60},
            {"name": "sorting", "role": "guard", "source": SOURCE, "kinds": ["sort"], "prompts": 60},
        ],
        "evaluation.verifier": {"name": "answer", "options": {"method": "words"}},
        "evaluation.draws": 2, "evaluation.pass_at": [1, 2], "engine.device": "cpu", "engine.threads": 1,
        "engine.context": 160, "promotion.margins": {"accuracy": 0.2}, "promotion.max_kl": 5.0, **flags})
