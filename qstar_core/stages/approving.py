"""A staged version with warnings that a person lets pass. The approval lies beside the gate's report and names its
hash: a round that is judged anew with another result needs a new one. What the gate refused cannot be approved.
"""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import ValidationError

from qstar_core.errors import ConfigError, GateFailedError, NotFoundError
from qstar_core.records import Approval, GateReport, GateVerdict
from qstar_core.stages.judging import gate_key, gate_report
from qstar_core.stages.lines import load_record
from qstar_core.stages.plan import Plan, load_plan
from qstar_core.stages.workspace import Workspace
from qstar_core.store.integrity import sha256_bytes
from qstar_core.store.keys import check_key


def staged_plan(workspace: Workspace, dataset: str, version: str) -> Plan:
    """The plan of a staged version, by the version's name."""
    round_name, _, _ = version.rpartition("-")
    prefix = f"datasets/{dataset}/rounds/{round_name}/"
    if round_name and "/" not in version:
        for info in workspace.store.list(check_key(prefix.removesuffix("/")) + "/"):
            if info.key.endswith(f"/plans/{version}/plan.json"):
                return load_plan(workspace.store, info.key.removesuffix("/plan.json"))
    raise not_staged(workspace, dataset, version)


def not_staged(workspace: Workspace, dataset: str, version: str) -> NotFoundError:
    return NotFoundError(f"dataset {dataset} has no staged version {version!r}",
                         f"there are: {', '.join(staged_names(workspace, dataset)) or 'none'}")


def staged_names(workspace: Workspace, dataset: str) -> tuple[str, ...]:
    """Versions that were judged and are not published."""
    keys = (info.key.split("/") for info in workspace.store.list(f"datasets/{dataset}/staged/"))
    return tuple(sorted({parts[3] for parts in keys if len(parts) == 5 and parts[4] == "gate.json"}))


def check_approvable(workspace: Workspace, plan: Plan) -> None:
    gate = gate_report(workspace, plan)
    if gate.verdict is GateVerdict.FAIL:
        failed = ", ".join(check.name for check in gate.failed())
        raise GateFailedError(f"{plan.dataset} {plan.version} cannot be approved: the gate refused it ({failed})",
                              "mend the cause and run the round again")


def approve(workspace: Workspace, plan: Plan, by: str, comment: str = "") -> Approval:
    check_approvable(workspace, plan)
    try:
        approval = Approval(by=by.strip(), comment=comment.strip(), gate_sha256=_gate_sha256(workspace, plan),
                            at=datetime.now(UTC).isoformat(timespec="seconds"))
    except ValidationError:
        raise ConfigError("an approval needs the name of a person, and a comment of at most 2,000 characters",
                          "give --by, such as --by ada") from None
    workspace.store.write(_key(plan), approval.model_dump_json(indent=1).encode())
    return approval


def needs_approval(plan: Plan, gate: GateReport) -> bool:
    return gate.verdict is GateVerdict.WARN and plan.settings["gate"].get("on_warn") == "approve"


def approval_of(workspace: Workspace, plan: Plan) -> Approval | None:
    """The approval of the gate's present report, if there is one."""
    if workspace.store.head(_key(plan)) is None:
        return None
    found = load_record(workspace.store, _key(plan), Approval)
    return found if found.gate_sha256 == _gate_sha256(workspace, plan) else None


def _key(plan: Plan) -> str:
    return f"{plan.staged_key}/approval.json"


def _gate_sha256(workspace: Workspace, plan: Plan) -> str:
    return sha256_bytes(workspace.store.read(gate_key(plan)))
