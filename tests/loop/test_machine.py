"""The loop on the two small models: every step once, θ follows the promotions, and a kill anywhere costs nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qstar_core.checkpoints import list_checkpoints, save_checkpoint
from qstar_core.errors import ConfigError, GateFailedError, TrainingError
from qstar_core.loop.judging import concluded
from qstar_core.promotion.history import history, pointer
from qstar_core.promotion.promote import promote
from qstar_core.records import ModelRef
from qstar_core.store.directory import DirectoryStore
from qstar_core.store.objects import ObjectStore
from tests.evaluation.conftest import damaged, tiny
from tests.loop.small import LINE, make, run, settings

__all__ = ["damaged", "tiny"]
TIMES = {"seconds", "created", "speed", "metrics"}


class KilledError(BaseException):
    """Stands for the death of the process: nothing of ours may catch it."""


class Dying(DirectoryStore):
    """Ends the process before, or just after, the first write of a key with this text."""

    def __init__(self, root: Path, at: str, *, after: bool, die: Callable[[], None]) -> None:
        super().__init__(root)
        self._at, self._after, self._die = at, after, die

    def write(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        hit = self._at in key
        if hit and not self._after:
            self._die()
        etag = super().write(key, data, if_absent=if_absent, if_match=if_match)
        if hit:
            self._die()
        return etag


def killed() -> None:
    raise KilledError


def told(store: ObjectStore) -> list[Any]:
    """What a loop leaves, without times and places."""
    loop = make(store, settings())
    return [_plain(value.model_dump(mode="json")) for one in loop.book.rounds()
            for value in (one.refreshed, one.retrained, one.evaluated, one.concluded)] + [
        [one.move.value, one.checkpoint.sha256] for one in history(store, LINE)]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()
                if name not in TIMES and name not in ("uri", "manifest_sha256")}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, model_cache: Path, damaged: ModelRef) -> DirectoryStore:
    folder = tmp_path_factory.mktemp("loop")
    before = dict(os.environ)
    os.environ.update({"QSTAR_HOME": str(folder / "home"), "QSTAR_MODEL_CACHE": str(model_cache)})
    try:
        store = DirectoryStore(folder / "store")
        steps: list[str] = []
        begun, ended = run(make(store, settings(student__model=damaged.path), on_step=steps.append))
        assert steps == [f"{step}{number}" for number in (1, 2)
                         for step in (f"refresh {LINE}-1-", f"retrain {LINE}-1-", "evaluate ")]
        assert begun.first.uri == damaged.path and "loop.rounds" in ended
        return store
    finally:
        os.environ.clear()
        os.environ.update(before)


def test_a_better_student_is_promoted_a_worse_one_is_not_and_theta_follows(undisturbed: DirectoryStore,
                                                                          damaged: ModelRef) -> None:
    first, second = make(undisturbed, settings(student__model=damaged.path)).book.rounds()
    assert first.promoted and first.refreshed.student == damaged.sha256
    assert first.retrained.checkpoint.parents == (damaged.sha256,)
    assert second.refreshed.student == first.retrained.checkpoint.sha256 != damaged.sha256
    assert not second.promoted and "perplexity better" in second.concluded.told
    assert pointer(undisturbed, LINE)[0] == first.retrained.checkpoint
    assert first.evaluated.decision.suite != second.evaluated.decision.suite, "the problems rotate"
    assert first.refreshed.tokens > 0 and 0 < (first.refreshed.alpha or 0) < 1


def test_run_again_it_does_nothing_and_with_more_rounds_it_goes_on(undisturbed: DirectoryStore, tmp_path: Path,
                                                                 damaged: ModelRef) -> None:
    store = DirectoryStore(copied(undisturbed, tmp_path))
    steps: list[str] = []
    _, again = run(make(store, settings(student__model=damaged.path), on_step=steps.append))
    assert not steps and "loop.rounds" in again
    with pytest.raises(ConfigError, match="begun with other settings: sampling, training"):
        run(make(store, settings(student__model=damaged.path, sampling__seed=3, training__max_steps=1)))
    run(make(store, settings(student__model=damaged.path, loop__rounds=3), on_step=steps.append))
    assert [step.split()[0] for step in steps] == ["refresh", "retrain", "evaluate"] and steps[-1] == "evaluate 3"
    steps.clear()
    run(make(store, settings(student__model=damaged.path, loop__rounds=1), "2", on_step=steps.append))
    assert steps[-1] == "evaluate 4", "another loop of the line judges by other problems"


POINTS = [
    ("plan.json", True), ("manifest.json", False), ("datasets/demo/latest.json", False), ("-refresh.json", False),
    ("checkpoint.json", False), ("checkpoint.json", True), ("-retrain.json", True), ("scores/", True),
    ("-evaluate.json", False), ("-evaluate.json", True), ("students/night/history/", True),
    ("students/night/latest.json", True), ("-conclude.json", True), ("loop.json", False),
]
QUICK = [("checkpoint.json", True), ("students/night/history/", True)]


@pytest.mark.parametrize(("at", "after"), [
    pytest.param(*point, marks=() if point in QUICK else pytest.mark.slow) for point in POINTS])
def test_dying_at_a_write_changes_nothing(at: str, after: bool, tmp_path: Path, undisturbed: DirectoryStore,
                                          damaged: ModelRef) -> None:
    wanted = settings(student__model=damaged.path)
    with pytest.raises(KilledError):
        run(make(Dying(tmp_path / "store", at, after=after, die=killed), wanted))
    store = DirectoryStore(tmp_path / "store")
    promoted, _ = pointer(store, LINE)
    assert promoted is None or promoted in list_checkpoints(store, LINE), "only whole checkpoints are promoted"
    steps: list[str] = []
    run(make(store, wanted, on_step=steps.append))
    assert told(store) == told(undisturbed) and len(steps) == len(set(steps))


def test_dying_while_it_trains_changes_nothing(tmp_path: Path, undisturbed: DirectoryStore, damaged: ModelRef) -> None:
    wanted, store = settings(student__model=damaged.path), DirectoryStore(tmp_path / "store")

    def at(progress: Any) -> None:
        if progress.step == 3:
            raise KilledError

    with pytest.raises(KilledError):
        run(make(store, wanted, on_progress=at))
    assert list_checkpoints(store, LINE) == () and pointer(store, LINE)[0] is None
    steps: list[str] = []
    run(make(store, wanted, on_step=steps.append))
    assert told(store) == told(undisturbed) and steps[0].startswith("retrain"), "the round is not drawn again"


@pytest.mark.parametrize(("at", "after"), [
    ("students/night/history/", True), pytest.param("checkpoint.json", False, marks=pytest.mark.slow),
    pytest.param("-evaluate.json", True, marks=pytest.mark.slow)])
def test_killed_by_the_system_it_goes_on(at: str, after: bool, tmp_path: Path, undisturbed: DirectoryStore,
                                         damaged: ModelRef) -> None:
    """kill -9 of a process of its own."""
    done = subprocess.run([sys.executable, "-m", "tests.loop.test_machine", str(tmp_path / "store"), at, str(after),
                           damaged.path], env=dict(os.environ), capture_output=True, text=True, timeout=240)
    assert done.returncode == -signal.SIGKILL, done.stderr
    store = DirectoryStore(tmp_path / "store")
    assert pointer(store, LINE)[0] is None
    run(make(store, settings(student__model=damaged.path)))
    assert told(store) == told(undisturbed)


def test_a_refused_round_ends_it_and_a_damaging_training_promotes_nobody(tmp_path: Path, tiny: ModelRef) -> None:
    """After the gate's settings are mended the same loop goes on."""
    given = {"student__model": tiny.path, "training__learning_rate": 0.05, "loop__rounds": 1}
    store = DirectoryStore(tmp_path / "store")
    with pytest.raises(GateFailedError, match="row count is 1"):
        run(make(store, settings(**given, gate__min_rows=1000, gate__warn_only=[])))
    assert pointer(store, LINE)[0] is None and not list_checkpoints(store, LINE)
    _, ended = run(loop := make(store, settings(**given)))
    (worse,) = loop.book.rounds()
    assert not worse.promoted and "better" in worse.concluded.told and "loop.rounds" in ended
    assert pointer(store, LINE)[0] is None and len(list_checkpoints(store, LINE)) == 1


def test_a_loss_that_is_no_number_ends_it(tmp_path: Path, tiny: ModelRef) -> None:
    wanted = settings(student__model=tiny.path, training__learning_rate=1.0, training__clip=1e30,
                      training__weight_decay=1e30, training__max_steps=30)
    store = DirectoryStore(tmp_path / "store")
    with pytest.raises(TrainingError, match="is nan at step"):
        run(make(store, wanted))
    assert pointer(store, LINE)[0] is None and not list_checkpoints(store, LINE)


def test_a_student_that_somebody_else_promoted_meanwhile_stays(undisturbed: DirectoryStore, tmp_path: Path,
                                                              tiny: ModelRef) -> None:
    store = DirectoryStore(copied(undisturbed, tmp_path))
    first = make(store, settings()).book.rounds()[0]
    other = save_checkpoint(store, Path(tiny.path), line=LINE, recipe="none", settings={}, metrics={})
    by_hand = first.evaluated.decision.model_copy(update={"old": first.retrained.checkpoint.sha256,
                                                          "new": other.sha256})
    promote(store, LINE, other, by_hand)
    found = concluded(store, LINE, first.retrained.checkpoint, first.evaluated.decision)
    assert found.promotion is None and "another student" in found.told
    assert pointer(store, LINE)[0] == other


def copied(store: DirectoryStore, folder: Path) -> Path:

    return Path(shutil.copytree(store.uri.removeprefix("file://"), folder / "copied"))


def main(root: str, at: str, after: str, student: str) -> None:
    store = Dying(Path(root), at, after=after == "True", die=lambda: os.kill(os.getpid(), signal.SIGKILL))
    run(make(store, settings(student__model=student)))


if __name__ == "__main__":
    main(*sys.argv[1:])
