"""The endpoint: /v1/models, /v1/chat/completions, /v1/completions and /health, in OpenAI's form."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from qstar_core.engine.protocol import Finished
from qstar_core.errors import QstarError
from qstar_core.operations import ServeSettings
from qstar_core.serving.answers import Answer
from qstar_core.serving.asking import Asked, Asking
from qstar_core.serving.http import Handler, body_of, bug, error_object, event, fault, guarded, http_fault
from qstar_core.serving.line import Line
from qstar_core.serving.options import ChatBody, TextBody, read_body
from qstar_core.serving.pieces import Pieces
from qstar_core.serving.run import Run
from qstar_core.serving.worker import Worker


class Endpoint:
    """`token` None lets everybody ask who comes to this machine by its own name."""

    def __init__(self, asking: Asking, line: Line, worker: Worker, settings: ServeSettings, token: str | None) -> None:
        self._asking = asking
        self._line = line
        self._worker = worker
        self._settings = settings
        self._token = token
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="qstar-read")

    def app(self) -> Starlette:
        handlers: dict[str, Handler] = {
            "/v1/models": self._models, f"/v1/models/{self._settings.name}": self._model,
            "/v1/chat/completions": partial(self._complete, ChatBody),
            "/v1/completions": partial(self._complete, TextBody)}
        routes = [Route(path, guarded(handler, self._token), methods=["POST" if "complet" in path else "GET"])
                  for path, handler in handlers.items()]
        return Starlette(routes=[Route("/health", self._health), *routes], lifespan=self._life,
                         exception_handlers={HTTPException: http_fault, Exception: bug})

    @asynccontextmanager
    async def _life(self, _: Starlette) -> AsyncIterator[None]:
        self._worker.start()
        yield
        await asyncio.to_thread(self._worker.close)
        self._reader.shutdown()

    async def _health(self, _: Request) -> Response:
        state = {"status": "ok" if self._worker.alive else "stopped", "waiting": self._line.waiting,
                 "in_flight": self._worker.in_flight}
        return JSONResponse(state, 200 if self._worker.alive else 503)

    async def _models(self, _: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._card()]})

    async def _model(self, _: Request) -> Response:
        return JSONResponse(self._card())

    def _card(self) -> dict[str, object]:
        models = self._asking.mixture.models
        return {"id": self._settings.name, "object": "model", "created": 0, "owned_by": "qstar",
                "qstar": {role: {"name": ref.name, "sha256": ref.sha256} for role, ref in models.items()},
                "max_model_len": self._asking.mixture.context}

    async def _complete(self, kind: type[ChatBody] | type[TextBody], request: Request) -> Response:
        try:
            raw = await body_of(request, self._settings.max_request_kib * 1024)
        except ClientDisconnect:
            return fault(400, "the body is not complete")
        asked = await asyncio.get_running_loop().run_in_executor(self._reader, self._read, raw, kind)
        chat = kind is ChatBody
        answer = Answer(f"{'chatcmpl' if chat else 'cmpl'}-{secrets.token_hex(12)}", chat, self._settings.name, asked,
                        self._asking.mixture.tokenizer)
        run = Run(answer.id, asked)
        run.begin(self._line)
        if asked.stream:
            return _Events(run, self._stream(run, answer))
        return await self._whole(request, run, answer)

    def _read(self, raw: bytes, kind: type[ChatBody] | type[TextBody]) -> Asked:
        return self._asking.read(read_body(raw, kind))

    async def _whole(self, request: Request, run: Run, answer: Answer) -> Response:
        """A client that is gone before the end is not waited for."""
        work, gone = asyncio.ensure_future(_all(run)), asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            return JSONResponse(answer.whole(work.result())) if work.done() else fault(400, "the client is gone")
        finally:
            run.cancel()
            for task in (work, gone):
                task.cancel()

    async def _stream(self, run: Run, answer: Answer) -> AsyncIterator[str]:
        asked = answer.asked
        mixture = self._asking.mixture
        texts = [Pieces(mixture.tokenizer, self._asking.control_ids, asked.mixing.sampling.stop, pair)
                 for pair in asked.pairs for _ in range(asked.draws)]
        ended: list[Finished] = []
        if answer.chat:
            for index in range(asked.choices):
                yield event(answer.opening(index))
        try:
            async for index, heard in run.events():
                text = (texts[index].rest(heard.sample.completion) if isinstance(heard, Finished)
                        else texts[index].push(heard))
                if text:
                    yield event(answer.piece(index, text))
                if isinstance(heard, Finished):
                    ended.append(heard)
                    yield event(answer.closing(index, heard))
        except QstarError as error:
            yield event(error_object(500, str(error)))
            return
        if asked.include_usage:
            yield event(answer.counted(ended))
        yield "data: [DONE]\n\n"


class _Events(StreamingResponse):
    """However it ends, nobody waits for its samples any more."""

    def __init__(self, run: Run, events: AsyncIterator[str]) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        self._samples = run

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._samples.cancel()


async def _all(run: Run) -> list[Finished]:
    """In the order of the choices."""
    found = {index: heard async for index, heard in run.events() if isinstance(heard, Finished)}
    return [found[index] for index in sorted(found)]


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue
