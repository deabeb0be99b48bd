"""The flow as Prefect sees it: its parameters make a form, and plain JSON starts it."""

from __future__ import annotations

from flows.refresh import refresh
from qstar_core.config import Settings


def test_plain_json_parameters_become_settings() -> None:
    given = refresh.validate_parameters({"settings": {"dataset": "night"}, "round_name": "2026-01-01"})
    assert given["settings"] == Settings(dataset="night")


def test_every_section_is_in_the_form() -> None:
    form = refresh.parameters.definitions
    assert set(refresh.parameters.properties) == {"settings", "round_name"}
    assert {"AlphaSettings", "GateSettings", "SamplingSettings", "SourceSettings"} <= set(form)
