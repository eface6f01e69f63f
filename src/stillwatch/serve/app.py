"""Which path leads where."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from stillwatch import __version__
from stillwatch.errors import InputError
from stillwatch.serve import openapi, page
from stillwatch.serve.access import Token
from stillwatch.serve.batch import Batcher, Judged
from stillwatch.serve.front import NOTE, Front
from stillwatch.serve.intake import Intake, announced
from stillwatch.serve.limits import Limits, RefusedError
from stillwatch.serve.log import Log, place_of
from stillwatch.serve.metrics import MEDIA as METRICS
from stillwatch.serve.metrics import Metrics
from stillwatch.serve.models import Model, Models
from stillwatch.serve.protocol import GONE
from stillwatch.serve.watch import page as live
from stillwatch.serve.watch.feedback import FeedbackFolder
from stillwatch.serve.watch.monitors import Monitors
from stillwatch.serve.wire import arrow, dataframe, delimited, lines, open_inference
from stillwatch.serve.wire.asked import Asked, Head, Reader

_READERS: dict[str, Reader] = {
    dataframe.MEDIA: dataframe.read,
    delimited.MEDIA: delimited.read,
    lines.MEDIA: lines.read,
    "application/ndjson": lines.read,
    "application/jsonlines": lines.read,
    arrow.MEDIA: arrow.read,
}

Handler = Callable[[Request], Awaitable[Response]]


@dataclass
class Service:
    """What the routes share.

    Attributes
    ----------
    feedback
        where confirmations go; None: no live page.
    draining
        whether the end has begun: the service lives, and is not ready.
    """

    models: Models
    limits: Limits
    log: Log
    feedback: FeedbackFolder | None = None
    intake: Intake = field(init=False)
    batcher: Batcher = field(init=False)
    metrics: Metrics = field(init=False)
    monitors: Monitors = field(init=False)
    live: live.LivePage | None = field(init=False, default=None)
    draining: bool = False

    def __post_init__(self) -> None:
        self.intake = Intake(self.limits)
        self.metrics = Metrics(self.models, lambda: self.batcher.depth, lambda: self.intake.held)
        self.monitors = Monitors(self.models)
        self.metrics.add(self.monitors)
        if self.feedback is not None:
            self.live = live.LivePage(self.models, self.monitors, self.feedback)
        self.batcher = Batcher(self.limits, self._judged)

    def close(self) -> None:
        """Wait for no thread."""
        for each in (self.batcher, self.monitors, self.live):
            if each is not None:
                each.close()

    async def refresh(self) -> None:
        """Bring what is watched up to date; what was known stays where that fails."""
        try:
            await self.monitors.refresh()
        except Exception as exc:
            self.log.write("watch", error=place_of(exc))

    def _judged(self, judged: Judged) -> None:
        """Tell those who watch. Nothing that goes wrong with them reaches a client."""
        try:
            self.metrics.judged(judged.model, judged.verdict)
            self.monitors.judged(judged)
            if self.live is not None:
                self.live.judged(judged)
        except Exception as exc:
            self.log.write("watch", error=place_of(exc))


def application(service: Service, token: Token | None) -> ASGIApp:
    """The service as an ASGI application."""
    score = partial(_scoring, service)
    named = "/v2/models/{model}"
    routes = [
        _route("POST", f"{named}/infer", score(open_inference.read)),
        _route("POST", f"{named}/versions/{{version}}/infer", score(open_inference.read)),
        _route("POST", f"{named}/arrow", score(arrow.read)),
        _route("POST", f"{named}/ndjson", score(lines.read)),
        _route("POST", f"{named}/invocations", score(None)),
        _route("POST", "/invocations", score(None)),
        _route("GET", "/v2/health/live", partial(_live, service)),
        _route("GET", "/v2/health/ready", partial(_ready, service)),
        _route("GET", "/ping", partial(_ready, service)),
        _route("GET", "/v2", partial(_server, service)),
        _route("GET", named, partial(_metadata, service)),
        _route("GET", f"{named}/ready", partial(_model_ready, service)),
        _route("GET", f"{named}/versions/{{version}}", partial(_metadata, service)),
        _route("GET", f"{named}/versions/{{version}}/ready", partial(_model_ready, service)),
        _route("GET", "/metrics", partial(_metrics, service)),
        _route("GET", "/openapi.json", partial(_openapi, service)),
        _route("GET", "/docs", partial(_docs, service)),
    ]
    if service.live is not None:
        routes += [_route("GET", path, _file_of_the_page) for path in live.PARTS]
        routes.append(_route("GET", "/watch/data", partial(_watched, service, service.live)))
        routes.append(_route("POST", "/watch/feedback", partial(_say, service, service.live)))
    app = Starlette(
        routes=routes,
        exception_handlers={
            HTTPException: _unroutable,
            RefusedError: partial(_refused, service),
            InputError: partial(_unusable, service),
            ClientDisconnect: _gone,
            Exception: _failed,
        },
    )
    app.router.redirect_slashes = False
    return Front(app, service.metrics, service.log, token, live.PARTS if service.live else ())


def _scoring(service: Service, reader: Reader | None) -> Handler:
    """A route that scores; without a reader, the content type chooses one."""

    async def score(request: Request) -> Response:
        model = _model(service, request)
        note = request.scope[NOTE]
        note.model, note.version = model.name, model.version
        read = reader or _reader(request)
        service.batcher.check_room(announced(request))
        async with service.intake.body(request) as body:
            head = _head(request)
            gone = request.scope.get(GONE)

            def asked() -> Asked:
                # A client in a hurry has asked anew by now: work for that, not for this.
                if gone is not None and gone():
                    raise ClientDisconnect
                found = read(body, head, model, service.limits)
                note.rows, note.ignored = len(found.rows), found.ignored
                return found

            reply = await service.batcher.reply(model, asked, len(body), note.identity)
        service.metrics.ignored(model.name, note.ignored)
        headers = {
            "x-model-name": model.name,
            "x-model-version": model.version,
            "x-model-digest": model.digest,
            **dict(reply.headers),
        }
        return Response(reply.content, media_type=reply.media, headers=headers)

    return score


def _head(request: Request) -> Head:
    query, headers = request.query_params, request.headers
    return Head(
        query.get("alert_rate"), query.get("outputs"), headers.get(open_inference.HEADER_LENGTH.lower())
    )


def _reader(request: Request) -> Reader:
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    reader = _READERS.get(media)
    if reader is None:
        raise RefusedError(
            415,
            f"the content type is {media[:60]!r}. Send one of {', '.join(_READERS)}.",
            "media",
        )
    return reader


def _model(service: Service, request: Request) -> Model:
    """The model that the path names, or the only one."""
    name, version = request.path_params.get("model"), request.path_params.get("version")
    model = service.models.only() if name is None else service.models.get(name)
    if model is None:
        known = ", ".join(model.name for model in service.models)
        asked = "several models are loaded" if name is None else "there is no such model"
        raise RefusedError(404, f"{asked}. Name one of {known} in the path: /v2/models/NAME.", "unknown")
    if version not in {None, model.version, model.digest}:
        raise RefusedError(
            404, f"there is no such version. The version of {model.name} is {model.version}.", "unknown"
        )
    return model


async def _live(service: Service, request: Request) -> Response:
    return _json({"live": True})


async def _ready(service: Service, request: Request) -> Response:
    return _json({"ready": not service.draining}, 503 if service.draining else 200)


async def _server(service: Service, request: Request) -> Response:
    return _json({"name": "stillwatch", "version": __version__, "extensions": ["binary_tensor_data"]})


async def _metadata(service: Service, request: Request) -> Response:
    return _json(openapi.metadata(_model(service, request)))


async def _model_ready(service: Service, request: Request) -> Response:
    model = _model(service, request)
    ready = not service.draining
    return _json({"name": model.name, "ready": ready}, 200 if ready else 503)


async def _metrics(service: Service, request: Request) -> Response:
    await service.refresh()
    return Response(service.metrics.exposition(), media_type=METRICS)


async def _openapi(service: Service, request: Request) -> Response:
    return _json(openapi.document(service.models, service.limits))


async def _docs(service: Service, request: Request) -> Response:
    return HTMLResponse(page.docs(service.models, service.limits), headers=page.HEADERS)


async def _file_of_the_page(request: Request) -> Response:
    path = request.url.path
    return Response(live.part(path), media_type=live.PARTS[path][1], headers=live.HEADERS)


async def _watched(service: Service, page: live.LivePage, request: Request) -> Response:
    await service.refresh()
    return Response(await page.data(), media_type="application/json", headers=live.HEADERS)


async def _say(service: Service, page: live.LivePage, request: Request) -> Response:
    async with service.intake.body(request) as body:
        await page.say(body)
    return _json({"noted": True}, headers=live.HEADERS)


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(
        msgspec.json.encode(value), status_code=status, headers=headers, media_type="application/json"
    )


async def _unroutable(request: Request, exc: Exception) -> Response:
    """No route: wrong path, or wrong method."""
    assert isinstance(exc, HTTPException)  # noqa: S101 - what Starlette promises
    what = "this method is not for this path" if exc.status_code == 405 else "there is nothing here"
    return _json({"error": f"{what}. /docs lists what there is."}, exc.status_code, dict(exc.headers or {}))


async def _refused(service: Service, request: Request, exc: Exception) -> Response:
    assert isinstance(exc, RefusedError)  # noqa: S101 - as above
    service.metrics.refused(exc.reason)
    headers = {} if exc.retry_after is None else {"retry-after": str(exc.retry_after)}
    if exc.status in {413, 415}:
        headers["connection"] = "close"  # the rest of the body is not waited for
    return _json({"error": str(exc)}, exc.status, headers)


async def _unusable(service: Service, request: Request, exc: Exception) -> Response:
    service.metrics.refused("input")
    return _json({"error": str(exc)}, 400)


async def _gone(request: Request, exc: Exception) -> Response:
    return _json({"error": "the client has gone."}, 499)  # for the log; nobody reads it


async def _failed(request: Request, exc: Exception) -> Response:
    """What nobody foresaw: `Front` logs where it was, and nothing of it leaves the house."""
    return _json(
        {"error": "the service failed, and its log says where: see x-request-id. Please report it."}, 500
    )


def _route(method: str, path: str, handler: Handler | partial[Any]) -> Route:
    return Route(path, handler, methods=[method])
