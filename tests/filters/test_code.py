"""Programs run against their tests within limits: time, memory, processes, network, files. None of them gets away."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qstar_core.errors import ConfigError
from qstar_core.filters import code_runner
from qstar_core.filters.code import CodeFilter, CodeOptions, program_of
from qstar_core.filters.code_child import landlock_version
from qstar_core.filters.code_runner import Ended, Limits, isolates, run_program
from qstar_core.filters.context import NO_CONTEXT
from tests.filters.candidates import candidate

CASES = json.dumps({"inputs": ["2\n", "3\n"], "outputs": ["4\n", "6"]})
LIMITS = Limits(seconds=1, memory_mb=256, processes=16, file_mb=1, allow_network=True)
ISOLATED = pytest.mark.skipif(not isolates(), reason="no user namespaces here")


def judge(completion: str, tests: str, **options: object) -> str | None:
    chosen = {"seconds": 3, "allow_network": True, **options}
    return CodeFilter(CodeOptions.model_validate(chosen), NO_CONTEXT).judge(candidate(completion, tests, kind="code"))


def test_a_program_prints_and_reads() -> None:
    assert run_program("print(int(input()) + 1)", "41\n", LIMITS) == (Ended.WELL, "42\n")
    assert run_program("raise SystemExit(3)", "", LIMITS)[0] is Ended.FAILED
    assert run_program("syntax error here", "", LIMITS)[0] is Ended.FAILED
    assert run_program("print('\ud800\x00')", "\ud800", LIMITS)[0] is not Ended.ERROR


def open_files() -> Iterator[str]:
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            yield str(link.readlink())


def test_an_endless_loop_and_an_endless_sleep_are_ended() -> None:
    since = time.monotonic()
    for source in ("while True: pass", "import time; time.sleep(600)"):
        assert run_program(source, "", LIMITS)[0] is Ended.LATE
    assert time.monotonic() - since < 20


def test_memory_is_bounded() -> None:
    assert run_program("x = bytearray(10**9); print(len(x))", "", LIMITS) == (Ended.FAILED, "")


def test_a_fork_bomb_is_bounded_and_leaves_nothing() -> None:
    mark = f"bomb-{os.getpid()}"
    source = f"""
import os, time
forked = 0
while True:
    try:
        if os.fork() == 0:
            os.setsid()
            with open("{mark}", "a"): time.sleep(60)
        forked += 1
    except OSError:
        print(forked)
        break
"""
    ended, printed = run_program(source, "", LIMITS)
    assert ended is Ended.WELL and int(printed) < 310
    if isolates():  # without a process namespace what leaves its session gets away
        assert not any(mark in target for target in open_files())


@ISOLATED
def test_the_network_is_not_there() -> None:
    source = "import socket\nsocket.create_connection(('127.0.0.1', {}), 1)\nprint('connected')"
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        assert run_program(source.format(server.getsockname()[1]), "", LIMITS) == (Ended.FAILED, "")


def test_files_are_small_and_gone_afterwards(tmp_path: Path) -> None:
    assert run_program("open('own', 'w').write('x'); print(open('own').read())", "", LIMITS) == (Ended.WELL, "x\n")
    assert run_program("open('big', 'wb').write(b'x' * (2 << 20))", "", LIMITS)[0] is Ended.FAILED
    told = run_program("import os; print(os.getcwd())", "", LIMITS)[1].strip()
    assert told and not Path(told).exists()


@pytest.mark.skipif(landlock_version() < 1, reason="no Landlock here")
def test_nothing_outside_of_the_folder_is_written_or_removed(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    for source in (f"open({str(tmp_path / 'new')!r}, 'w')", f"open({str(mine)!r}, 'w')",
                   f"import os; os.remove({str(mine)!r})", f"import os; os.truncate({str(mine)!r}, 0)",
                   f"import os; os.rename({str(mine)!r}, 'taken')", f"import os; os.mkdir({str(tmp_path / 'd')!r})"):
        assert run_program(source, "", LIMITS)[0] is Ended.FAILED, source
    assert mine.read_text() == "mine" and list(tmp_path.iterdir()) == [mine]


def test_no_secret_of_the_environment_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET_TOKEN", "s3cret")
    assert "s3cret" not in run_program("import os; print(dict(os.environ))", "", LIMITS)[1]


def test_without_isolation_it_refuses_unless_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_runner, "isolates", lambda: False)
    with pytest.raises(ConfigError, match=r"cannot take the network away.*allow_network: true"):
        judge("print(1)", "pass", allow_network=False)
    assert judge("x = 1", "assert x == 1") is None


@pytest.mark.parametrize(("completion", "tests", "reason"), [
    ("```python\ndef f(x):\n    return x + 1\n```", "assert f(1) == 2\nassert f(2) == 3", None),
    ("```python\ndef f(x):\n    return x\n```", "assert f(1) == 2", "tests failed"),
    ("def f(x): return x + 1", "assert f(1) == 2", None),
    ("```\nimport sys\nsys.exit(0)\n```", "assert False", "tests failed"),
    ("```python\nimport os\nos._exit(0)\n```", "assert False", "tests failed"),
    ("```python\n\n```", "assert True", "no program"),
    ("", "assert True", "no program"),
    ("```python\nwhile True: pass\n```", "assert True", "tests took too long"),
    ("```python\nprint(int(input()) * 2)\n```", CASES, None),
    ("```python\nprint(4)\n```", CASES, "tests failed"),
])
def test_programs_against_their_tests(completion: str, tests: str, reason: str | None) -> None:
    assert judge(completion, tests, seconds=1) == reason


@pytest.mark.parametrize(("completion", "program"), [
    ("```python\nfirst\n```\n```python\nsecond\n```", "second\n"),
    ("```py\nright\n```\n```text\nwrong\n```", "right\n"),
    ("```\nplain\n```", "plain\n"), ("no fence", "no fence"),
    ("```python\nnever closed", "never closed"),
])
def test_the_program_of_a_completion(completion: str, program: str) -> None:
    assert program_of(completion) == program
