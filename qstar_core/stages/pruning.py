"""What can go from a dataset, told first and removed then: old versions that nothing needs, what half-removed versions
left, staged rounds that nobody came back for, and empty folders.

A version's manifest is removed first, so that half of a version is never visible; whatever a killed prune left, the
next one removes. Files that a version which stays lists are kept wherever they lie.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from qstar_core.errors import ConfigError, IntegrityError, NotFoundError
from qstar_core.records import Manifest
from qstar_core.stages.needed import ALL, Root, manifests, needed, roots
from qstar_core.stages.workspace import Workspace
from qstar_core.store.objects import ObjectInfo
from qstar_core.store.together import together
from qstar_core.store.versions import Versions, dataset_names

_DAY_S = 24 * 3600.0
_FIRST = ("manifest.json", "gate.json", "staged.json")  # without these, what is left of a folder says nothing


@dataclass(frozen=True, slots=True)
class Rule:
    """Versions may go that are neither among the `keep` newest nor younger than `older_than_days`; without both, none.
    `generations` bounds how many of the parents of what stays must stay too."""

    keep: int | None = None
    older_than_days: float | None = None
    staged_days: float = 30.0
    generations: int = ALL

    def __post_init__(self) -> None:
        for name in ("keep", "older_than_days", "staged_days", "generations"):
            if (getattr(self, name) or 0) < 0:
                raise ConfigError(f"{name} is negative", "give 0 or more")


class Kind(StrEnum):
    VERSION = "version"
    LEFTOVER = "leftover"
    STAGED = "staged"


@dataclass(frozen=True, slots=True)
class Removal:
    kind: Kind
    name: str
    why: str
    files: tuple[ObjectInfo, ...]

    @property
    def bytes(self) -> int:
        return sum(info.size for info in self.files)


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """`kept` tells of every version that stays, why."""

    dataset: str
    rule: Rule
    removals: tuple[Removal, ...]
    kept: Mapping[str, str]
    folders: int = 0


@dataclass
class Pruned:
    removed: list[Removal] = field(default_factory=list)
    spared: list[Removal] = field(default_factory=list)
    folders: int = 0


def plan_prune(workspace: Workspace, dataset: str, rule: Rule, now: float | None = None) -> PrunePlan:
    """Reads only."""
    versions, moment = Versions(workspace.store, dataset), time.time() if now is None else now
    staged = _staged(workspace, dataset)  # before the versions: what is published meanwhile is then in one of both
    old = {name for name, files in staged.items()
           if moment - max(info.modified for info in files) > rule.staged_days * _DAY_S}
    known = manifests(versions)
    young = [Root(name, why, rule.generations) for name, why in _young(known, rule, moment)]
    kept = needed(versions, known, [*roots(workspace, versions, known, rule.generations, old), *young])
    held = _held(workspace, dataset, known, kept)
    removals = [Removal(Kind.STAGED, name, f"untouched for {rule.staged_days:g} days", tuple(staged[name]))
                for name in sorted(old)]
    for name, files in versions.folders().items():
        free = tuple(info for info in files if info.key not in held)
        if name in known and name not in kept:
            removals.append(Removal(Kind.VERSION, name, f"created {known[name].created}", free))
        elif name not in known and name not in staged and free:
            removals.append(Removal(Kind.LEFTOVER, name, "it has no manifest", free))
    folders = workspace.store.empty_folders(f"datasets/{dataset}/")
    return PrunePlan(dataset, rule, tuple(removals), {name: kept[name] for name in known if name in kept}, folders)


def prune(workspace: Workspace, plan: PrunePlan, on_removal: Callable[[Removal], None] | None = None) -> Pruned:
    """What has come into use since it was planned is spared."""
    versions, done = Versions(workspace.store, plan.dataset), Pruned()
    for removal in plan.removals:
        if not _free(workspace, versions, removal):
            done.spared.append(removal)
            continue
        first = [info for info in removal.files if info.key.rpartition("/")[2] in _FIRST]
        rest = [info for info in removal.files if info not in first]
        for infos in (first, rest):
            for _ in together(lambda info: workspace.store.delete(info.key), infos,
                              workspace.settings.store.s3.max_concurrency):
                pass
        done.removed.append(removal)
        if on_removal is not None:
            on_removal(removal)
    done.folders = workspace.store.empty_folders(f"datasets/{plan.dataset}/", remove=True)
    return done


def _free(workspace: Workspace, versions: Versions, removal: Removal) -> bool:
    """Asked again right before the removal. A version is invisible afterwards."""
    staged = list(workspace.store.list(f"datasets/{versions.dataset}/staged/{removal.name}/"))
    if removal.kind is Kind.STAGED:
        return {info.key: info.modified for info in staged} == {info.key: info.modified for info in removal.files}
    if removal.kind is Kind.LEFTOVER:
        # a publisher removes what was staged only after its manifest is written, so the order of the two decides
        return not staged and not versions.exists(removal.name)
    try:
        return versions.hide(removal.name)
    except NotFoundError:  # another prune was faster; its files may still be there
        return True


def _staged(workspace: Workspace, dataset: str) -> dict[str, list[ObjectInfo]]:
    prefix = f"datasets/{dataset}/staged/"
    found: dict[str, list[ObjectInfo]] = {}
    for info in workspace.store.list(prefix):
        found.setdefault(info.key.removeprefix(prefix).partition("/")[0], []).append(info)
    return found


def _young(known: Mapping[str, Manifest], rule: Rule, moment: float) -> Iterator[tuple[str, str]]:
    names = sorted(known, key=lambda name: (known[name].created, name), reverse=True)
    if rule.keep is None and rule.older_than_days is None:
        yield from ((name, "no rule lets versions go") for name in names)
    for place, name in enumerate(names):
        age = moment - _created(known[name])
        if rule.keep is not None and place < rule.keep:
            yield name, "it is the newest" if rule.keep == 1 else f"it is among the {rule.keep} newest"
        elif rule.older_than_days is not None and age <= rule.older_than_days * _DAY_S:
            yield name, f"it is not older than {rule.older_than_days:g} day{'' if rule.older_than_days == 1 else 's'}"


def _created(manifest: Manifest) -> float:
    try:
        return datetime.fromisoformat(manifest.created).timestamp()
    except ValueError:
        raise IntegrityError(f"the manifest of {manifest.dataset} {manifest.version} does not say when it was created",
                             "it was not written by qstar: remove that version by hand") from None


def _held(workspace: Workspace, dataset: str, known: Mapping[str, Manifest], kept: Mapping[str, str]) -> set[str]:
    """The keys that a version which stays lists, of any dataset of the store."""
    staying = [known[name] for name in kept]
    for other in dataset_names(workspace.store):
        if other != dataset:
            staying += manifests(Versions(workspace.store, other)).values()
    return {ref.key for manifest in staying for ref in manifest.files}
