"""A night from prompts to a published version, by the real command on a real Prefect server."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path

import datasets

from tests.flows.project import Project

REFUSES_ALL = {"QSTAR__GATE__MIN_KEEP_RATE": "1.0"}


def test_the_demo_ends_by_naming_version_report_and_run(undisturbed: Project) -> None:
    told = undisturbed.run("demo").stdout
    version = undisturbed.version()
    assert version.name in told and f"{version}/report.html" in told and "/runs/flow-run/" in told
    assert (version / "report.html").stat().st_size > 10_000


def test_every_sample_has_one_outcome_and_the_funnel_adds_up(undisturbed: Project) -> None:
    manifest = undisturbed.manifest()
    data, rejects = undisturbed.rows("data/data.jsonl"), undisturbed.rows("rejects/rejects.jsonl")
    diagnostics = undisturbed.rows("diagnostics/diagnostics.jsonl")
    assert len(diagnostics) == 48 == len(data) + len(rejects)
    assert {row["sample_idx"] for row in data} | {row["sample_idx"] for row in rejects} == set(range(48))
    for step in manifest["funnel"]:
        assert step["entered"] == step["kept"] + sum(step["dropped"].values())
    assert manifest["rows"] == len(data) == manifest["funnel"][-1]["kept"]


def test_the_folder_loads_as_a_dataset_in_the_messages_format(undisturbed: Project) -> None:
    folder = str(undisturbed.version())
    loaded = datasets.load_dataset(folder, split="train")
    rows = undisturbed.rows("data/data.jsonl")
    assert loaded.num_rows == len(rows)
    assert [turn["role"] for turn in loaded[0]["messages"]] == ["user", "assistant"]
    assert loaded[0]["messages"] == rows[0]["messages"]
    assert datasets.load_dataset(folder, "diagnostics", split="train").num_rows == 48


def test_the_teachers_prompt_is_in_no_row(undisturbed: Project) -> None:
    """The teacher's template adds ` ref `, which no question contains."""
    assert not any(" ref " in json.dumps(row) for row in undisturbed.rows("data/data.jsonl"))


def test_the_manifest_names_what_was_used(undisturbed: Project) -> None:
    manifest = undisturbed.manifest()
    assert manifest["models"]["student"]["sha256"] != manifest["models"]["teacher"]["sha256"]
    assert manifest["speed"]["tokens_per_second"] > 0 and manifest["speed"]["samples_per_minute"] > 0
    assert manifest["provenance"]["torch"] and manifest["provenance"]["dtype"] == "float32"
    assert manifest["settings"]["alpha"]["method"] == "kl_symmetry"


def test_a_second_demo_starts_in_seconds_and_changes_nothing(undisturbed: Project) -> None:
    before = _written(undisturbed.store)
    since = time.monotonic()
    assert "is published already" in undisturbed.run("demo").stderr
    assert time.monotonic() - since < 60
    assert _written(undisturbed.store) == before


def test_the_run_and_its_artifacts_are_on_the_server(undisturbed: Project, api_url: str) -> None:
    found = _post(f"{api_url}/artifacts/filter", {})
    keys = {artifact["key"] for artifact in found}
    assert {"demo-funnel", "demo-gate", "demo-report"} <= keys
    names = {run["name"] for run in _post(f"{api_url}/flow_runs/filter", {})}
    assert "demo round 1" in names
    tasks = {run["name"] for run in _post(f"{api_url}/task_runs/filter", {})}
    assert any(name.startswith("generate shard 0") for name in tasks)


def test_rounds_follow_each_other_and_a_rollback_holds(here: Project) -> None:
    here.run("demo")
    first, questions = here.latest(), _questions(here)
    here.run("demo", "--round", "2")
    second = here.latest()
    assert second != first and not questions & _questions(here)
    assert here.manifest()["parents"] == [first]
    here.run("datasets", "rollback", first)
    assert here.latest() == first
    here.run("demo", "--round", "2")
    assert here.latest() == first, "a rerun of an old round must not undo a rollback"


def test_other_filters_reuse_the_finished_shards(here: Project) -> None:
    here.run("demo")
    shards = sorted((here.dataset() / "rounds").rglob("shards/*.parquet"))
    here.run("demo", "--filters", "[{name: finish}]")
    assert sorted((here.dataset() / "rounds").rglob("shards/*.parquet")) == shards
    versions = [p.name for p in (here.dataset() / "versions").iterdir()]
    assert len(versions) == 2
    assert here.manifest()["rows"] == 48


def test_a_refused_round_stays_staged_and_latest_does_not_move(here: Project) -> None:
    here.run("demo")
    before = here.latest()
    line = here.refused("demo", "--round", "2", code=7, **REFUSES_ALL)
    assert "keep rate is" in line and "at least 1" in line and "report.html" in line
    assert here.latest() == before
    staged = next((here.dataset() / "staged").glob("2-*"))
    assert (staged / "report.html").exists() and (staged / "rejects" / "rejects.jsonl").exists()
    assert len(list((here.dataset() / "versions").iterdir())) == 1


def test_generate_takes_the_names_of_the_older_sampler(here: Project) -> None:
    rows = [{"question": row["messages"][0]["content"], "answer": "1"} for row in _some_rows(here)]
    (here.folder / "q.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    output = here.folder / "out" / "data.jsonl"
    here.run("generate", "--model_theta", "builtin:tiny-student", "--model_t", "builtin:tiny-teacher",
                "--dataset", "q.jsonl", "--output", str(output), "--num_samples", "3", "--batch_size", "2",
                "--dtype", "float32", "--alpha_method", "fixed", "--fixed_alpha", "0.25", "--start_idx", "1",
                "--save_diagnostics", "--prompt_field", "question", "--dataset_adapter", "question_answer",
                "--filters", "[{name: finish}]", "--engine.context", "160")
    written = [json.loads(line) for line in output.read_text().splitlines()]
    assert {row["messages"][0]["content"] for row in written} <= {row["question"] for row in rows[1:4]}
    told = [json.loads(line) for line in output.with_name("data_diagnostics.jsonl").read_text().splitlines()]
    assert len(told) == 6 and all(abs(row["alpha_mean"] - 0.25) < 1e-6 for row in told)


def _written(store: Path) -> dict[Path, int]:
    """Every object and when it was written, but for who held the round last."""
    return {path: path.stat().st_mtime_ns for path in store.rglob("*")
            if path.is_file() and ".tmp" not in path.parts and path.name != "lease.json"}


def _questions(project: Project) -> set[str]:
    return {row["messages"][0]["content"] for row in project.rows("data/data.jsonl")}


def _some_rows(project: Project) -> list[dict]:
    project.run("demo")
    return project.rows("data/data.jsonl")[:6]


def _post(url: str, body: dict) -> list[dict]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        return list(json.load(reply))


def test_a_version_folder_is_complete(undisturbed: Project) -> None:
    folder = undisturbed.version()
    named = {Path(ref["key"]).relative_to(f"datasets/demo/versions/{folder.name}") for ref in
             undisturbed.manifest()["files"]}
    present = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.name != "lease.json"}
    assert present == named | {Path("manifest.json")}
