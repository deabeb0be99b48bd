"""A judged round beside an older version, and what must hold of it whatever happened to its publisher."""

from __future__ import annotations

from dataclasses import dataclass

from qstar_core.records import DatasetVersion
from qstar_core.stages.plan import Plan
from qstar_core.stages.publishing import publish
from qstar_core.stages.workspace import Workspace
from qstar_core.store.integrity import read_verified, sha256_bytes
from qstar_core.store.objects import ObjectStore
from qstar_core.store.versions import Versions
from tests.stages.scripted import Project


@dataclass(frozen=True)
class Round:
    """A judged round beside an older version that is latest; `wanted` are the files of the undisturbed version."""

    project: Project
    plan: Plan
    older: str
    objects: dict[str, bytes]
    wanted: dict[str, str]

    def put(self, store: ObjectStore) -> None:
        for key, data in self.objects.items():
            store.write(key, data)

    def publish(self, store: ObjectStore) -> DatasetVersion:
        return publish(Workspace(self.project.settings, store), self.plan)


def files(store: ObjectStore, plan: Plan) -> dict[str, str]:
    """SHA-256 by key of what the manifest lists; every file is read and compared with it."""
    manifest = Versions(store, plan.dataset).manifest(plan.version)
    return {ref.key: sha256_bytes(read_verified(store, ref)) for ref in manifest.files}


def whole_or_absent(store: ObjectStore, judged: Round) -> bool:
    """Whether the version is visible; if it is, every file is there, and if not, nothing points to it."""
    versions = Versions(store, judged.plan.dataset)
    latest = versions.latest()
    assert latest is not None
    visible = judged.plan.version in set(versions.names())
    if visible:
        assert files(store, judged.plan) == judged.wanted
    else:
        assert latest.version == judged.older
    assert latest.version in (judged.older, judged.plan.version)
    return visible


def nothing_is_lost(store: ObjectStore, judged: Round) -> None:
    """Shards, ledger and plan stay; what was staged stays until the version is there."""
    visible = whole_or_absent(store, judged)
    for key, data in judged.objects.items():
        may_go = visible and key.startswith(judged.plan.staged_key)
        assert may_go or key.endswith("latest.json") or store.read(key) == data, key


def finished(store: ObjectStore, judged: Round) -> None:
    """Published by whoever comes next, and equal to the undisturbed version."""
    nothing_is_lost(store, judged)
    version = judged.publish(store)
    assert whole_or_absent(store, judged)
    latest = Versions(store, judged.plan.dataset).latest()
    assert latest is not None and latest.history == (judged.older, version.version)
    assert latest.manifest_sha256 == version.manifest_sha256
    assert not list(store.list(f"{judged.plan.staged_key}/"))
