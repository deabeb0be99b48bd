"""`make bench NAME=demo`: how long the demo takes, cold (no models, no server), warm, and for the next round; how large
the environment is. Run as a user would, in an empty project, after installation.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from benchmarks.results import Figure, record

_WARM_RUNS = 5


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("QSTAR", "PREFECT"))}
        env["QSTAR_HOME"] = str(Path(folder) / ".qstar")
        try:
            cold = _timed(env, folder, "demo")
            warm = [_timed(env, folder, "demo") for _ in range(_WARM_RUNS)]
            later = [_timed(env, folder, "demo", "--round", str(number)) for number in range(2, 2 + _WARM_RUNS)]
            speeds = [json.loads(path.read_text())["speed"] for path in Path(folder).rglob("manifest.json")]
        finally:
            _timed(env, folder, "down")
    record("demo", [
        Figure("demo-cold-seconds", cold, "s, models trained and server started", goal=180),
        Figure("demo-again-seconds", statistics.median(warm), f"s, median of {_WARM_RUNS}", goal=30),
        Figure("demo-next-round-seconds", statistics.median(later), f"s, median of {_WARM_RUNS}"),
        Figure("demo-tokens-per-second", statistics.median(s["tokens_per_second"] for s in speeds),
               f"tokens/s of q*, median of {len(speeds)} rounds"),
        Figure("demo-samples-per-minute", statistics.median(s["samples_per_minute"] for s in speeds),
               f"samples/min, median of {len(speeds)} rounds"),
        Figure("environment-size", _environment_mb(), "MB in site-packages"),
    ], "make bench NAME=demo")


def _timed(env: dict[str, str], folder: str, *arguments: str) -> float:
    since = time.monotonic()
    subprocess.run([sys.executable, "-m", "flows.cli", *arguments], cwd=folder, env=env, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - since


def _environment_mb() -> float:
    files = Path(sysconfig.get_paths()["purelib"]).rglob("*")
    return sum(path.stat().st_size for path in files if path.is_file() and not path.is_symlink()) / 1e6


if __name__ == "__main__":
    main()
