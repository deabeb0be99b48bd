"""The `qstar` command. A failure is one line on stderr that names the thing and the fix, and an exit code of its own:
1 unexpected, 2 settings or usage, 3 data, 4 model, 5 engine, 6 store, 7 gate refused, 8 server, 9 waits for approval,
10 training, 11 not promoted, 130 interrupted.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import traceback
from importlib.metadata import version

import rich_click as click
from click.exceptions import Abort, Exit

from flows.commands.analysis import analyze
from flows.commands.completion import completion
from flows.commands.datasets import datasets
from flows.commands.deploy import deploy
from flows.commands.doctor import doctor
from flows.commands.evaluate import evaluate
from flows.commands.experiment import experiment
from flows.commands.export import export_version
from flows.commands.inspect import inspect
from flows.commands.logs import logs
from flows.commands.loop import loop
from flows.commands.plan import plan
from flows.commands.reward import reward, rlhf
from flows.commands.run import StoppedError, demo, generate, refresh
from flows.commands.serve import serve
from flows.commands.settings import config
from flows.commands.stack import down, ui, up
from flows.commands.status import status
from flows.commands.students import students
from flows.commands.train import train
from flows.console import err
from qstar_core.errors import QstarError, ServerError
from qstar_core.home import subfolder
from qstar_core.report.text import visible

click.rich_click.COMMAND_GROUPS = {
    "qstar": [
        {"name": "Make data", "commands": ["inspect", "plan", "demo", "generate", "refresh", "serve"]},
        {"name": "Train", "commands": ["train", "loop", "reward", "rlhf"]},
        {"name": "Look at data", "commands": ["datasets", "analyze", "export"]},
        {"name": "Students", "commands": ["evaluate", "students"]},
        {"name": "Study", "commands": ["experiment"]},
        {"name": "Every night", "commands": ["up", "down", "deploy", "status", "logs", "ui"]},
        {"name": "Set up", "commands": ["config", "doctor", "completion"]},
    ]
}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("qstar"), prog_name="qstar")
def qstar() -> None:
    """Training data for a student model, sampled from the optimal mixture q* of the student and a teacher.

    Begin with `qstar demo`. Settings come from a YAML file, then environment variables such as
    QSTAR__SAMPLING__TEMPERATURE, then flags; each is stronger than the one before.
    """


_COMMANDS = (
    inspect, plan, demo, generate, refresh, serve, train, loop, reward, rlhf, experiment, evaluate, students, datasets,
    analyze, export_version, up, down, deploy, status, logs, ui, config, doctor, completion,
)
for command in _COMMANDS:
    qstar.add_command(command)


def main() -> None:
    signal.signal(signal.SIGTERM, _terminated)
    try:
        qstar(standalone_mode=False)
    except QstarError as error:
        _fail(str(error), error.exit_code)
    except (Abort, KeyboardInterrupt) as stopped:
        _fail(f"interrupted; resume with: {_again(stopped)}", 130)
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except Exit as ended:
        sys.exit(ended.exit_code)
    except Exception as error:  # noqa: BLE001 — the last resort: whatever it is, a user reads one line
        _fail(f"unexpected {type(error).__name__}: {_one_line(error)} — a bug{_keep(error)}", 1)


def _terminated(*_: object) -> None:
    """SIGTERM ends a run like Ctrl-C: rows that are finished are kept."""
    raise KeyboardInterrupt


def _again(stopped: BaseException) -> str:
    """The command that goes on: what was typed, and what it left to the clock."""
    cause = stopped.__context__ or stopped  # click turns it into an Abort, and its cause is lost on the way
    words = cause.words if isinstance(cause, StoppedError) else ()
    return shlex.join(["qstar", *sys.argv[1:], *words])


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


def _keep(error: BaseException) -> str:
    """Where its trace is, if it can be written."""
    try:
        path = subfolder("logs") / "last-error.txt"
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return f"; its trace is in {path}"


def _fail(line: str, code: int) -> None:
    err.print(f"qstar: {visible(line)}", style="red", markup=False, soft_wrap=True, highlight=False)
    sys.stderr.flush()
    # Libraries keep threads that would delay the end; everything of ours is on disk by now.
    os._exit(code) if code in (ServerError.exit_code, 130) else sys.exit(code)


if __name__ == "__main__":
    main()
