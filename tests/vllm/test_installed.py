"""The gate: the versions that are supported pass, all others are refused with the range and the way around."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstar_core.config import Settings, VllmSettings
from qstar_core.engine.vllm.installed import SUPPORTED, check_installed, check_runner, check_version
from qstar_core.errors import ConfigError
from qstar_core.stages import publishing
from tests.vllm.models import needs_vllm


@pytest.mark.parametrize("found", ["0.28.0", "0.30.1", "0.32.7", "0.32.0+cpu", "0.32.1rc1"])
def test_what_is_supported_passes(found: str) -> None:
    check_version(found)


@given(st.integers(0, 3), st.integers(0, 60), st.sampled_from(["", ".0", ".1+cu129", "rc2"]))
def test_everything_else_is_refused_by_its_number(major: int, minor: int, rest: str) -> None:
    found = f"{major}.{minor}{rest}"
    if SUPPORTED[0] <= (major, minor) < SUPPORTED[1]:
        check_version(found)
        return
    with pytest.raises(ConfigError) as refused:
        check_version(found)
    line = str(refused.value)
    assert f"vLLM {found} is installed" in line and "0.28 up to, not including, 0.33" in line
    assert "engine.vllm.any_version=true" in line


@pytest.mark.parametrize("found", ["", "dev", "0.27.9", "0.33.0", "1.32.0"])
def test_a_version_that_nobody_tested_is_refused(found: str) -> None:
    with pytest.raises(ConfigError, match="any_version"):
        check_version(found)


def test_the_second_model_runner_is_refused() -> None:
    for fine in (None, "", "0", "false", "False"):
        check_runner(fine)
    for wrong in ("1", "true", "yes"):
        with pytest.raises(ConfigError, match=r"VLLM_USE_V2_MODEL_RUNNER = .* set VLLM_USE_V2_MODEL_RUNNER=0"):
            check_runner(wrong)


@needs_vllm
def test_the_gate_asks_for_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qstar_core.engine.vllm.installed.installed_version", lambda: "0.23.1")
    with pytest.raises(ConfigError, match=r"vLLM 0\.23\.1 is installed"):
        check_installed(VllmSettings())
    check_installed(VllmSettings(any_version=True))
    monkeypatch.setenv("VLLM_USE_V2_MODEL_RUNNER", "1")
    with pytest.raises(ConfigError, match="second model runner"):
        check_installed(VllmSettings(any_version=True))


@pytest.mark.parametrize("kind", ["vllm", "transformers"])
def test_a_version_of_a_dataset_names_the_vllm_that_sampled(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(publishing, "installed_version", lambda: "0.32.5")
    settings = Settings.model_validate({"engine": {"kind": kind}}).model_dump(mode="json")
    told = publishing._provenance(SimpleNamespace(settings=settings))
    assert told["kind"] == kind and told.get("vllm") == ("0.32.5" if kind == "vllm" else None)
