"""The catalogue → a Prefect server, as often as one likes: what is there already is compared field by field, and only
differences are written. What carries the catalogue's tag and is no longer in it is removed; work pools are shared, and
stay. A schedule that somebody paused stays paused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.exceptions import ObjectNotFound

from flows.catalogue.automating import automation_of, fields_of
from flows.catalogue.deploying import DeploymentFields, create, current, desired
from flows.catalogue.specs import AutomationSpec, Catalogue, NotifySpec, PoolSpec
from qstar_core.errors import ConfigError

_UNKNOWN = UUID(int=0)


class Change(StrEnum):
    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Applied:
    kind: str
    name: str
    change: Change
    fields: tuple[str, ...] = ()


def apply(catalogue: Catalogue, dry_run: bool = False) -> list[Applied]:
    """What became of each item; with `dry_run` what would."""
    with get_client(sync_client=True) as client:
        return list(_Applying(client, catalogue, dry_run).all())


class _Applying:
    def __init__(self, client: SyncPrefectClient, catalogue: Catalogue, dry_run: bool) -> None:
        self._client, self._catalogue, self._dry = client, catalogue, dry_run
        self._ids: dict[str, UUID] = {}

    def all(self) -> Iterator[Applied]:
        notify = self._notify_block()
        for pool in self._catalogue.pools:
            yield self._pool(pool)
        yield from self._deployments()
        yield from self._automations(notify)

    def _pool(self, spec: PoolSpec) -> Applied:
        try:
            found = self._client.read_work_pool(spec.name)
        except ObjectNotFound:
            if not self._dry:
                self._client.create_work_pool(WorkPoolCreate(name=spec.name, type=spec.type,
                                                             concurrency_limit=spec.limit,
                                                             description=spec.description))
            return Applied("work pool", spec.name, Change.CREATED)
        if found.type != spec.type:
            raise ConfigError(f"the work pool {spec.name} is of type {found.type}, and operations.pool_type is "
                              f"{spec.type}", "give operations.pool another name, or delete that pool")
        changed = tuple(name for name, has, wants in (("limit", found.concurrency_limit, spec.limit),
                                                      ("description", found.description, spec.description))
                        if has != wants)
        if changed and not self._dry:
            self._client.update_work_pool(spec.name, WorkPoolUpdate(concurrency_limit=spec.limit,
                                                                    description=spec.description))
        return _applied("work pool", spec.name, changed)

    def _deployments(self) -> Iterator[Applied]:
        tagged = self._client.read_deployments(deployment_filter=DeploymentFilter(
            tags=DeploymentFilterTags(all_=[self._catalogue.tag])))
        flows = {flow: self._client.read_flow(flow).name for flow in {found.flow_id for found in tagged}}
        there = {f"{flows[found.flow_id]}/{found.name}": found for found in tagged}
        for spec in self._catalogue.deployments:
            wanted = desired(spec, self._catalogue.tag)
            found = there.pop(spec.full_name, None)
            changed = () if found is None else _differing(current(found), wanted)
            if (found is None or changed) and not self._dry:
                self._ids[spec.full_name] = create(self._client, spec, wanted, found)
            else:
                self._ids[spec.full_name] = _UNKNOWN if found is None else found.id
            yield Applied("deployment", spec.full_name, Change.CREATED) if found is None else _applied(
                "deployment", spec.full_name, changed)
        for name, gone in sorted(there.items()):
            if not self._dry:
                self._client.delete_deployment(gone.id)
            yield Applied("deployment", name, Change.REMOVED)

    def _automations(self, notify: UUID | None) -> Iterator[Applied]:
        tag = self._catalogue.tag
        there = {found.name: found for found in self._client.read_automations() if tag in found.tags}
        for spec in self._catalogue.automations:
            wanted = automation_of(spec, tag, self._ids, notify)
            found = there.pop(spec.name, None)
            if found is None:
                if not self._dry:
                    self._client.create_automation(wanted)
                yield Applied("automation", spec.name, Change.CREATED)
                continue
            has, wants = fields_of(found), fields_of(wanted)
            changed = tuple(name for name in wants if has[name] != wants[name])
            if changed and not self._dry:
                self._client.update_automation(found.id, wanted)
            yield _applied("automation", spec.name, changed)
        for name, gone in sorted(there.items()):
            if not self._dry:
                self._client.delete_automation(gone.id)
            yield Applied("automation", name, Change.REMOVED)

    def _notify_block(self) -> UUID | None:
        if not any(_notifies(spec) for spec in self._catalogue.automations):
            return None
        kind, _, name = self._catalogue.notify.partition("/")
        try:
            return self._client.read_block_document_by_name(name, kind, include_secrets=False).id
        except ObjectNotFound:
            raise ConfigError(f"operations.notify: the Prefect server has no block {self._catalogue.notify!r}",
                              "make it in its pages under Blocks, and name it as type/name, such as slack-webhook/night"
                              ) from None


def _notifies(spec: AutomationSpec) -> bool:
    return isinstance(spec.action, NotifySpec)


def _applied(kind: str, name: str, changed: tuple[str, ...]) -> Applied:
    return Applied(kind, name, Change.CHANGED if changed else Change.UNCHANGED, changed)


def _differing(has: DeploymentFields, wants: DeploymentFields) -> tuple[str, ...]:
    return tuple(name for name in DeploymentFields.model_fields if getattr(has, name) != getattr(wants, name))
