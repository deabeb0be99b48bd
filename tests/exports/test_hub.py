"""Pushing: one commit with every file of the folder; what the hub refuses is one line without the token."""

from __future__ import annotations

from pathlib import Path

import pytest

from qstar_core.errors import ConfigError, QstarError, StoreError, UnavailableError
from qstar_core.exports.hub import check_repository, push
from tests.exports.conftest import Version
from tests.exports.hub import TOKEN, hub


def test_a_push_holds_every_file_of_the_folder(version: Version, tmp_path: Path,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    folder = version.export("hf", tmp_path / "out", validation=0.3).folder
    with hub() as standin:
        address = push(folder, "me/rows", private=True, message="demo by qstar", endpoint=standin.address)
        assert address == f"{standin.address}/datasets/me/rows"
        assert [(made["name"], made["type"]) for made in standin.created] == [("rows", "dataset")]
        assert standin.created[0].get("private") is True or standin.created[0].get("visibility") == "private"
        assert standin.messages == ["demo by qstar"]
        assert standin.files == {str(path.relative_to(folder)): path.read_bytes()
                                 for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("status", "error"), [(401, ConfigError), (403, ConfigError), (400, StoreError)])
def test_a_refusal_is_one_line_without_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int,
                                                 error: type[QstarError]) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    (tmp_path / "README.md").write_text("a card")
    with hub() as standin:
        standin.refuses = status
        with pytest.raises(error) as raised:
            push(tmp_path, "me/rows", private=False, message="m", endpoint=standin.address)
    assert str(status) in str(raised.value) and TOKEN not in str(raised.value) and "\n" not in str(raised.value)


def test_a_hub_that_is_not_there_is_said_to_be_unreachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with hub() as standin:
        gone = standin.address
    with pytest.raises(UnavailableError, match="cannot be reached"):
        push(tmp_path, "me/rows", private=False, message="m", endpoint=gone)


@pytest.mark.parametrize("name", ["rows", "me/rows/more", "me/..", "../me", "me/ro ws", "", "https://x/y",
                                  "a/" + "b" * 99])
def test_what_is_no_repository_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="no repository"):
        check_repository(name)
