"""A stand-in of the hub: makes repositories, takes commits of plain files, knows one token."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_standin0123456789"


@dataclass
class Hub:
    """`refuses` answers every request with that status."""

    address: str = ""
    refuses: int | None = None
    created: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def answer(self, path: str, body: bytes) -> dict[str, Any]:
        if path == "/api/repos/create":
            asked = json.loads(body)
            self.created.append(asked)
            return {"url": f"{self.address}/datasets/{asked.get('organization')}/{asked['name']}"}
        if "/preupload/" in path:
            return {"files": [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                              for file in json.loads(body)["files"]]}
        if "/commit/" in path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "header":
                    self.messages.append(line["value"]["summary"])
                elif line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            repository = path.removeprefix("/api").partition("/commit/")[0]
            return {"success": True, "commitOid": "0" * 40, "hookOutput": "",
                    "commitUrl": f"{self.address}{repository}/commit/{'0' * 40}"}
        return {}


@contextmanager
def hub() -> Iterator[Hub]:
    standin = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status = standin.refuses or (200 if self.headers.get("Authorization") == f"Bearer {TOKEN}" else 401)
            self._reply(status, standin.answer(self.path, body) if status == 200 else {"error": "no"})

        def do_GET(self) -> None:
            self._reply(standin.refuses or 200, {"sha": "0" * 40, "siblings": [], "id": "me/rows"})

        def _reply(self, status: int, value: dict[str, Any]) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    standin.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield standin
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
