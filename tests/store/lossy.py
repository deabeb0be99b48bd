"""A network that loses one answer: a TCP relay to a real server that cuts the connection instead of passing it on."""

from __future__ import annotations

import socket
import threading
from urllib.parse import urlsplit


class LossyRelay:
    """Relays to `endpoint_url`; the answer to the first request whose first line holds all of `words` is lost."""

    def __init__(self, endpoint_url: str, *words: bytes) -> None:
        address = urlsplit(endpoint_url)
        self._server = (address.hostname, address.port)
        self._words = words
        self.lost = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            line: list[bytes] = [b""]
            threading.Thread(target=self._requests, args=(client, server, line), daemon=True).start()
            threading.Thread(target=self._answers, args=(client, server, line), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket, line: list[bytes]) -> None:
        try:
            while data := client.recv(65536):
                if data.startswith((b"PUT ", b"POST ", b"GET ", b"HEAD ")):
                    line[0] = data.partition(b"\r\n")[0]
                server.sendall(data)
        except OSError:
            return

    def _answers(self, client: socket.socket, server: socket.socket, line: list[bytes]) -> None:
        try:
            while data := server.recv(65536):
                wanted = all(word in line[0] for word in self._words)
                if wanted and not self.lost and not data.startswith(b"HTTP/1.1 100"):
                    self.lost += 1
                    break
                client.sendall(data)
        finally:
            client.shutdown(socket.SHUT_RDWR)
            server.close()
