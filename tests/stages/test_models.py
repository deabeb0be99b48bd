"""What a setting calls a model, and the hash of everything that decides what it samples."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from qstar_core.checkpoints import checkpoint_hash
from qstar_core.config import StudentSettings
from qstar_core.errors import ModelError
from qstar_core.models import pointer_key, promoted_student, resolve, resolve_models
from qstar_core.records import Checkpoint
from tests.stages.scripted import Project, settings_of


@pytest.fixture
def folder(checkpoints: tuple[Path, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoints[0], tmp_path / "model"))


def test_a_folder_is_itself_and_its_hash(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = resolve(str(folder), None)
    assert (ref.name, ref.path, ref.sha256) == (str(folder), str(folder), checkpoint_hash(folder))
    monkeypatch.chdir(folder.parent)
    assert resolve("model", None).path == str(folder) == resolve("./model", None).path


@pytest.mark.parametrize("name", ["/nowhere/at/all", "./nowhere", "../no", "~/no-such-model", "a/b/c"])
def test_a_folder_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(ModelError, match="no checkpoint folder at"):
        resolve(name, None)


def test_an_unknown_builtin_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match="builtin:huge is unknown — use builtin:tiny-student"):
        resolve("builtin:huge", None)


def test_weights_that_are_not_safetensors_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="has no safetensors weights"):
        resolve(str(folder), None)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "generation_config.json", "tokenizer.json",
                                  "tokenizer_config.json", "chat_template.jinja"])
def test_the_hash_changes_with_any_file_that_decides(folder: Path, name: str) -> None:
    before = checkpoint_hash(folder)
    path = folder / name
    assert path.exists()
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert checkpoint_hash(folder) != before
    path.write_bytes(data)
    assert checkpoint_hash(folder) == before
    path.rename(folder / f"x-{name}")
    if name != "model.safetensors":
        assert checkpoint_hash(folder) != before


@pytest.mark.parametrize("name", ["special_tokens_map.json", "added_tokens.json", "vocab.txt", "merges.txt",
                                  "tokenizer.model", "more.safetensors", "model.safetensors.index.json"])
def test_the_hash_changes_with_a_new_file_that_decides(folder: Path, name: str) -> None:
    before = checkpoint_hash(folder)
    (folder / name).write_text("")
    assert checkpoint_hash(folder) != before


def test_the_hash_does_not_know_the_folder_or_its_notes(folder: Path, checkpoints: tuple[Path, Path]) -> None:
    (folder / "README.md").write_text("new")
    (folder / "optimizer.pt").write_text("new")
    assert checkpoint_hash(folder) == checkpoint_hash(checkpoints[0]) != checkpoint_hash(checkpoints[1])


def test_bytes_that_move_from_one_file_to_the_next_change_the_hash(folder: Path) -> None:
    (folder / "merges.txt").write_bytes(b"ab")
    (folder / "vocab.txt").write_bytes(b"c")
    before = checkpoint_hash(folder)
    (folder / "merges.txt").write_bytes(b"a")
    (folder / "vocab.txt").write_bytes(b"bc")
    assert checkpoint_hash(folder) != before


def test_latest_is_the_promoted_student_and_before_that_the_initial_one(project: Project, folder: Path) -> None:
    line = StudentSettings(model="latest", line="night", initial="builtin:tiny-student")
    assert promoted_student(line, project.store) == "builtin:tiny-student"
    with pytest.raises(ModelError, match=r"line 'night' has no promoted student — set student\.initial"):
        promoted_student(StudentSettings(model="latest", line="night"), project.store)
    promoted = Checkpoint(uri=str(folder), sha256=checkpoint_hash(folder))
    project.store.write(pointer_key("night"), promoted.model_dump_json().encode())
    assert promoted_student(line, project.store) == str(folder)
    assert promoted_student(StudentSettings(model="latest", initial="other"), project.store) == "other", "another line"
    settings = settings_of(student__model="latest", student__line="night", teacher__model=str(folder))
    models = resolve_models(settings, project.store)
    assert models["student"].path == str(folder) and models["student"] == models["teacher"]
    project.store.write(pointer_key("night"), b"{}")
    with pytest.raises(ModelError, match=r"students/night/latest\.json in the store is not a checkpoint reference"):
        promoted_student(line, project.store)
