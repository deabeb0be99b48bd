"""A staged version, to be looked at: what a person who has to decide, or whose round was refused, reads and pulls.

It has the folder and the manifest that publishing would give it, made anew from the round at every look, so that what
reads a published version reads this one too. Nothing is written, and no trainer finds it.
"""

from __future__ import annotations

from collections.abc import Iterator

from qstar_core.records import FileRef, Manifest
from qstar_core.stages.approving import not_staged, staged_names, staged_plan
from qstar_core.stages.plan import Plan
from qstar_core.stages.publishing import described, standing
from qstar_core.stages.refine import staged
from qstar_core.stages.workspace import Workspace
from qstar_core.store.integrity import sha256_bytes
from qstar_core.store.versions import Latest

PREFIX = "staged/"


class StagedVersions:
    """A reader of versions (VersionReader) for those of a dataset that are not published."""

    def __init__(self, workspace: Workspace, dataset: str) -> None:
        self._workspace = workspace
        self.dataset = dataset

    def key(self, version: str) -> str:
        return f"datasets/{self.dataset}/{PREFIX}{version}"

    def names(self) -> Iterator[str]:
        return iter(staged_names(self._workspace, self.dataset))

    def latest(self) -> Latest | None:
        return None

    def manifest(self, version: str) -> Manifest:
        plan = self._plan(version)
        found = staged(self._workspace, plan)
        return described(self._workspace, plan, (*found.files, *self._beside(version, found.files)), plan.created)

    def manifest_data(self, version: str) -> bytes:
        return self.manifest(version).model_dump_json(indent=1).encode()

    def why(self, version: str) -> str:
        """Why it is not published."""
        return standing(self._workspace, self._plan(version))

    def _plan(self, version: str) -> Plan:
        if version not in self.names():  # a plan stays when its version is published
            raise not_staged(self._workspace, self.dataset, version)
        return staged_plan(self._workspace, self.dataset, version)

    def _beside(self, version: str, known: tuple[FileRef, ...]) -> Iterator[FileRef]:
        """The report, Data Docs and records of the round: small, and hashed as they are."""
        recorded = {ref.key for ref in known}
        for info in self._workspace.store.list(f"{self.key(version)}/"):
            if info.key not in recorded:
                yield FileRef(key=info.key, bytes=info.size,
                              sha256=sha256_bytes(self._workspace.store.read(info.key)), rows=None)


def staged_datasets(workspace: Workspace) -> tuple[str, ...]:
    """Every dataset that has a staged version."""
    keys = (info.key.split("/") for info in workspace.store.list("datasets/"))
    return tuple(sorted({parts[1] for parts in keys
                         if len(parts) == 5 and (parts[2], parts[4]) == ("staged", "gate.json")}))
