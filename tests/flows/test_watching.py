"""What watches a run: its log file without secrets, its speed, its metrics, its progress on the server."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from qstar_core.operations import MetricsSettings
from tasks import metrics, progress, runlog, speed
from tasks.events import Event, Failure, ShardDone, emit, listening
from tasks.metrics import Metrics
from tasks.progress import ProgressArtifact
from tasks.runlog import redacted, run_log
from tasks.speed import Speed
from tests.flows.project import Project, ProjectHere
from tests.flows.test_catalogue import call


def clocked(monkeypatch: pytest.MonkeyPatch, module: object) -> list[float]:
    """A clock that stands until the test moves it."""
    now = [1000.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0], time=time.time))
    return now


def batch(samples: int = 10, tokens: int = 100, total: int = 100) -> Event:
    return Event("generate", done=samples, total=total, tokens=tokens)


def test_speed_leaves_out_loading_and_what_was_done_before(monkeypatch: pytest.MonkeyPatch) -> None:
    now, found = clocked(monkeypatch, speed), Speed()
    found.add(batch(samples=20, tokens=0))
    now[0] += 500  # the models are loaded
    found.add(batch())
    assert found.tokens_per_second is None and found.seconds_left is None
    now[0] += 5
    found.add(batch())
    assert (found.done, found.tokens_per_second, found.seconds_left) == (40, 20.0, 30.0)
    assert found.told == "40 of 100 samples, 20 tokens/s, 30 s left"


def test_a_secret_is_in_no_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QSTAR_HOME", str(tmp_path))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", 'sec"ret/value')
    with run_log("run-1", "demo round 1") as path, listening(lambda event: None):
        logging.getLogger("qstar").info("of %s", "http://ada:pass@host/x", extra={"shard": 3, "prompts": ["p1", "p2"]})
        logging.getLogger("qstar").error("key sec\"ret/value here")
        emit(Failure("sample", 2))
        emit(ShardDone(3, 1.25))
    logging.getLogger("qstar").info("after the run")
    text = path.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert "pass@" not in text and 'ret/value' not in text and lines[0]["message"] == "of http://***@host/x"
    assert (lines[0]["shard"], lines[0]["prompts"], lines[0]["flow_run_name"]) == (3, ["p1", "p2"], "demo round 1")
    assert [line["message"] for line in lines[1:]] == ["key *** here", "2 failed: sample", "shard sampled in 1.2 s"]
    assert redacted("a short word") == "a short word"


def test_old_logs_make_room_and_a_full_disk_costs_the_line_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                                                capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("QSTAR_HOME", str(tmp_path))
    monkeypatch.setattr(runlog, "KEPT_FILES", 3)
    for number in range(6):
        with run_log(f"run-{number}", "x"):
            logging.getLogger("qstar").info("line")
        time.sleep(0.01)
    assert sorted(path.stem for path in (tmp_path / "logs").iterdir()) == ["run-2", "run-3", "run-4", "run-5"]
    (tmp_path / "logs" / "full.jsonl").symlink_to("/dev/full")
    with run_log("full", "x"):
        logging.getLogger("qstar").info("line")
    assert capsys.readouterr().err == ""


def test_metrics_are_in_prometheus_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = clocked(monkeypatch, speed)
    path = tmp_path / "below" / "qstar.prom"
    watcher = Metrics(MetricsSettings(textfile=str(path)), "demo", waited_s=7)
    with listening(watcher):
        for _ in range(3):
            emit(batch())
            now[0] += 5
        emit(ShardDone(0, 12.0, acceptance=0.5))
        emit(Failure("sample", 2))
        emit(Event("filter", text="done"))
    watcher.send()
    found = {(sample.name, sample.labels.get("reason", sample.labels.get("le", ""))): sample.value
             for family in text_string_to_metric_families(path.read_text()) for sample in family.samples}
    wanted = {("qstar_tokens_total", ""): 300, ("qstar_samples_total", ""): 30, ("qstar_samples_left", ""): 70,
              ("qstar_tokens_per_second", ""): 20, ("qstar_acceptance_ratio", ""): 0.5,
              ("qstar_shard_seconds_bucket", "15.0"): 1, ("qstar_shard_seconds_bucket", "5.0"): 0,
              ("qstar_failures_total", "sample"): 2, ("qstar_queue_age_seconds", ""): 7}
    assert {name: found[name] for name in wanted} == wanted


def test_a_place_for_metrics_that_is_away_costs_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(metrics, "_PUSH_TIMEOUT_S", 0.5)
    for settings in (MetricsSettings(textfile=str(tmp_path / "file" / "x.prom")),
                     MetricsSettings(pushgateway="http://127.0.0.1:9")):
        watcher = Metrics(settings, "demo", 0)
        watcher(batch())
        watcher.send()


def test_progress_is_one_artifact_that_is_seldom_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    now = clocked(monkeypatch, progress)
    sent: list[tuple[float, str]] = []

    def create(percent: float, key: str, description: str) -> object:
        assert key == "night-1-progress"
        sent.append((percent, description))
        return progress.UUID(int=1)

    monkeypatch.setattr(progress, "create_progress_artifact", create)
    monkeypatch.setattr(progress, "update_progress_artifact",
                        lambda artifact, progress, description: sent.append((progress, description)))
    shown = ProgressArtifact("night.1", "3")
    for _ in range(100):
        shown(batch(samples=1))
        now[0] += progress.EVERY_S / 10
    assert [percent for percent, _ in sent] == [1, *range(11, 100, 10), 100]
    assert sent[0][1].startswith("Round 3: 1 of 100 samples")


def test_a_run_leaves_its_log_and_its_progress(undisturbed: Project, here: ProjectHere, api_url: str) -> None:
    folder = undisturbed.folder / ".qstar" / "logs"
    lines = [json.loads(line) for path in folder.glob("*.jsonl") for line in path.read_text().splitlines()]
    prompts = {prompt for line in lines for prompt in line.get("prompts", ())}
    rows = undisturbed.rows("data/data.jsonl") + undisturbed.rows("rejects/rejects.jsonl")
    assert prompts == {row["prompt_id"] for row in rows if row.get("prompt_id")} and len(prompts) == 24
    assert {line["shard"] for line in lines if "shard" in line} == {0, 1, 2}
    assert {line["flow_run_name"] for line in lines} == {"demo round 1"}
    first = next(line["flow_run_id"] for line in lines if line.get("prompts"))  # later ones found everything done
    told = here.run("logs", first, QSTAR_HOME=str(folder.parent)).stdout
    assert "(shard 2, samples" in told and "demo round 1" in here.run(
        "logs", "--list", QSTAR_HOME=str(folder.parent)).stdout
    assert "no run 'x' has a log here" in here.refused("logs", "x", code=6)
    found = call(f"{api_url}/artifacts/latest/filter", {"artifacts": {"key": {"any_": ["demo-progress"]}}})
    assert any(artifact["data"] == 100 and "48 of 48 samples" in artifact["description"] for artifact in found)
