"""One of the processes of a run: `accelerate launch … -m qstar_core.training REQUEST.json`.

The request is a TrainRequest as JSON. The first process says what happens, one marked JSON line each on stdout.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qstar_core.errors import QstarError
from qstar_core.stages.workspace import Workspace
from qstar_core.training.launch import MARK
from qstar_core.training.request import TrainRequest
from qstar_core.training.run import train


def main(path: Path) -> int:
    request = TrainRequest.model_validate_json(path.read_text(encoding="utf-8"))
    try:
        made = train(request, Workspace.open(request.settings).store, lambda step: _say({"progress": asdict(step)}))
    except QstarError as error:
        _say({"error": type(error).__name__, "problem": error.problem, "fix": error.fix})
        return error.exit_code
    _say({"checkpoint": made.model_dump(mode="json")})
    return 0


def _say(what: dict[str, Any]) -> None:
    if os.environ.get("RANK", "0") == "0":
        sys.stdout.write(f"{MARK}{json.dumps(what)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
