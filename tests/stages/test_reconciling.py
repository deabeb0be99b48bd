"""What was left undone is found, by what it is; what is at work, done, refused or overtaken is not taken for it."""

from __future__ import annotations

import threading
import time

import pytest

from qstar_core.stages.crashes import crashes_counted
from qstar_core.stages.ingest import ingest
from qstar_core.stages.publishing import publish
from qstar_core.stages.reconciling import Left, round_held, undone
from qstar_core.store import leases
from qstar_core.store.leases import holder_of
from tests.stages.scripted import Project, settings_of

DEAD = 2**22 + 1  # no Linux has so high a process number


def lease_key(project: Project, round_name: str) -> str:
    return f"{project.workspace().round_key(round_name)}/lease.json"


def crash(project: Project, round_name: str, **values: object) -> None:
    """The round was held, and its holder died."""
    with round_held(project.workspace(), round_name, "run-7"):
        pass
    alter(project, round_name, **{"pid": DEAD, "released": False, **values})


def alter(project: Project, round_name: str, **values: object) -> None:
    holder = holder_of(project.store, lease_key(project, round_name))
    assert holder is not None
    project.store.write(lease_key(project, round_name), holder.model_copy(update=values).model_dump_json().encode())


def found(project: Project) -> list[tuple[Left, str, str]]:
    return [(left.left, left.round, left.run) for left in undone(project.workspace(), patience_s=0.5)]


def test_a_round_whose_process_died_is_found_with_what_it_was_planned_with(project: Project) -> None:
    plan = project.plan()
    crash(project, plan.round)
    assert found(project) == [(Left.CRASHED, plan.round, "run-7")]
    assert undone(project.workspace())[0].settings == plan.settings


def test_a_round_that_died_before_its_plan_is_found_too(project: Project) -> None:
    crash(project, "first")
    assert found(project) == [(Left.CRASHED, "first", "run-7")]
    assert undone(project.workspace())[0].settings is None


def test_a_round_that_died_while_it_was_planned_is_found_too(project: Project) -> None:
    key = ingest(project.workspace(), "first")
    dying = crashes_counted(project.workspace(), key.rpartition("/")[0], "plan")
    dying.__enter__()
    crash(project, "first")
    assert found(project) == [(Left.CRASHED, "first", "run-7")]
    assert project.plan("first").taken_over == 0
    dying.__exit__(None, None, None)


def test_a_round_at_work_or_given_back_is_not_undone(project: Project) -> None:
    plan = project.judged()
    with round_held(project.workspace(), plan.round, "run-7"):
        assert found(project) == []
    assert found(project) == [(Left.UNPUBLISHED, plan.round, plan.run_id)]


@pytest.mark.parametrize(("ending", "undone_"), [(KeyboardInterrupt, True), (SystemExit, True), (ValueError, False)])
def test_a_round_that_was_told_to_end_is_undone_and_one_that_failed_is_not(
        project: Project, ending: type[BaseException], undone_: bool) -> None:
    plan = project.plan()
    with pytest.raises(ending), round_held(project.workspace(), plan.round, "run-7"):
        raise ending
    assert found(project) == ([(Left.CRASHED, plan.round, "run-7")] if undone_ else [])
    with round_held(project.workspace(), plan.round, "run-8"):  # nobody waits for it
        assert found(project) == []
    assert found(project) == []


def test_a_judged_round_that_was_told_to_end_is_told_once(project: Project) -> None:
    plan = project.judged()
    with pytest.raises(KeyboardInterrupt), round_held(project.workspace(), plan.round, "run-7"):
        raise KeyboardInterrupt
    assert found(project) == [(Left.CRASHED, plan.round, "run-7")]


def test_a_holder_elsewhere_is_observed_until_it_beats(project: Project) -> None:
    plan = project.plan()
    crash(project, plan.round, host="far-1", pid=1)
    assert found(project) == [(Left.CRASHED, plan.round, "run-7")], "silent for all of the patience"

    def beat() -> None:
        time.sleep(0.2)
        alter(project, plan.round, beat="later")

    thread = threading.Thread(target=beat)
    thread.start()
    assert undone(project.workspace(), patience_s=30) == []
    thread.join()


def test_a_published_round_is_done_even_where_its_process_died_last(project: Project) -> None:
    plan = project.judged()
    publish(project.workspace(), plan)
    crash(project, plan.round)
    assert found(project) == []


def test_what_waits_for_a_person_is_told_and_what_was_refused_is_not(project: Project) -> None:
    waits = Project(project.store, project.models, settings_of(gate__on_warn="approve", gate__min_rows=1000,
                                                               gate__warn_only=["row count"]))
    plan = waits.judged()
    assert found(waits) == [(Left.WAITING, plan.round, plan.run_id)]
    refused = Project(project.store, project.models, settings_of(gate__min_rows=1000, dataset="refused"))
    refused.judged()
    assert found(refused) == []


def test_a_round_that_a_newer_version_overtook_is_left_alone(project: Project) -> None:
    crash(project, "old", since="2020-01-01T00:00:00+00:00")
    publish(project.workspace(), project.judged())
    assert found(project) == [(Left.OVERTAKEN, "old", "run-7")]


def test_a_second_run_of_a_round_waits_for_the_first(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_POLL_S", 0.02)
    order: list[str] = []

    def second() -> None:
        with round_held(project.workspace(), "1", "b", lambda holder: order.append(f"waits for {holder.run}")):
            order.append("second")

    with round_held(project.workspace(), "1", "a"):
        thread = threading.Thread(target=second)
        thread.start()
        while not order:
            time.sleep(0.01)
        order.append("first ends")
    thread.join(20)
    assert order == ["waits for a", "first ends", "second"]
