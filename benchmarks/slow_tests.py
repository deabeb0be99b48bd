"""`make test-slow`: the laws at large counts and the long faults, without those of vLLM, which has
environments of its own (`make test-vllm-oldest`); a run of all of them is recorded with its commit in RESULTS.md."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

from benchmarks.results import REPOSITORY, Figure, record


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "slow.xml"
        beside = ("-n", os.environ.get("JOBS", "2"), "--dist", "loadfile")
        done = subprocess.run([sys.executable, "-m", "pytest", "-m", "slow and not vllm", *beside,
                               f"--junitxml={report}", *sys.argv[1:]], cwd=REPOSITORY)
        suite = next(ET.parse(report).getroot().iter("testsuite"))
    count, failed, skipped = (int(suite.attrib[name]) for name in ("tests", "failures", "skipped"))
    failed += int(suite.attrib["errors"])
    if len(sys.argv) == 1:
        record("test-slow", [
            Figure("slow-tests-passed", count - failed - skipped, "tests"),
            Figure("slow-tests-failed", failed, "tests", goal=0),
            Figure("slow-tests-skipped", skipped, "tests", goal=0),
            Figure("slow-tests-seconds", float(suite.attrib["time"]), "s"),
        ], "make test-slow")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
