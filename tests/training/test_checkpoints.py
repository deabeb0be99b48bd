"""A checkpoint in the store is whole or not there, and comes back bit for bit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from qstar_core.checkpoints import (
    checkpoint_hash,
    checkpoint_key,
    fetch_checkpoint,
    list_checkpoints,
    read_checkpoint,
    save_checkpoint,
)
from qstar_core.config import StudentSettings
from qstar_core.errors import ConfigError, IntegrityError, ModelError, NotFoundError
from qstar_core.models import pointer_key, promoted_student
from qstar_core.records import Checkpoint
from qstar_core.store.directory import DirectoryStore
from qstar_core.store.objects import ObjectStore
from tests.stages.scripted import EngineDiedError


def saved(store: ObjectStore, folder: Path, **change: Any) -> Checkpoint:
    given: dict[str, Any] = {"line": "night", "recipe": "sft", "settings": {"steps": 3}, "metrics": {"loss": 0.5},
                             "parents": ("p",), "dataset_version": "demo 1"}
    return save_checkpoint(store, folder, **(given | change))


def test_it_comes_back_as_it_was(any_store: ObjectStore, model_folder: Path, tmp_path: Path) -> None:
    made = saved(any_store, model_folder)
    assert read_checkpoint(any_store, "night", made.id) == made == list_checkpoints(any_store, "night")[0]
    folder = fetch_checkpoint(any_store, made)
    assert checkpoint_hash(folder) == made.sha256 == checkpoint_hash(model_folder)
    assert folder.is_relative_to(tmp_path / "home"), "the copy lies below home"
    any_store.write(pointer_key("night"), made.model_dump_json().encode())
    assert promoted_student(StudentSettings(model="latest", line="night"), any_store) == str(folder)


def test_the_id_is_what_it_was_made_of(store: ObjectStore, model_folder: Path) -> None:
    first = saved(store, model_folder)
    assert saved(store, model_folder, metrics={"loss": 9.0}) == first, "what is saved stays"
    others = [saved(store, model_folder, **change) for change in (
        {"recipe": "dpo"}, {"settings": {"steps": 4}}, {"parents": ("q",)}, {"dataset_version": "demo 2"})]
    (model_folder / "merges.txt").write_text("x")
    others.append(saved(store, model_folder))
    assert len({first.id, *(other.id for other in others)}) == 6
    assert list_checkpoints(store, "other") == ()


class DyingStore(DirectoryStore):
    """The process dies after so many uploads."""

    left = 0

    def upload(self, key: str, path: Path, *, sha256: str | None = None) -> str:
        if not self.left:
            raise EngineDiedError
        self.left -= 1
        return super().upload(key, path, sha256=sha256)

    def write(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        raise EngineDiedError


def test_half_a_checkpoint_is_never_visible(model_folder: Path, tmp_path: Path) -> None:
    count = len(saved(DirectoryStore(tmp_path / "other"), model_folder).files)
    assert count > 3
    for uploads in range(count + 1):
        store = DyingStore(tmp_path / "store")
        store.left = uploads
        with pytest.raises(EngineDiedError):
            saved(store, model_folder)
        assert list_checkpoints(store, "night") == (), uploads
    whole = saved(DirectoryStore(tmp_path / "store"), model_folder)
    assert list_checkpoints(store, "night") == (whole,)


def test_a_damaged_file_is_refused_and_a_damaged_copy_fetched_again(store: ObjectStore, model_folder: Path) -> None:
    made = saved(store, model_folder)
    weights = next(ref for ref in made.files if ref.key.endswith(".safetensors"))
    whole = store.read(weights.key)
    folder = fetch_checkpoint(store, made)
    (folder / "model.safetensors").write_bytes(whole[:-1])
    assert checkpoint_hash(fetch_checkpoint(store, made)) == made.sha256
    shutil.rmtree(folder)
    store.write(weights.key, whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(IntegrityError, match=r"model\.safetensors"):
        fetch_checkpoint(store, made)
    assert not list(folder.parent.iterdir()), "neither a folder nor a part of one"


def test_records_that_are_not_ours_are_refused(store: ObjectStore, model_folder: Path, tmp_path: Path) -> None:
    made = saved(store, model_folder)
    elsewhere = made.files[0].model_copy(update={"key": f"{checkpoint_key('night', 'other')}/config.json"})
    for change in ({"files": (elsewhere,)}, {"sha256": "0" * 64}, {"files": made.files[:-1]}):
        with pytest.raises(IntegrityError):
            fetch_checkpoint(store, made.model_copy(update=change))
    store.write(f"{checkpoint_key('night', made.id)}/checkpoint.json", b"{}")
    with pytest.raises(IntegrityError, match="is not a checkpoint reference"):
        read_checkpoint(store, "night", made.id)
    with pytest.raises(ConfigError, match=r"student\.line '\.\./x' cannot be a name"):
        saved(store, model_folder, line="../x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="no safetensors weights"):
        saved(store, tmp_path / "empty")


def test_a_missing_one_lists_those_that_are_there(store: ObjectStore, model_folder: Path) -> None:
    with pytest.raises(NotFoundError, match="none yet"):
        read_checkpoint(store, "night", "abc")
    made = saved(store, model_folder)
    with pytest.raises(NotFoundError, match=f"there are: {made.id}"):
        read_checkpoint(store, "night", "abc")
