"""A loop whose process died is found by its line; one at work, ended or elsewhere is not taken for it."""

from __future__ import annotations

import pytest

from qstar_core.loop.book import Book
from qstar_core.loop.unfinished import crashed_loop, progress
from qstar_core.stages.workspace import Workspace
from qstar_core.store.leases import holder_of, lease
from qstar_core.store.objects import ObjectStore
from tests.loop.made import round_of
from tests.loop.small import LINE, settings
from tests.loop.test_book import write_round
from tests.stages.test_reconciling import DEAD


def died(book: Book, run: str = "run-7", pid: int = DEAD) -> None:
    with lease(book.store, book.lease_key, book.told, run):
        pass
    holder = holder_of(book.store, book.lease_key)
    assert holder is not None
    dead = holder.model_copy(update={"pid": pid, "released": False})
    book.store.write(book.lease_key, dead.model_dump_json().encode())


def test_it_is_told_with_its_name_its_round_and_its_run(store: ObjectStore) -> None:
    book = Book(store, LINE, "of-2")
    workspace = Workspace(settings(), store)
    assert crashed_loop(workspace) is None
    write_round(book, 1)
    book.keep(2, round_of(2, promoted=True).refreshed)
    assert book.steps == 5
    before = progress(workspace, book)
    store.write(f"{workspace.round_key(book.round_name(2))}/ab/ledger/00000.json", b"{}")
    shard = progress(workspace, book)
    book.keep(2, round_of(2, promoted=True).retrained)
    assert before < shard < progress(workspace, book)
    died(book)
    found = crashed_loop(workspace)
    assert found is not None and (found.book.loop, found.round, found.run) == ("of-2", 2, "run-7")
    assert found.owns(book.round_name(2)) and not found.owns(book.round_name(1)) and not found.owns("2")


def test_one_that_is_at_work_or_gave_the_line_back_is_not(store: ObjectStore) -> None:
    book, workspace = Book(store, LINE, "1"), Workspace(settings(), store)
    with lease(store, book.lease_key, book.told, "run-7"):
        assert crashed_loop(workspace, patience_s=0) is None
    assert crashed_loop(workspace, patience_s=0) is None
    died(Book(store, "another-line", "1"))
    assert crashed_loop(workspace, patience_s=0) is None


def test_one_that_was_told_to_end_is_undone_and_one_that_failed_is_not(store: ObjectStore) -> None:
    book, workspace = Book(store, LINE, "1"), Workspace(settings(), store)
    for ending, undone in ((KeyboardInterrupt, True), (RuntimeError, False)):
        with pytest.raises(ending), lease(store, book.lease_key, book.told, "run-7"):
            raise ending
        assert (crashed_loop(workspace) is not None) == undone
