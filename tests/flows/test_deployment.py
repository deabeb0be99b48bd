"""The flow as Prefect sees it: its parameters make a form, and plain JSON starts it."""

from __future__ import annotations

import pytest
from prefect.exceptions import ParameterTypeError

from flows.publish_approved import ApprovalForm, publish_approved
from flows.refresh import refresh
from qstar_core.config import Settings


def test_plain_json_parameters_become_settings() -> None:
    given = refresh.validate_parameters({"settings": {"dataset": "night"}, "round_name": "2026-01-01"})
    assert given["settings"] == Settings(dataset="night")


def test_every_section_is_in_the_form() -> None:
    form = refresh.parameters.definitions
    assert set(refresh.parameters.properties) == {"settings", "round_name"}
    assert {"AlphaSettings", "GateSettings", "SamplingSettings", "SourceSettings"} <= set(form)


def test_a_person_approves_by_plain_json() -> None:
    given = publish_approved.validate_parameters({
        "version": "1-1a2b3c4d", "settings": {"dataset": "night"}, "approval": {"approved_by": "ada"}})
    assert given["settings"] == Settings(dataset="night")
    assert given["approval"] == ApprovalForm(approved_by="ada", comment="")
    assert publish_approved.validate_parameters({"version": "1-1a2b3c4d"})["approval"] is None
    with pytest.raises(ParameterTypeError, match=r"approval\.approved_by: Field required"):
        publish_approved.validate_parameters({"version": "1-1a2b3c4d", "approval": {"comment": "fine"}})


def test_the_form_of_an_approval_says_what_to_write() -> None:
    form = publish_approved.parameters
    assert form.required == ["version"] and set(form.properties) == {"version", "settings", "approval", "wait_s"}
    fields = form.definitions["ApprovalForm"]["properties"]
    assert {name for name, field in fields.items() if field.get("description")} == {"approved_by", "comment"}
