"""Settings of what runs by itself: schedules, pools, guards, metrics, the endpoint. Like config.py, a home of their
defaults.
"""

from __future__ import annotations

from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from qstar_core.section import Name, Section


class OperationsSettings(Section):
    """When rounds run by themselves, where, and what guards them. `qstar deploy` applies it."""

    cron: str = Field("0 2 * * *", description="When the nightly refresh starts, as five cron fields")
    time_zone: str = Field("UTC", description="Time zone of the schedule, and of the date that names a round")
    pool: Name = Field("qstar", description="Prefect work pool; what loads models runs in the pool of this name "
                                            "and -gpu")
    pool_type: Literal["process", "docker", "kubernetes"] = Field("process", description="Type of both work pools")
    gpu_runs: int = Field(1, ge=1, le=1000, description="Runs that may load models at the same time")
    device_lock: Literal["auto", "on", "off"] = Field(
        "auto", description="One process a device, by a lock on the machine; auto: for GPUs")
    max_crashes: int = Field(3, ge=1, description="How often one shard or stage may end its process before it stops")
    stuck_minutes: float | None = Field(120, gt=0, le=10_000, description="Minutes without a row checkpoint after "
                                        "which a process ends itself as crashed; empty: never")
    shutdown_seconds: float = Field(20, ge=0, le=3600, description="How long samples in flight may go on after Ctrl-C "
                                                                   "or SIGTERM; 0: not at all")
    reconcile_minutes: int = Field(30, ge=1, le=1440, description="Minutes between two looks at what was left undone")
    missed_after_hours: float = Field(26, gt=0, le=24 * 31, description="Hours without a new version that count as a "
                                                                        "missed night")
    runner: Literal["local", "ray"] = Field("local", description="Where shards are sampled: in the run's process, or "
                                                                 "by workers of Ray")
    ray_address: str = Field("", description="Ray cluster, such as auto or ray://head:10001; empty: one that is "
                                             "started here for the run")
    ray_workers: int | None = Field(None, ge=1, le=10_000, description="Engines on Ray; empty: one for each GPU of the "
                                                                       "cluster, one where there is none")
    price_per_hour: float | None = Field(None, ge=0, description="Price of an hour of one engine, in any currency, for "
                                                                 "the estimates of `qstar plan`; empty: not told")
    notify: str = Field("", pattern=r"^$|^[a-z0-9-]+/[a-z0-9-]+$",
                        description="Prefect block that notifications go to, as type/name; empty: none are sent")

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("use a name such as UTC or Europe/Berlin") from None
        return value


class MetricsSettings(Section):
    """Where the numbers of a run go in Prometheus' form; nowhere unless one is set."""

    textfile: str = Field("", description="File that is replaced while a run goes, for a node exporter to collect")
    pushgateway: str = Field("", description="Address of a Pushgateway, such as http://localhost:9091")
    port: int | None = Field(None, ge=1, le=65535, description="Port of the running process to be scraped at")


class ServeSettings(Section):
    """What `qstar serve` listens on and takes. docs/serve.md tells what can be asked."""

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; others than this machine's own "
                                                            "need a token in QSTAR_SERVE_TOKEN")
    port: int = Field(8321, ge=0, le=65_535, description="Port to listen on; 0: any that is free")
    name: Name = Field("qstar", description="The model's name in requests")
    max_choices: int = Field(128, ge=1, le=65_536, description="Most samples of one request")
    max_waiting: int = Field(4096, ge=1, le=10_000_000, description="Most samples that wait for the engine")
    max_request_kib: int = Field(1024, ge=1, le=1_048_576, description="Largest body of a request in KiB")
    shutdown_seconds: int = Field(30, ge=0, le=3600, description="How long requests may go on after a signal")
