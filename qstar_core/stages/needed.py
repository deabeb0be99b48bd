"""Which versions of a dataset must stay, and why: what `latest` points to, what students were trained on, what rounds
that are under way read, and what all of these descend from or took rows of.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from qstar_core.errors import IntegrityError
from qstar_core.records import JsonObject, Manifest
from qstar_core.stages.lines import load_record
from qstar_core.stages.plan import load_plan
from qstar_core.stages.replaying import ReplaySource
from qstar_core.stages.workspace import Workspace
from qstar_core.store.objects import ObjectStore
from qstar_core.store.versions import Versions

ALL = 1 << 30
_STUDENTS = ("students/", "checkpoints/")


@dataclass(frozen=True, slots=True)
class Root:
    """A version that must stay by itself; so must `generations` of its parents."""

    version: str
    why: str
    generations: int


def manifests(versions: Versions) -> dict[str, Manifest]:
    """Of every visible version. IntegrityError for one that cannot be read: it cannot tell what it needs."""
    found = {}
    for name in versions.names():
        try:
            found[name] = versions.manifest(name)
        except IntegrityError as error:
            raise IntegrityError(f"{error.problem}: what it needs cannot be told",
                                 f"restore it, or remove {versions.key(name)}/manifest.json from the store; the next "
                                 "prune removes the rest of that version") from None
    return found


def roots(workspace: Workspace, versions: Versions, known: Mapping[str, Manifest], generations: int,
          abandoned: Iterable[str]) -> Iterator[Root]:
    """`abandoned` are staged versions that nobody comes back for."""
    latest = versions.latest()
    if known and (latest is None or latest.version not in known):
        told = "nothing is latest" if latest is None else f"`latest` names {latest.version}, which is not listed"
        raise IntegrityError(f"of dataset {versions.dataset} {told}: what it needs cannot be told",
                             "make a version latest with `qstar datasets rollback VERSION`, then prune")
    if latest is not None:
        settings = [workspace.settings.model_dump(mode="json"), *_planned(workspace, versions.dataset, known),
                    *(known[name].settings for name in (latest.version,) if name in known)]
        yield Root(latest.version, "it is latest", max(generations, *map(_reach, settings)))
    for key, version in trained_on(workspace.store):
        yield Root(version, f"{key} was trained on it", ALL)
    gone = set(abandoned)
    for info in workspace.store.list(f"datasets/{versions.dataset}/staged/"):
        staged, _, file = info.key.removeprefix(f"datasets/{versions.dataset}/staged/").partition("/")
        if file == "replay.json" and staged not in gone:
            for version in load_record(workspace.store, info.key, ReplaySource).versions:
                yield Root(version, f"{staged}, which is under way, takes rows of it", generations)


def needed(versions: Versions, known: Mapping[str, Manifest], found: Iterable[Root]) -> dict[str, str]:
    """Version → why, for the roots and what they need. IntegrityError for one that is there and not listed (a linked
    folder, or one published meanwhile): what it needs in turn would go."""
    why: dict[str, str] = {}
    depth: dict[str, int] = {}
    absent: set[str] = set()
    waiting = list(found)
    while waiting:
        root = waiting.pop()
        if root.version not in known:
            if root.version not in absent and versions.exists(root.version):
                raise IntegrityError(f"{versions.dataset} {root.version} is there, but is not listed ({root.why})",
                                     "put the folder itself into the place of a link to it, or prune once more")
            absent.add(root.version)
            continue
        if depth.get(root.version, -1) >= root.generations:
            continue
        why.setdefault(root.version, root.why)
        depth[root.version] = root.generations
        manifest = known[root.version]
        waiting += [Root(name, f"{root.version} has rows of it", 0) for name in manifest.replay]
        if root.generations:
            waiting += [Root(name, f"it is a parent of {root.version}", root.generations - 1)
                        for name in manifest.parents]
    return why


def trained_on(store: ObjectStore) -> Iterator[tuple[str, str]]:
    """(key of a checkpoint's record, name of the version that it was trained on)."""
    for prefix in _STUDENTS:
        for info in store.list(prefix):
            if info.key.endswith(("/latest.json", "/checkpoint.json")):
                version = _dataset_version(store, info.key)
                if version:
                    yield info.key, version


def _dataset_version(store: ObjectStore, key: str) -> str | None:
    """A record may call the version by its name or by its address."""
    try:
        found = json.loads(store.read(key))["dataset_version"]
    except (ValueError, KeyError, TypeError):
        found = 0
    if found is not None and not isinstance(found, str):
        raise IntegrityError(f"{store.locate(key)} does not say which version its student was trained on",
                             "mend or remove it: what it needs must be known before anything is removed")
    return found.rstrip("/").removesuffix("/manifest.json").rpartition("/")[2] if found else None


def _planned(workspace: Workspace, dataset: str, known: Mapping[str, Manifest]) -> Iterator[JsonObject]:
    """The settings of rounds that are planned and not published."""
    for info in workspace.store.list(f"datasets/{dataset}/rounds/"):
        *_, plans, version, file = ("", "", *info.key.split("/"))
        if (plans, file) == ("plans", "plan.json") and version not in known:
            yield load_plan(workspace.store, info.key.removesuffix("/plan.json")).settings


def _reach(settings: JsonObject) -> int:
    """How many generations before the latest the next round reads."""
    replay, gate = settings.get("mixing", {}).get("replay", {}), settings.get("gate", {})
    return max(1, int(replay.get("versions", 1)) if replay.get("share") else 1, int(gate.get("history", 1)))
