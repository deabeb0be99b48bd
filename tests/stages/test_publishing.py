"""A version is visible whole or not at all, `latest` moves forward only, and what is published never changes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import datasets
import pytest

from qstar_core.config import Settings
from qstar_core.errors import ConflictError, GateFailedError, IntegrityError, NotFoundError, StoreError
from qstar_core.records import GateVerdict
from qstar_core.stages.difference import difference
from qstar_core.stages.judging import judge_round
from qstar_core.stages.outputs import DATA, DIAGNOSTICS, traces_schema
from qstar_core.stages.plan import Plan
from qstar_core.stages.publishing import publish, published
from qstar_core.stages.refine import refine
from qstar_core.stages.reporting import write_report
from qstar_core.stages.verifying import verify
from qstar_core.stages.workspace import Workspace
from qstar_core.store.directory import DirectoryStore
from qstar_core.store.integrity import sha256_bytes
from qstar_core.store.versions import Versions, dataset_names
from tests.stages.scripted import FailingStore, Project

TRACES = traces_schema(0)
FILES = {"README.md", "report.html", "manifest.json", "data/data.jsonl", "data/data.parquet",
         "diagnostics/diagnostics.jsonl", "diagnostics/diagnostics.parquet", "traces/traces.parquet",
         "rejects/rejects.jsonl",
         *(f"data-docs/{name}.html" for name in ("schema", "data", "diagnostics", "traces"))}


def versions_of(project: Project) -> Versions:
    return Versions(project.store, "demo")


def files(project: Project, plan: Plan) -> dict[str, bytes]:
    prefix = f"{versions_of(project).key(plan.version)}/"
    return {info.key.removeprefix(prefix): project.store.read(info.key) for info in project.store.list(prefix)}


def staged_keys(project: Project, plan: Plan) -> list[str]:
    return [info.key for info in project.store.list(f"{plan.staged_key}/")]


def test_a_published_version_is_whole(project: Project) -> None:
    plan = project.judged()
    assert dataset_names(project.store) == () and published(project.workspace(), plan) is None
    version = publish(project.workspace(), plan)
    found = files(project, plan)
    assert set(found) == FILES
    manifest = versions_of(project).manifest(plan.version)
    for ref in manifest.files:
        data = project.store.read(ref.key)
        assert (len(data), sha256_bytes(data)) == (ref.bytes, ref.sha256)
    assert {ref.key.rpartition(f"{plan.version}/")[2] for ref in manifest.files} == FILES - {"manifest.json"}
    assert (version.rows, version.manifest_sha256) == (manifest.rows, sha256_bytes(found["manifest.json"]))
    assert (manifest.sampling_hash, manifest.models, manifest.run_id) == (plan.sampling_hash, project.models, "run")
    assert Settings.model_validate(manifest.settings) == project.settings
    for name, schema in (("data", DATA), ("diagnostics", DIAGNOSTICS), ("traces", TRACES)):
        told = {column: kind.replace("element", "item") for column, kind in  # what Parquet calls the items of a list
                manifest.schemas[f"{name}/{name}.parquet"].items()}
        assert told == {field.name: str(field.type) for field in schema}
    assert manifest.templates.keys() == manifest.models.keys() == {"student", "teacher"} and manifest.code_version
    assert not verify(project.workspace(), versions_of(project), plan.version).faults
    assert manifest.speed.keys() == {"tokens_per_second", "samples_per_minute"}
    assert dataset_names(project.store) == ("demo",) and list(versions_of(project).names()) == [plan.version]
    latest = versions_of(project).latest()
    assert latest is not None and latest.version == plan.version
    assert latest.manifest_sha256 == version.manifest_sha256
    assert staged_keys(project, plan) == []
    assert published(project.workspace(), plan) == version


def test_publishing_again_changes_nothing(project: Project) -> None:
    plan = project.judged()
    version = publish(project.workspace(), plan)
    before = {info.key: info.etag for info in project.store.list("")}
    assert publish(project.workspace(), plan) == version
    assert {info.key: info.etag for info in project.store.list("")} == before


def test_a_publisher_killed_at_any_moment_is_finished_by_the_next(project: Project, tmp_path: Path) -> None:
    before = project.judged("before")
    publish(project.workspace(), before)
    plan = project.judged("killed")
    judged = tmp_path / "store"

    def again(name: str) -> Project:
        return Project(DirectoryStore(Path(shutil.copytree(judged, tmp_path / name))), project.models, project.settings)

    counting = FailingStore(again("counting").store, 10**6)
    publish(Workspace(project.settings, counting), plan)
    count = 10**6 - counting.left
    assert count == 12 + 2 + 14, "twelve files, manifest and pointer, fourteen staged objects"
    for left in range(count):
        project = again(f"killed{left}")
        with pytest.raises(StoreError, match="the store is gone"):
            publish(Workspace(project.settings, FailingStore(project.store, left)), plan)
        versions = versions_of(project)
        latest = versions.latest()
        assert latest is not None
        whole = versions.exists(plan.version)
        assert whole == ("manifest.json" in files(project, plan)) == (left >= 13)
        assert (plan.version in versions.names()) == whole and (latest.version == plan.version) == (left >= 14)
        half = files(project, plan)
        if whole:
            assert set(half) == FILES
        if left % 2:
            finished = publish(project.workspace(), plan)
        elif whole:
            finished = published(project.workspace(), plan)
        else:  # the whole tail of the round again, as a rerun does
            refine(project.workspace(), plan), judge_round(project.workspace(), plan)
            write_report(project.workspace(), plan)
            finished = publish(project.workspace(), plan)
        after = files(project, plan)
        assert set(after) == FILES and {name: after[name] for name in half} == half
        latest = versions.latest()
        assert finished is not None and latest is not None and latest.version == plan.version == finished.version
        assert staged_keys(project, plan) == []


def test_a_killed_round_ends_in_the_same_files(project: Project) -> None:
    plan = project.judged()
    with pytest.raises(StoreError):
        publish(Workspace(project.settings, FailingStore(project.store, 5)), plan)
    refine(project.workspace(), plan), judge_round(project.workspace(), plan), write_report(project.workspace(), plan)
    publish(project.workspace(), plan)
    assert files(project, plan)["data/data.parquet"]
    manifest = versions_of(project).manifest(plan.version)
    for ref in manifest.files:
        assert sha256_bytes(project.store.read(ref.key)) == ref.sha256


def test_a_failed_gate_leaves_report_and_rejects_and_moves_nothing(project: Project) -> None:
    first = project.judged("good")
    publish(project.workspace(), first)
    strict = project.with_settings(gate__min_rows=1000, gate__alpha={"low": 0.9, "high": 1.0})
    plan = strict.judged("bad")
    for _ in range(2):
        with pytest.raises(GateFailedError) as caught:
            publish(strict.workspace(), plan)
        line = str(caught.value)
        assert plan.version in line and "row count is" in line and "allowed at least 1000" in line
        assert "alpha is 0." in line and "allowed 0.9 to 1" in line
    latest = versions_of(project).latest()
    assert latest is not None and latest.version == first.version
    assert list(versions_of(project).names()) == [first.version] and published(strict.workspace(), plan) is None
    kept = {key.removeprefix(f"{plan.staged_key}/") for key in staged_keys(project, plan)}
    assert kept == FILES - {"README.md", "manifest.json"} | {"gate.json", "staged.json", "pages.json"}


def test_a_warning_lets_it_pass_and_is_recorded(project: Project) -> None:
    soft = project.with_settings(gate__min_rows=1000, gate__warn_only=["row count"])
    plan = soft.judged()
    publish(soft.workspace(), plan)
    assert versions_of(project).manifest(plan.version).gate.verdict is GateVerdict.WARN


def test_rounds_are_linked_and_a_rollback_outlives_reruns(project: Project) -> None:
    plans = [project.judged(f"r{i}") for i in range(3)]
    for plan in plans:
        publish(project.workspace(), plan)
    versions = versions_of(project)
    names = [plan.version for plan in plans]
    assert [versions.manifest(name).parents for name in names] == [(), (names[0],), (names[1],)]
    versions.rollback(names[0])
    for plan in plans:
        publish(project.workspace(), plan)
        published(project.workspace(), plan)
    latest = versions.latest()
    assert latest is not None and latest.version == names[0] and latest.history == (*names, names[0])
    later = project.judged("r3")
    publish(project.workspace(), later)
    latest = versions.latest()
    assert latest is not None and latest.version == later.version
    assert versions.manifest(later.version).parents == (names[0],)


def test_two_publishers_at_once_agree_on_latest(project: Project) -> None:
    """While one moves the pointer, another moves it first: the conditional write sees that and both are in history."""
    one, two = project.judged("one"), project.judged("two")

    class Interrupted:
        done = False

        def __getattr__(self, name: str) -> Any:
            return getattr(project.store, name)

        def write(self, key: str, data: bytes, **condition: Any) -> str:
            if key.endswith("latest.json") and not self.done:
                self.done = True
                publish(project.workspace(), two)
            return project.store.write(key, data, **condition)

    publish(Workspace(project.settings, Interrupted()), one)
    latest = versions_of(project).latest()
    assert latest is not None and latest.history == (two.version, one.version)


def test_of_two_publishers_of_one_version_the_slower_is_told(project: Project) -> None:
    """The faster one publishes at any step of the slower one, and removes what was staged under its hands."""
    for moment, words in (("copy", "r-copy"), ("head", "r-head"), ("read", "r-read")):
        plan = project.judged(words)

        class Slow:
            done = False

            def __init__(self, moment: str, plan: Plan) -> None:
                self._moment, self._plan = moment, plan

            def __getattr__(self, name: str) -> Any:
                found = getattr(project.store, name)

                def slowed(key: str, *given: Any, **named: Any) -> Any:
                    wanted = "pages.json" if name == "read" else "data.parquet"
                    if name == self._moment and wanted in key and not self.done:
                        self.done = True
                        publish(project.workspace(), self._plan)
                    return found(key, *given, **named)

                return slowed if name in ("copy", "head", "read") else found

        slow = Slow(moment, plan)
        with pytest.raises(ConflictError, match=f"demo {plan.version} was published by another run in this moment"):
            publish(Workspace(project.settings, slow), plan)
        assert slow.done and not verify(project.workspace(), versions_of(project), plan.version).faults
        assert publish(project.workspace(), plan).version == plan.version


def test_an_incomplete_file_keeps_the_version_invisible(project: Project) -> None:
    plan = project.judged()

    class Cut:
        def __getattr__(self, name: str) -> Any:
            return getattr(project.store, name)

        def copy(self, source: str, target: str, sha256: str) -> None:
            data = project.store.read(source)
            project.store.write(target, data[:-1] if target.endswith("data.jsonl") else data)

    with pytest.raises(IntegrityError, match=r"data\.jsonl is not complete"):
        publish(Workspace(project.settings, Cut()), plan)
    assert list(versions_of(project).names()) == [] and versions_of(project).latest() is None


@pytest.mark.parametrize("file", ["data/data.parquet", "rejects/rejects.jsonl", "report.html", "data-docs/data.html"])
def test_what_changed_since_it_was_judged_is_not_published(project: Project, file: str) -> None:
    plan = project.judged()
    key = f"{plan.staged_key}/{file}"
    data = project.store.read(key)
    project.store.write(key, bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(IntegrityError, match=f"{file} has SHA-256 .* run the round again"):
        publish(project.workspace(), plan)
    assert list(versions_of(project).names()) == [] and f"{versions_of(project).key(plan.version)}/{file}" not in [
        info.key for info in project.store.list("")]


def test_a_report_of_an_earlier_judgement_and_a_foreign_page_are_not_published(project: Project) -> None:
    plan = project.judged()
    project.store.write(f"{plan.staged_key}/data-docs/foreign.html", b"x")
    judge_round(project.workspace(), plan)
    with pytest.raises(IntegrityError, match="was judged anew after its report was written — run the round again"):
        publish(project.workspace(), plan)
    write_report(project.workspace(), plan)
    publish(project.workspace(), plan)
    assert set(files(project, plan)) == FILES


def test_unknown_and_damaged_versions_are_told(project: Project) -> None:
    versions = versions_of(project)
    with pytest.raises(NotFoundError, match="dataset demo has no version 'x' — there are: none yet"):
        versions.rollback("x")
    plan = project.judged()
    publish(project.workspace(), plan)
    with pytest.raises(NotFoundError, match=f"there are: {plan.version}"):
        versions.manifest("x")
    project.store.write("datasets/demo/latest.json", b'{"version": 3')
    for ask in (versions.latest, lambda: versions.promote(plan.version), lambda: versions.rollback(plan.version)):
        with pytest.raises(IntegrityError, match=r"latest\.json is damaged"):
            ask()
    project.store.write(f"{versions.key(plan.version)}/manifest.json", b"{}")
    for look in (versions.manifest, versions.reference, versions.rollback):
        with pytest.raises(IntegrityError, match=f"the manifest of demo {plan.version} is damaged"):
            look(plan.version)


def test_a_version_loads_by_its_card(project: Project, tmp_path: Path) -> None:
    project = project.with_settings(prompts__teacher="{{ question }} plus minus", source__kind="odd | kind",
                                    prompts__student_system="sort")
    plan = project.judged()
    version = publish(project.workspace(), plan)
    for name, data in files(project, plan).items():
        path = tmp_path / "copy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    folder = str(tmp_path / "copy")
    loaded = datasets.load_dataset(folder, cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == ["train"] and len(loaded["train"]) == version.rows
    assert [turn["role"] for turn in loaded["train"][0]["messages"]] == ["system", "user", "assistant"]
    told = datasets.load_dataset(folder, "diagnostics", cache_dir=str(tmp_path / "cache"))["train"]
    assert len(told) == plan.samples and set(told["outcome"]) >= {"kept", "dropped"}


def test_the_difference_of_two_versions_names_what_changed(project: Project) -> None:
    one = project.judged("r1")
    publish(project.workspace(), one)
    other = project.with_settings(sampling__temperature=0.7, filters=[{"name": "finish"}])
    two = other.judged("r1")
    publish(other.workspace(), two)
    found = difference(project.workspace(), versions_of(project), one.version, two.version)
    lines = {line.name: (line.old, line.new) for line in found.lines}
    rows = [versions_of(project).manifest(plan.version).rows for plan in (one, two)]
    assert lines["rows"] == (str(rows[0]), str(rows[1])) == lines["rows only here"]
    assert lines["sampling.temperature"] == ("1.0", "0.7")
    assert "filters" in lines and not any(name.startswith("alpha") for name in lines)
    same = difference(project.workspace(), versions_of(project), one.version, one.version)
    assert [line.name for line in same.lines][:4] == ["rows", "rows only here", "rows in both, changed", "created"]
    assert same.lines[1].old == same.lines[2].old == "0"
    assert {line.name.partition(":")[0] for line in same.lines[4:]} == {"tokens", "α", "ESS ratio"}
