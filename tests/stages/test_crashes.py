"""A piece that ends its process is counted; one that ends in any other way is not; progress begins the count anew."""

from __future__ import annotations

from contextlib import AbstractContextManager

import pytest

from qstar_core.errors import CrashLoopError, DataError
from qstar_core.stages.crashes import crashes_counted
from tests.stages.scripted import Project

ENTERED: list[AbstractContextManager[None]] = []


def dies(project: Project, progress: int = 0) -> None:
    """Entered and never left, as by kill -9; what is kept in the list is not even closed by the collector."""
    ENTERED.append(crashes_counted(project.workspace(), "rounds/1", "shard 3", progress))
    ENTERED[-1].__enter__()


def test_after_three_deaths_it_is_not_begun_again_and_named(project: Project) -> None:
    for _ in range(3):
        dies(project)
    with pytest.raises(CrashLoopError, match=r"shard 3 of rounds/1 ended its process 3 times") as refused:
        dies(project)
    assert "begun/shard-3.json" in refused.value.fix


def test_progress_between_two_deaths_begins_anew(project: Project) -> None:
    for progress in (0, 0, 1, 1, 2, 2, 2):
        dies(project, progress)
    with pytest.raises(CrashLoopError):
        dies(project, 2)


@pytest.mark.parametrize("error", [DataError("x"), KeyboardInterrupt()])
def test_an_end_that_python_sees_is_no_crash(project: Project, error: BaseException) -> None:
    for _ in range(5):
        with pytest.raises(type(error)), crashes_counted(project.workspace(), "rounds/1", "shard 3"):
            raise error
    with crashes_counted(project.workspace(), "rounds/1", "shard 3"):
        pass
    assert not list(project.store.list("rounds/1/begun"))
