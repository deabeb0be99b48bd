"""What goes wrong ends in one clear line and its own exit code; a row at fault is counted and kept with its reason."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from qstar_core.store.localserver import RunningS3
from tests.flows.project import Project

QUESTION = "Tom has 15 apples . a) loses 1 . b) finds 2 . how many ?"


@pytest.mark.parametrize(("arguments", "code", "said"), [
    (("demo", "--sampling.temperature", "hot"), 2, ("sampling.temperature", "'hot'", "number")),
    (("demo", "--sampling.temperature", "-1"), 2, ("sampling.temperature", "-1", "greater than or equal to 0.000001")),
    (("demo", "--alpha.method", "magic"), 2, ("magic", "kl_symmetry")),
    (("demo", "--alpha.min", "0.9", "--alpha.max", "0.1"), 2, ("alpha.min", "alpha.max")),
    (("demo", "--filters", "[{name: taste}]"), 2, ("taste", "duplicate")),
    (("demo", "--round", "a/b"), 2, ("a/b", "letters")),
    (("refresh", "--config", "absent.yaml"), 2, ("absent.yaml",)),
    (("refresh", "--config", "nonsense"), 2, ("nonsense", "tiny")),
    (("demo", "--student.model", "./nowhere"), 4, ("./nowhere", "path")),
    (("demo", "--teacher.model", "builtin:huge"), 4, ("builtin:huge", "tiny-teacher")),
    (("demo", "--student.model", "latest"), 4, ("promoted", "student.initial")),
    (("demo", "--teacher.model", "builtin:smollm2"), 4, ("vocabulary",)),
    (("demo", "--prompts.student", "{{ question }} {{ answer }}"), 2, ("prompts.student", "must not see")),
    (("demo", "--source.path", "missing.jsonl"), 3, ("missing.jsonl",)),
    (("demo", "--store.uri", "ftp://host/x"), 2, ("ftp", "s3://")),
    (("demo", "--engine.context", "100000"), 4, ("engine.context", "100000")),
    (("demo", "--engine.device", "cuda:9"), 5, ("cuda:9", "cpu")),
    (("datasets", "rollback", "never"), 6, ("never",)),
    (("analyze", "nothing.jsonl"), 3, ("nothing.jsonl",)),
    (("generate", "--output", "."), 2, ("folder",)),
    (("demo", "--gate.warn_only", "[taste]"), 2, ("gate.warn_only", "taste", "ESS ratio")),
    (("demo", "--round", "[/bold]"), 2, ("[/bold]", "letters")),
    (("demo", "--round", ""), 2, ("letters",)),
    (("demo", "--sampling.seed", "99999999999999999999"), 2, ("sampling.seed",)),
    (("demo", "--sampling.draws", "3000000000"), 2, ("sampling.draws",)),
    (("demo", "--source.adapter", "guess"), 2, ("guess", "gsm8k")),
])
def test_one_line_names_the_thing_and_the_fix(here: Project, arguments: tuple[str, ...], code: int,
                                              said: tuple[str, ...]) -> None:
    line = here.refused(*arguments, code=code)
    for word in said:
        assert word in line


def test_an_unknown_key_in_the_environment_or_a_file_is_named(here: Project) -> None:
    assert "alpha.fixd" in here.refused("demo", code=2, QSTAR__ALPHA__FIXD="0.5")
    (here.folder / "x.yaml").write_text("alpha: {methd: fixed}")
    assert "alpha.methd" in here.refused("refresh", "--config", "x.yaml", code=2)


def test_rows_at_fault_are_counted_and_kept_with_their_reason(here: Project) -> None:
    good = [{"question": QUESTION.replace("15", str(n)), "answer": str(n + 1)} for n in range(5, 11)]
    lines = [json.dumps(row).encode() for row in good]
    lines += [b"{not json", b'{"question": "\xff\xfe"}', b'{"question": ""}', b"[1]", lines[0],
              json.dumps({"answer": "3"}).encode(), json.dumps({"question": f"{QUESTION} <|end|>"}).encode(),
              json.dumps({"question": "apples " * 500}).encode(), json.dumps({"question": "unknownword ?"}).encode()]
    (here.folder / "q.jsonl").write_bytes(b"\n".join(lines))
    done = here.run("demo", "--source.path", "q.jsonl", "--filters", "[{name: finish}]", "--prompts.teacher",
                       "{{ question }} steps", "--gate.warn_only", "[ESS ratio, alpha, KL difference, keep rate]")
    told = done.stderr
    assert "schema   question_answer, by the columns question, answer" in told
    assert f"student  reads <|user|> {good[0]['question']} <|end|> <|assistant|>" in told
    assert f"teacher  reads <|user|> {good[0]['question']} steps <|end|> <|assistant|>" in told
    funnel = {step["stage"]: step for step in here.manifest()["funnel"]}
    assert funnel["ingest"]["entered"] == 15 and funnel["ingest"]["kept"] == 9
    assert funnel["ingest"]["dropped"] == {
        "the line is not JSON": 1, "the line is not UTF-8": 1, "the prompt is empty": 1,
        "the line is not a JSON object": 1, "the prompt occurred before": 1,
        "the column question or problem or prompt or instruction or query or text is missing": 1,
    }
    assert sum(funnel["render"]["dropped"].values()) == 3 and funnel["render"]["kept"] == 6
    kept = [row for row in here.rows("rejects/rejects.jsonl") if row["stage"] in ("ingest", "render")]
    assert len(kept) == 9 and all(row["reason"] for row in kept)


def test_a_store_that_cannot_be_written_is_named(here: Project) -> None:
    blocked = here.folder / "file"
    blocked.write_text("not a folder")
    assert str(blocked) in here.refused("demo", "--store.uri", str(blocked / "store"), code=6)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="needs the right to mount a small disk")
def test_a_full_disk_ends_in_one_line_and_the_run_goes_on_when_there_is_room(project: Project) -> None:
    disk = project.folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=120k", "tmpfs", str(disk)], check=True)
    try:
        line = project.refused("demo", "--store.uri", str(disk / "store"), code=6)
        assert "space" in line and str(disk) in line
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        project.run("demo", "--store.uri", str(disk / "store"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_server_that_does_not_answer_is_named(project: Project) -> None:
    line = project.refused("demo", code=8, PREFECT_API_URL="http://127.0.0.1:9/api")
    assert "http://127.0.0.1:9/api" in line


def test_credentials_in_the_servers_address_are_not_repeated(project: Project) -> None:
    line = project.refused("demo", code=8, PREFECT_API_URL="http://user:geheim@127.0.0.1:9/api")
    assert "127.0.0.1:9" in line and "geheim" not in line and "user" not in line


def test_generate_does_not_overwrite_what_it_reads(here: Project) -> None:
    source = here.folder / "q.jsonl"
    source.write_text(json.dumps({"question": QUESTION, "answer": "16"}))
    line = here.refused("generate", "--source.path", "q.jsonl", "--output", "./q.jsonl", code=2)
    assert "overwrite" in line and json.loads(source.read_text())["answer"] == "16"


def test_usage_errors_end_with_code_2(project: Project) -> None:
    assert "No such command" in project.refused("bake", code=2)
    assert "--round" in project.run("demo", "--help").stdout


SECRET = "wJalrXUtnFEMI"


def told_without_the_secret(project: Project, bucket: str, endpoint: str, access_key: str) -> str:
    done = project.start("demo", "--store.uri", f"s3://{bucket}/x", "--store.s3.endpoint_url", endpoint,
                         "--store.s3.addressing_style", "path", AWS_ACCESS_KEY_ID=access_key,
                         AWS_SECRET_ACCESS_KEY=SECRET, AWS_MAX_ATTEMPTS="1")
    out, err = done.communicate(timeout=300)
    assert done.returncode == 6 and endpoint in err
    assert SECRET not in out + err
    logged = [path for path in Path(project.folder).rglob("*") if path.is_file() and path.suffix in (".log", ".json")]
    assert not any(SECRET in path.read_text(errors="replace") for path in logged)
    return err


def test_a_secret_that_the_store_refuses_is_not_told(project: Project, s3_server: RunningS3) -> None:
    told = told_without_the_secret(project, s3_server.bucket, s3_server.endpoint_url, s3_server.access_key)
    assert "SignatureDoesNotMatch" in told and "AWS_SECRET_ACCESS_KEY" in told


@pytest.mark.slow
def test_no_secret_is_told_where_no_store_answers(project: Project) -> None:
    """Slow for the pauses between its tries."""
    told = told_without_the_secret(project, "some-bucket", "http://127.0.0.1:9", "AKIAEXAMPLE")
    assert "cannot be reached" in told
