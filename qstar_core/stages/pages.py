"""The pages of a judged round, with their hashes: Data Docs and the report. What is published is compared with them."""

from __future__ import annotations

from collections.abc import Iterable

from qstar_core.records import FileRef, Record
from qstar_core.stages.lines import load_record
from qstar_core.stages.plan import Plan
from qstar_core.stages.workspace import Workspace


class Pages(Record):
    files: tuple[FileRef, ...]


def report_key(plan: Plan) -> str:
    return f"{plan.staged_key}/report.html"


def pages(workspace: Workspace, plan: Plan) -> tuple[FileRef, ...]:
    return load_record(workspace.store, _key(plan), Pages).files


def record_pages(workspace: Workspace, plan: Plan, files: Iterable[FileRef]) -> None:
    """Judging begins the record; a report that is written later is added to what it holds."""
    workspace.store.write(_key(plan), Pages(files=tuple(files)).model_dump_json(indent=1).encode())


def _key(plan: Plan) -> str:
    return f"{plan.staged_key}/pages.json"
