"""What was left undone is taken up: crashed rounds and loops are run again, and versions that were judged good are
published.

Run every half hour and after every crash. Only what ran by itself is taken up: a run that a person began, or cancelled,
is that person's to go on with. Nothing is begun twice: the run that takes up another one is keyed by it. Where worker
and run died together, nobody told the server: it hears of it here, so that the dead run does not keep its place.
"""

from typing import Any
from uuid import UUID

from prefect import flow, get_run_logger
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from prefect.states import Crashed

from flows.parameters import as_parameter
from qstar_core.config import Settings
from qstar_core.loop.unfinished import CrashedLoop, crashed_loop
from qstar_core.stages.reconciling import Left, Undone, undone
from qstar_core.stages.retraining import untrained
from qstar_core.stages.workspace import Workspace
from tasks.watching import STOPPED, announce

_DEFAULTS = Settings()
_TAKEN_UP = (Left.CRASHED, Left.UNPUBLISHED)


def _run_name() -> str:
    given = flow_run.parameters["settings"]
    return f"reconcile {given.dataset if isinstance(given, Settings) else given.get('dataset', _DEFAULTS.dataset)}"


@flow(name="reconcile", flow_run_name=_run_name)
def reconcile(settings: Settings = _DEFAULTS) -> int:
    """Take up what was left undone, and what an event was lost for. Returns how many runs were begun."""
    workspace = Workspace.open(settings)
    crashed = crashed_loop(workspace)
    begun = 0 if crashed is None else _go_on(settings, crashed)
    for left in undone(workspace):
        if crashed is not None and crashed.owns(left.round):
            continue
        if left.left is Left.CRASHED:
            _tell_server(left.run)
        told = f"round {left.round} {left.left.value}"
        parameters = _unattended(left.run) if left.left in _TAKEN_UP else None
        if parameters is None:
            get_run_logger().info(f"{told}: left to a person")
            continue
        run = _begin(f"refresh/{settings.dataset}", {**parameters, "round_name": left.round}, _key(left),
                     settings.operations.max_crashes)
        if run is None:
            announce(STOPPED, settings.dataset, round=left.round, problem="no run that takes it up begins to work")
            get_run_logger().error(f"{told}: given up, because no run that takes it up begins to work")
            continue
        get_run_logger().info(f"{told}: taken up by {run.name}")
        begun += 1
    return begun + _retrain(settings)


def _go_on(settings: Settings, crashed: CrashedLoop) -> int:
    """The loop's own steps find what is done, also the round that it was in."""
    told, parameters = f"{crashed.book.told}, round {crashed.round}: its process ended early", _unattended(crashed.run)
    if parameters is None:
        get_run_logger().info(f"{told}; left to a person")
        return 0
    if Settings.model_validate(parameters["settings"]).dataset != settings.dataset:
        return 0  # the line has loops on another dataset too, whose own `reconcile` looks
    _tell_server(crashed.run)
    run = _begin(f"loop/{settings.dataset}", parameters, f"take-up-loop-{crashed.run}",
                 settings.operations.max_crashes)
    if run is None:
        announce(STOPPED, settings.dataset, round=str(crashed.round), problem=f"{told}, and no run takes it up")
        get_run_logger().error(f"{told}; given up, because no run that takes it up begins to work")
        return 0
    get_run_logger().info(f"{told}; taken up by {run.name}")
    return 1


def _retrain(settings: Settings) -> int:
    version = untrained(Workspace.open(settings))
    if version is None:
        return 0
    run = _begin(f"retrain/{settings.dataset}",
                 {"settings": as_parameter(settings), "data": version, "again": False},
                 f"retrain-{settings.student.line}-{version}", settings.operations.max_crashes)
    told = "given up, because no run of it ends" if run is None else f"by {run.name}"
    get_run_logger().info(f"{version} is published and not trained on: {told}")
    return int(run is not None)


def _tell_server(run: str) -> None:
    """A run that is known to be dead is marked as crashed, where the server takes it for alive."""
    with get_client(sync_client=True) as client:
        found = _read(client, run)
        if found is not None and found.state is not None and not found.state.is_final():
            client.set_flow_run_state(found.id, Crashed(message="its process ended and told nobody"), force=True)


def _unattended(run: str) -> dict[str, Any] | None:
    """The parameters of a run that a schedule, an event or a form began; None for one that a person runs, or
    cancelled."""
    with get_client(sync_client=True) as client:
        found = _read(client, run)
        if found is None:
            return None
        states = client.read_flow_run_states(found.id)
    # the process may have told its end as a crash, after the wish to cancel it
    cancelled = any(state.is_cancelling() or state.is_cancelled() for state in states)
    return dict(found.parameters) if found.deployment_id is not None and not cancelled else None


def _read(client: SyncPrefectClient, run: str) -> FlowRun | None:
    """None where this server does not know it."""
    try:
        return client.read_flow_run(UUID(run))
    except (ObjectNotFound, ValueError):
        return None


def _key(left: Undone) -> str:
    return f"take-up-{left.left.name}-{left.round}-{left.run}"


def _begin(deployment: str, parameters: dict[str, Any], key: str, tries: int) -> FlowRun | None:
    """The run of that key. One that was cancelled or crashed before it took the work up is followed by a new one, and
    after so many tries by none."""
    for _ in range(tries):
        run = run_deployment(deployment, parameters=parameters, timeout=0, as_subflow=False, idempotency_key=key)
        assert isinstance(run, FlowRun)  # outside of a coroutine the call itself returns it
        if run.state is None or not (run.state.is_cancelled() or run.state.is_crashed()):
            return run
        key = f"take-up-{run.id}"
    return None
