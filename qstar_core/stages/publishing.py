"""A round that passed → an immutable version: files copied to their place, the manifest last, then `latest` moved.

Every step can be repeated: a killed publisher is finished by the next run, and what is published never changes.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from qstar_core.engine.vllm.installed import installed_version
from qstar_core.errors import ApprovalNeededError, GateFailedError, IntegrityError, NotFoundError
from qstar_core.records import DatasetVersion, FileRef, GateCheck, GateReport, GateVerdict, Manifest
from qstar_core.stages.approving import approval_of, needs_approval
from qstar_core.stages.card import dataset_card
from qstar_core.stages.footers import columns, read_footer
from qstar_core.stages.judging import gate_report
from qstar_core.stages.pages import pages, report_key
from qstar_core.stages.plan import Plan
from qstar_core.stages.refine import staged
from qstar_core.stages.reporting import speed
from qstar_core.stages.workspace import Workspace
from qstar_core.store.integrity import store_bytes
from qstar_core.store.objects import ObjectStore
from qstar_core.store.versions import Versions

_PACKAGES = ("qstar", "torch", "transformers", "prefect", "datasets", "numpy", "pyarrow")


def published(workspace: Workspace, plan: Plan) -> DatasetVersion | None:
    """The version that the plan ends in, where it was published before. What a killed publisher left is finished:
    `latest` moves if that was still to do, and what was staged goes."""
    versions = Versions(workspace.store, plan.dataset)
    return _concluded(workspace, plan, versions) if versions.exists(plan.version) else None


def publish(workspace: Workspace, plan: Plan) -> DatasetVersion:
    """Of two that publish the same version at once, one does; the other gets a ConflictError."""
    versions = Versions(workspace.store, plan.dataset)
    if versions.exists(plan.version):
        return _concluded(workspace, plan, versions)
    try:
        _add(workspace, plan, versions)
    except NotFoundError:
        if versions.exists(plan.version):  # then it was the other one that removed what was staged
            raise versions.taken(plan.version) from None
        raise
    return _concluded(workspace, plan, versions)


def _add(workspace: Workspace, plan: Plan, versions: Versions) -> None:
    gate = gate_report(workspace, plan)
    if gate.verdict is GateVerdict.FAIL:
        raise GateFailedError(refusal(workspace, plan), f"{_where_to_read(workspace, plan)}; `latest` did not move")
    lacking = lacks_approval(workspace, plan)
    if lacking is not None:
        raise lacking
    versions.add(_manifest(workspace, plan, versions))


def lacks_approval(workspace: Workspace, plan: Plan) -> ApprovalNeededError | None:
    """What a person is asked, where one has to look before the version is published."""
    gate = gate_report(workspace, plan)
    if not needs_approval(plan, gate) or approval_of(workspace, plan) is not None:
        return None
    return ApprovalNeededError(waiting(plan, gate), f"{_where_to_read(workspace, plan)}, then `qstar datasets "
                               f"approve {plan.version} --by YOU --dataset {plan.dataset}`")


def data_docs(workspace: Workspace, version: DatasetVersion) -> tuple[str, ...]:
    """The pages of Data Docs of a published version, relative to it."""
    key = Versions(workspace.store, version.dataset).key(version.version)
    return tuple(info.key.removeprefix(f"{key}/") for info in workspace.store.list(f"{key}/data-docs/"))


def _concluded(workspace: Workspace, plan: Plan, versions: Versions) -> DatasetVersion:
    versions.promote(plan.version)
    for info in list(workspace.store.list(f"{plan.staged_key}/")):
        workspace.store.delete(info.key)
    return versions.reference(plan.version)


def refusal(workspace: Workspace, plan: Plan) -> str:
    """What the gate objected to, in one line."""
    failed = gate_report(workspace, plan).failed()
    return f"the gate refused {plan.dataset} {plan.version}: {'; '.join(map(_objection, failed))}"


def waiting(plan: Plan, gate: GateReport) -> str:
    """What a person is asked to let pass, in one line."""
    warned = ", ".join(check.name for check in gate.checks if check.verdict is GateVerdict.WARN)
    return f"{plan.dataset} {plan.version} waits for a person: the gate warns of {warned}"


def standing(workspace: Workspace, plan: Plan) -> str:
    """Why a staged version is not published, in one line."""
    gate = gate_report(workspace, plan)
    if gate.verdict is GateVerdict.FAIL:
        return refusal(workspace, plan)
    if lacks_approval(workspace, plan) is not None:
        return waiting(plan, gate)
    return f"{plan.dataset} {plan.version} was judged, and its publishing did not end: run its round again"


def _where_to_read(workspace: Workspace, plan: Plan) -> str:
    address = workspace.store.locate(report_key(plan))
    if address.startswith("file:"):
        return f"read {address}"
    return (f"read {address}: `qstar datasets pull {plan.version} --dataset {plan.dataset} --out {plan.version}` "
            "fetches it")


def _objection(check: GateCheck) -> str:
    such_as = f", such as sample {check.examples[0].sample_id}" if check.examples else ""
    return (f"{check.name} is {check.value:.4g}, allowed {check.allowed}{such_as} "
            f"(usually {check.cause})")


def _manifest(workspace: Workspace, plan: Plan, versions: Versions) -> Manifest:
    found, store = staged(workspace, plan), workspace.store
    target = versions.key(plan.version)
    told = pages(workspace, plan)
    if all(ref.key != report_key(plan) for ref in told):
        raise IntegrityError(f"{plan.dataset} {plan.version} was judged anew after its report was written",
                             "run the round again")
    files = [_placed(workspace, plan, ref, target) for ref in (*found.files, *told)]
    card = dataset_card(plan, found, gate_report(workspace, plan))
    files.append(store_bytes(store, f"{target}/README.md", card.encode()))
    latest = versions.latest()
    return described(workspace, plan, files, datetime.now(UTC).isoformat(timespec="seconds"),
                     parents=(latest.version,) if latest else ())


def described(workspace: Workspace, plan: Plan, files: Iterable[FileRef], created: str,
              parents: tuple[str, ...] = ()) -> Manifest:
    """The manifest of the round with these files, wherever they lie."""
    found, files = staged(workspace, plan), tuple(sorted(files, key=lambda ref: ref.key))
    return Manifest(
        dataset=plan.dataset, version=plan.version, round=plan.round, sampling_hash=plan.sampling_hash,
        config_hash=plan.config_hash, code_version=_installed("qstar"),
        created=created, run_id=plan.run_id,
        rows=found.kept + sum(found.replay.values()), replay=found.replay, shares=found.shares,
        files=files, schemas=_schemas(workspace.store, files), funnel=found.funnel,
        gate=gate_report(workspace, plan), models=plan.models,
        templates={role: str(plan.settings["prompts"][role]) for role in ("student", "teacher")},
        settings=plan.settings, speed=speed(found), provenance=_provenance(plan),
        parents=parents, approval=approval_of(workspace, plan),
    )


def _schemas(store: ObjectStore, files: Iterable[FileRef]) -> dict[str, dict[str, str]]:
    """By the files' names below the version's folder, datasets/NAME/…/VERSION."""
    found = {ref.key.split("/", 4)[-1]: read_footer(store, ref) for ref in files
             if ref.key.endswith(".parquet")}
    return {name: columns(footer) for name, footer in sorted(found.items()) if footer is not None}


def _placed(workspace: Workspace, plan: Plan, ref: FileRef, target: str) -> FileRef:
    """A staged file at its final key, still the one that was judged."""
    key = f"{target}/{ref.key.removeprefix(plan.staged_key + '/')}"
    workspace.store.copy(ref.key, key, sha256=ref.sha256)
    return ref.model_copy(update={"key": key})


def _provenance(plan: Plan) -> dict[str, str]:
    engine = plan.settings["engine"]
    machine = {"python": platform.python_version(), "system": platform.system(), "machine": platform.machine()}
    vllm = {"vllm": installed_version() or "not installed"} if engine["kind"] == "vllm" else {}
    return {**{name: _installed(name) for name in _PACKAGES}, **vllm, **machine,
            **{name: str(engine[name]) for name in ("kind", "dtype", "device", "batch_size", "deterministic")}}


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
