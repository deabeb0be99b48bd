"""`qstar up` and `qstar down`: the laptop's Prefect server and, where installed, an S3 server."""

from __future__ import annotations

import os

import rich_click as click

from flows.console import out
from flows.serve import ensure_server, stop_server
from qstar_core.home import subfolder
from qstar_core.store.localserver import LocalS3Server


@click.command()
@click.option("--s3/--no-s3", default=False, help="Also start a local S3 server (needs the extra `objectstore`)")
def up(s3: bool) -> None:
    """Start the project's servers in the background; those that run already are left alone."""
    server = ensure_server()
    out.print(f"Prefect     {server.ui_url}", highlight=False)
    if s3:
        running = LocalS3Server(subfolder("s3")).start()
        out.print(f"S3          {running.endpoint_url}, bucket {running.bucket}", highlight=False)
        out.print("To use it as the store:", highlight=False)
        settings = {"QSTAR__STORE__URI": f"s3://{running.bucket}",
                    "QSTAR__STORE__S3__ENDPOINT_URL": running.endpoint_url,
                    "QSTAR__STORE__S3__ADDRESSING_STYLE": "path", "QSTAR__STORE__S3__REGION": "us-east-1"}
        for name, value in {**running.environment, **settings}.items():
            out.print(f"  export {name}={value}", highlight=False, soft_wrap=True)


@click.command()
def down() -> None:
    """Stop the servers that `qstar up` or a run started."""
    out.print("Prefect server stopped" if stop_server() else "no Prefect server was running")
    local = LocalS3Server(subfolder("s3"))
    if local.status() is not None:
        local.stop()
        out.print("S3 server stopped")
        used = [name for name in os.environ if name.startswith("QSTAR__STORE__")]
        if used:
            out.print(f"this shell still names it: unset {' '.join(sorted(used))}", highlight=False, soft_wrap=True)
