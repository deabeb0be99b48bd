"""Training keyed by student line and dataset version: one run at a time, and whether one is there already."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from qstar_core.checkpoints import list_checkpoints
from qstar_core.records import Checkpoint
from qstar_core.stages.workspace import Workspace
from qstar_core.store.finding import LATEST, find_version
from qstar_core.store.leases import Holder, lease
from qstar_core.store.opening import open_store
from qstar_core.store.versions import Versions


@contextmanager
def version_held(workspace: Workspace, data: str, run: str,
                 on_wait: Callable[[Holder], None] | None = None) -> Iterator[str | None]:
    """The full name of the version, held against other runs that train the same line on it; None for a folder, which
    nobody else names."""
    folder = Path(data).expanduser()
    if data != LATEST and folder.is_dir() and not (folder / "manifest.json").is_file():
        yield None
        return
    settings = workspace.settings
    _, versions, name = find_version(workspace.store, settings.dataset, data,
                                     lambda uri: open_store(uri, settings.store.s3))
    version = f"{versions.dataset} {name}"
    key = f"leases/retrain/{settings.student.line}/{versions.dataset}/{name}.json"
    with lease(workspace.store, key, f"training of {settings.student.line} on {version}", run, on_wait=on_wait):
        yield version


def trained_on(workspace: Workspace, version: str) -> Checkpoint | None:
    """The newest checkpoint of the line that was trained on the version."""
    made = list_checkpoints(workspace.store, workspace.settings.student.line)
    return next((found for found in reversed(made) if found.dataset_version == version), None)


def untrained(workspace: Workspace) -> str | None:
    """The latest version, where retraining is wanted and the line has no checkpoint of it."""
    settings = workspace.settings
    latest = Versions(workspace.store, settings.dataset).latest()
    if settings.training is None or latest is None:
        return None
    return None if trained_on(workspace, f"{settings.dataset} {latest.version}") else latest.version
