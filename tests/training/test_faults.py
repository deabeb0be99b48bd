"""What goes wrong: kills, damage, memory, numbers that are none. No half checkpoint is ever visible."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from qstar_core.checkpoints import fetch_checkpoint, list_checkpoints
from qstar_core.errors import TrainingError
from qstar_core.home import subfolder
from qstar_core.models import resolve
from qstar_core.store.directory import DirectoryStore
from qstar_core.store.objects import ObjectStore
from qstar_core.training import states
from qstar_core.training.launch import MARK
from qstar_core.training.request import TrainRequest
from qstar_core.training.run import train
from qstar_core.training.watching import Progress
from tests.stages.scripted import EngineDiedError
from tests.training.runs import Told, completions, request_of, trained


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return completions(tmp_path / "rows")


def weights(store: ObjectStore, checkpoint: object) -> dict[str, torch.Tensor]:
    return load_file(fetch_checkpoint(store, checkpoint) / "model.safetensors")  # type: ignore[arg-type]


def short(rows: Path, **chosen: object) -> TrainRequest:
    """Six steps of half of the rows, a state every second one."""
    return request_of("sft", rows, **{"batch_size": 6, "micro_batch": 6, "max_steps": 6, "save_every": 2, **chosen})


def dies_at(step: int) -> Told:
    def at(progress: Progress) -> None:
        if progress.step == step:
            raise EngineDiedError

    return Told(at)


def test_the_same_input_gives_the_same_checkpoint_and_another_seed_another(store: ObjectStore, rows: Path) -> None:
    first, _ = trained(store, short(rows))
    second, _ = trained(DirectoryStore(rows.parent / "other"), short(rows))
    assert second.id == first.id and second.sha256 == first.sha256
    assert trained(store, short(rows, seed=1))[0].id != first.id
    assert not list((subfolder("training")).glob("*/")), "a finished run leaves nothing behind"


@pytest.mark.parametrize("step", [1, 3, 5])
def test_a_run_that_died_goes_on_and_ends_as_if_it_had_not(store: ObjectStore, rows: Path, step: int) -> None:
    with pytest.raises(EngineDiedError):
        train(short(rows), store, dies_at(step))
    assert list_checkpoints(store, "night") == ()
    made, told = trained(store, short(rows))
    whole = trained(DirectoryStore(rows.parent / "other"), short(rows))[0]
    assert made.id == whole.id
    assert [text for text in told.texts if "going on" in text] == ([f"going on from step {step - 1}"] if step > 1
                                                                   else [])


def test_killed_by_the_system_it_goes_on(store: ObjectStore, rows: Path, tmp_path: Path) -> None:
    """kill -9 of a process as accelerate starts it."""
    request = short(rows)
    settings = request.settings.model_copy(update={"store": request.settings.store.model_copy(
        update={"uri": str(tmp_path / "store")})})
    asked = tmp_path / "asked.json"
    asked.write_text(TrainRequest(settings=settings, data=request.data).model_dump_json())
    process = subprocess.Popen([sys.executable, "-m", "qstar_core.training", str(asked)], stdout=subprocess.PIPE,
                               text=True, env=dict(os.environ))
    for line in process.stdout or ():
        if line.startswith(MARK) and json.loads(line.removeprefix(MARK)).get("progress", {}).get("step") == 3:
            process.send_signal(signal.SIGKILL)
            break
    assert process.wait() == -signal.SIGKILL
    assert list_checkpoints(store, "night") == ()
    made, told = trained(store, request)
    assert any("going on from step" in text for text in told.texts), told.texts
    assert made.id == trained(DirectoryStore(tmp_path / "other"), request)[0].id


def test_half_a_state_and_a_damaged_one_are_not_resumed(store: ObjectStore, rows: Path) -> None:
    with pytest.raises(EngineDiedError):
        train(short(rows), store, dies_at(5))
    (folder,) = subfolder("training").glob("*/")
    assert sorted(path.name for path in folder.glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-4"]
    half = Path(shutil.copytree(folder / "checkpoint-4", folder / "checkpoint-6"))
    (half / "sealed.json").unlink()  # the seal is written last
    state = folder / "checkpoint-4" / "optimizer.pt"
    data = bytearray(state.read_bytes())
    data[len(data) // 2] ^= 1
    state.write_bytes(data)
    assert states.newest(folder) == folder / "checkpoint-2"
    made, told = trained(store, short(rows))
    assert "going on from step 2" in told.texts
    assert made.id == trained(DirectoryStore(rows.parent / "other"), short(rows))[0].id


def test_a_kill_while_the_checkpoint_is_saved_costs_nothing(rows: Path, tmp_path: Path) -> None:
    class Dying(DirectoryStore):
        def write(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
            raise EngineDiedError

    with pytest.raises(EngineDiedError):
        train(short(rows), Dying(tmp_path / "store"), Told())
    store = DirectoryStore(tmp_path / "store")
    assert list_checkpoints(store, "night") == ()
    made, told = trained(store, short(rows))
    assert "going on from step 6" in told.texts and len(told.curve()) == 0, "nothing is trained twice"
    assert list_checkpoints(store, "night") == (made,)


def test_when_memory_runs_out_the_micro_batch_is_halved_and_the_batch_is_not(store: ObjectStore, rows: Path) -> None:
    ran_out = []

    def at(progress: Progress) -> None:
        if progress.step == 1 and len(ran_out) < 2:
            ran_out.append(progress)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    told = Told(at)
    made = train(short(rows), store, told)
    assert [text.split("; ")[1] for text in told.texts if "memory ran out" in text] == [
        "going on with 3 rows at a time, 2 times a step", "going on with 1 row at a time, 6 times a step"]
    whole = trained(DirectoryStore(rows.parent / "other"), short(rows))[0]
    one, other = weights(store, made), weights(DirectoryStore(rows.parent / "other"), whole)
    assert all(torch.allclose(one[name], other[name], atol=2e-4) for name in one), "the same steps up to rounding"

    def always(progress: Progress) -> None:
        if progress.step:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(TrainingError, match=r"one row at a time does not fit into memory — lower training\.max_length"):
        train(short(rows, seed=2), store, Told(always))


def test_another_failure_is_not_taken_for_lack_of_memory(store: ObjectStore, rows: Path) -> None:
    def at(progress: Progress) -> None:
        if progress.step:
            raise RuntimeError("device-side assert")

    with pytest.raises(RuntimeError, match="device-side assert"):
        train(short(rows), store, Told(at))


def test_a_loss_that_is_no_number_ends_the_run_and_names_the_step(store: ObjectStore, rows: Path,
                                                                  tmp_path: Path) -> None:
    folder = Path(shutil.copytree(resolve("builtin:tiny-student", None).path, tmp_path / "broken"))
    found = load_file(folder / "model.safetensors")
    found["model.norm.weight"][0] = float("nan")
    save_file(found, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(TrainingError, match=r"loss is nan at step 1 — lower training\.learning_rate"):
        train(short(rows, save_every=1).model_copy(update={"settings": short(
            rows, student=str(folder), save_every=1).settings}), store, Told())
    assert list_checkpoints(store, "night") == () and not list(subfolder("training").glob("*/checkpoint-*"))


def test_two_runs_of_the_same_do_not_meet(store: ObjectStore, rows: Path) -> None:
    def at(progress: Progress) -> None:
        if progress.step == 1:
            with pytest.raises(TrainingError, match="the same training runs already"):
                train(short(rows), store, Told())
            raise EngineDiedError

    with pytest.raises(EngineDiedError):
        train(short(rows), store, Told(at))


@pytest.mark.slow
def test_two_processes_train_what_one_does(store: ObjectStore, rows: Path, tmp_path: Path) -> None:
    from qstar_core.training.launch import run_training

    request = short(rows, processes=2, micro_batch=3)
    settings = request.settings.model_copy(update={"store": request.settings.store.model_copy(
        update={"uri": str(tmp_path / "store")})})
    told = Told()
    made = run_training(TrainRequest(settings=settings, data=request.data), store, told)
    assert list_checkpoints(store, "night") == (made,) and len(told.curve()) == 6
    alone = trained(DirectoryStore(tmp_path / "other"), short(rows))[0]
    one, other = weights(store, made), weights(DirectoryStore(tmp_path / "other"), alone)
    assert all(torch.allclose(one[name], other[name], atol=5e-3) for name in one)
