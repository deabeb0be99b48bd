"""A process that hangs is ended from outside of the interpreter; one that finishes something now and then is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qstar_core.stages.stuck import TRACES

# A regular expression that takes for ever holds the interpreter's lock: no other Python thread runs meanwhile.
_HANGS = 're.match(r"(a+)+$", "a" * 64 + "b")'
_WORKS = "[(time.sleep(0.1), alive()) for _ in range(20)]"
_PROGRAM = """
import re, time
from qstar_core.stages.stuck import never_stuck

with never_stuck({minutes}) as alive:
    {work}
print("finished")
"""


@pytest.mark.parametrize(("work", "minutes", "finished"), [(_HANGS, 0.01, False), (_WORKS, 0.01, True),
                                                            (_WORKS, None, True)])
def test_it_ends_only_what_hangs(tmp_path: Path, work: str, minutes: float | None, finished: bool) -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM.format(work=work, minutes=minutes)], capture_output=True,
                          text=True, timeout=60, env={**os.environ, "QSTAR_HOME": str(tmp_path)})
    assert (done.returncode == 0, "finished" in done.stdout) == (finished, finished), done.stderr
    if not finished:
        assert "Timeout" in (tmp_path / "logs" / TRACES).read_text()
