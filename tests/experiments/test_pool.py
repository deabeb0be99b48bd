"""What a worker is to the work that is done in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from qstar_core.experiments.pool import Pool
from qstar_core.filters.verifier import Equality, Verifier


def _asked_of_the_verifier() -> list[Equality]:
    verifier = Verifier(1, 5.0, 2048)
    try:
        return verifier.compare([("\\frac{1}{2}", "0.5")])
    finally:
        verifier.close()


def test_work_may_start_processes_of_its_own() -> None:
    with Pool(1) as pool:
        assert pool._executor.submit(_asked_of_the_verifier).result() == [Equality.SAME]


STOPPED = """
import os, time
from qstar_core.errors import EngineError
from qstar_core.experiments.pool import Pool
from qstar_core.experiments.work import Work
try:
    with Pool(1) as pool:
        busy = pool._executor.submit(time.sleep, 60)
        raise KeyboardInterrupt
except KeyboardInterrupt:
    try:
        pool.run(Work(study="s", kind="k", label="l", shelf="s", key="k", asked={}))
    except EngineError as error:
        kept = error
        os._exit(130)
"""


def test_a_pool_that_is_interrupted_leaves_nothing_to_warn_of(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", STOPPED], capture_output=True, text=True, check=False, timeout=120,
                          env={**os.environ, "QSTAR_HOME": str(tmp_path)})  # the tracker ends last, and holds stderr
    assert (done.returncode, done.stderr) == (130, "")
