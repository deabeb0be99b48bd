"""The pointer: one winner of a race, no move without a record, and every move can be taken back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from qstar_core.checkpoints import pointer_key
from qstar_core.config import StudentSettings
from qstar_core.errors import ConfigError, ConflictError, DataError, IntegrityError, NotFoundError, NotPromotedError
from qstar_core.models import promoted_student
from qstar_core.promotion.decision import Decision, Reason
from qstar_core.promotion.history import Move, history, history_key, lines, pointer
from qstar_core.promotion.promote import promote, rollback, settle
from qstar_core.records import Checkpoint
from qstar_core.store.opening import open_store

LINE = "default"
YES, NO = (Reason(name="accuracy", passed=passed, told="test") for passed in (True, False))


def checkpoint(name: str) -> Checkpoint:
    return Checkpoint(uri=f"/checkpoints/{name}", sha256=name)


def decision(old: str | None, new: str, reason: Reason = YES) -> Decision:
    return Decision(old=old, new=new, suite="s", reasons=(reason,))


@pytest.fixture
def store(tmp_path):
    return open_store(str(tmp_path / "store"))


def go(store, old, new, reason=YES, **options):
    return promote(store, LINE, checkpoint(new), decision(old, new, reason), **options)


def current(store) -> str:
    return pointer(store, LINE)[0].sha256


def test_students_follow_one_another(store):
    assert go(store, "initial", "a").number == 1
    assert go(store, "a", "b").number == 2
    assert promoted_student(StudentSettings(line=LINE), store) == "/checkpoints/b"
    past = history(store, LINE)
    assert [one.checkpoint.sha256 for one in past] == ["a", "b"]
    assert [one.before and one.before.sha256 for one in past] == [None, "a"]
    assert past[1].decision == decision("a", "b")
    assert lines(store) == (LINE,)


def test_a_worse_student_is_refused_unless_forced_with_a_reason(store):
    go(store, None, "a")
    with pytest.raises(NotPromotedError, match="accuracy: test"):
        go(store, "a", "b", NO)
    assert current(store) == "a" and len(history(store, LINE)) == 1
    with pytest.raises(ConfigError, match="needs a reason"):
        go(store, "a", "b", NO, force_reason="  ")
    made = go(store, "a", "b", NO, force_reason="the judge is broken")
    assert (made.move, made.reason) == (Move.FORCE, "the judge is broken")
    assert go(store, "b", "c", YES, force_reason="not needed").move is Move.PROMOTE


def test_a_decision_is_about_two_students(store):
    with pytest.raises(DataError, match="another checkpoint"):
        promote(store, LINE, checkpoint("x"), decision(None, "a"))
    go(store, None, "a")
    for old in (None, "z"):
        with pytest.raises(ConflictError, match="another student than the one that was compared"):
            go(store, old, "b")
    assert current(store) == "a"


RACER = """
import sys
sys.path.insert(0, sys.argv[4])
from qstar_core.errors import ConflictError
from qstar_core.promotion.decision import Decision
from qstar_core.promotion.promote import promote
from qstar_core.records import Checkpoint
from qstar_core.store.opening import open_store
store, old, new = open_store(sys.argv[1]), sys.argv[2], sys.argv[3]
made = Checkpoint(uri=new, sha256=new), Decision(old=old, new=new, suite="s", reasons=())
print("ready", flush=True)
sys.stdin.readline()
try:
    promote(store, "default", *made)
    print("won")
except ConflictError as error:
    print("told:", error)
"""


def test_of_two_promoters_at_once_one_wins_and_the_other_is_told(store, tmp_path):
    root = str(Path(__file__).parents[2])
    racers = [subprocess.Popen([sys.executable, "-c", RACER, str(tmp_path / "store"), "start", name, root], text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE) for name in ("a", "b")]
    assert [racer.stdout.readline() for racer in racers] == ["ready\n"] * 2
    for racer in racers:
        racer.stdin.write("\n")
        racer.stdin.flush()
    told = [racer.communicate(timeout=60)[0].strip() for racer in racers]
    assert sorted(one.split(":")[0] for one in told) == ["told", "won"], told
    winner = "ab"[told.index("won")]
    assert current(store) == winner
    assert [one.checkpoint.sha256 for one in history(store, LINE)] == [winner]


class Interleaved:
    """A store in which something happens just before the n-th conditional write."""

    def __init__(self, store, number, happens):
        self._store, self._left, self._happens = store, number, happens

    def __getattr__(self, name):
        return getattr(self._store, name)

    def write(self, key, data, **conditions):
        self._left -= 1
        if self._left == 0:
            self._happens()
        return self._store.write(key, data, **conditions)


def test_who_comes_second_at_any_moment_is_told(store):
    go(store, None, "a")
    late = Interleaved(store, 1, lambda: go(store, "a", "b"))
    with pytest.raises(ConflictError, match="at the same time"):
        go(late, "a", "c")
    assert current(store) == "b" and len(history(store, LINE)) == 2


class KilledError(Exception):
    pass


def test_a_promoter_who_dies_between_record_and_pointer_is_completed_by_the_next(store):
    go(store, None, "a")

    def die():
        raise KilledError

    with pytest.raises(KilledError):
        go(Interleaved(store, 2, die), "a", "b")
    assert current(store) == "a", "readers still have the old student, whole"
    with pytest.raises(ConflictError, match="another student"):
        go(store, "a", "c")
    assert current(store) == "b", "what was decided is done"
    go(store, "b", "c")
    assert [one.checkpoint.sha256 for one in history(store, LINE)] == ["a", "b", "c"]


def test_who_was_helped_meanwhile_has_won(store):
    go(store, None, "a")
    slow = Interleaved(store, 2, lambda: settle(store, LINE))
    assert go(slow, "a", "b").number == 2
    assert current(store) == "b"


def test_rollback_is_a_record_too(store):
    for old, new in ((None, "a"), ("a", "b"), ("b", "c")):
        go(store, old, new)
    made = rollback(store, LINE, 1, "c talks too much")
    assert (made.number, made.move, made.restores, made.reason) == (4, Move.ROLLBACK, 1, "c talks too much")
    assert current(store) == "a"
    assert [one.checkpoint.sha256 for one in history(store, LINE)] == ["a", "b", "c", "a"]
    go(store, "a", "d")
    assert current(store) == "d"
    with pytest.raises(NotFoundError, match=r"no promotion 9 — there are: 1, 2, 3, 4, 5"):
        rollback(store, LINE, 9)
    with pytest.raises(ConfigError, match="already"):
        rollback(store, LINE, 5)
    with pytest.raises(NotFoundError, match="none yet"):
        rollback(store, "empty", 1)


def test_a_pointer_that_was_set_by_hand_stays_until_somebody_promotes(store):
    go(store, None, "a")
    store.write(pointer_key(LINE), Checkpoint(uri="/hand", sha256="").model_dump_json().encode())
    settle(store, LINE)
    assert pointer(store, LINE)[0].uri == "/hand"
    assert go(store, "hand", "b").before.uri == "/hand"
    assert current(store) == "b"


def test_damage_is_said(store):
    go(store, None, "a")
    go(store, "a", "b")
    store.delete(history_key(LINE, 1))
    with pytest.raises(IntegrityError, match="has a gap"):
        history(store, LINE)
    store.write(pointer_key(LINE), b"{}")
    with pytest.raises(IntegrityError, match="not a checkpoint reference"):
        pointer(store, LINE)
    with pytest.raises(ConfigError, match="cannot be a name"):
        pointer(store, "../x")
