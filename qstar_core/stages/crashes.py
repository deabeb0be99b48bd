"""How often one piece of work ended its process without a word: out of memory, a driver that aborts, kill -9.

Before it begins, its line is written; when it ends in any way that Python sees, the line goes. A line that is there
already is therefore a crash. Pieces that crashed `limit` times without progress are not begun again, so that whatever
restarts crashed runs comes to an end, and the error names the piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from qstar_core.errors import CrashLoopError, StoreError
from qstar_core.records import Record
from qstar_core.stages.lines import load_record
from qstar_core.stages.plan import Plan
from qstar_core.stages.workspace import Workspace


class Begun(Record):
    """`crashes` before this try; `progress` is what the piece had done when it began."""

    what: str
    crashes: int
    progress: int


@contextmanager
def crashes_counted(workspace: Workspace, folder: str, what: str, progress: int = 0) -> Iterator[None]:
    """`what` names the piece, such as `shard 3`, and `folder` the key of the round or plan that it belongs to. More
    `progress` than at the last try begins the count anew."""
    store, key = workspace.store, f"{folder}/begun/{what.replace(' ', '-')}.json"
    limit = workspace.settings.operations.max_crashes
    crashes = 0
    if store.head(key) is not None:
        before = load_record(store, key, Begun)
        crashes = before.crashes + 1 if before.progress >= progress else 0
    if crashes >= limit:
        raise CrashLoopError(f"{what} of {folder} ended its process {crashes} times in a row",
                             f"mend the cause (memory? engine.batch_size), then remove {store.locate(key)} and run "
                             "the round again")
    store.write(key, Begun(what=what, crashes=crashes, progress=progress).model_dump_json().encode())
    try:
        yield
    except BaseException:
        with suppress(StoreError):  # the failure itself is what the run tells
            store.delete(key)
        raise
    store.delete(key)


def checkpoints(workspace: Workspace, plan: Plan, shard: int) -> int:
    """The progress of a shard."""
    return sum(1 for _ in workspace.store.list(plan.parts_key(shard)))
