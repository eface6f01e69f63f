"""The process: listen, tick, drain, end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

import uvicorn

from stillwatch.serve.access import Token
from stillwatch.serve.app import Service, application
from stillwatch.serve.limits import Limits
from stillwatch.serve.log import Bridge, Log, place_of
from stillwatch.serve.models import Models
from stillwatch.serve.protocol import Connection, sweep
from stillwatch.serve.reload import Reloader
from stillwatch.serve.watch.feedback import FeedbackFolder

_SWEEP_TICKS = 5  # of a tenth of a second each
_SWITCH = 0.0005  # seconds a thread keeps the interpreter while the loop waits for it


class Server(uvicorn.Server):
    """uvicorn with deadlines, reloads and an orderly end.

    SIGTERM and SIGINT: not ready any more, answer what has come, exit 0; a second one: end now. SIGHUP: read the models again.

    Parameters
    ----------
    reload_seconds
        between looks at the model folders; 0: only at SIGHUP.
    linger_seconds
        for which new requests are still taken after SIGTERM, so that a balancer can notice.
    """

    def __init__(
        self, config: uvicorn.Config, service: Service, *, reload_seconds: float, linger_seconds: float
    ) -> None:
        super().__init__(config)
        self._service = service
        self._reload_ticks = max(1, round(reload_seconds * 10)) if reload_seconds else 0
        self._linger_seconds = linger_seconds
        self._reloader = Reloader(service.models, service.metrics, service.log)

    async def on_tick(self, counter: int) -> bool:  # noqa: D102 - uvicorn's
        if counter % _SWEEP_TICKS == 0:
            sweep(self.server_state.connections, asyncio.get_running_loop().time())
        if self._reload_ticks and counter % self._reload_ticks == 0:
            self._reloader.look()
        return await super().on_tick(counter)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: D102 - uvicorn's
        await super().startup(sockets)
        asyncio.get_running_loop().set_exception_handler(self._loop_problem)
        for listener in sockets or []:
            host, port = listener.getsockname()[:2]
            self._service.log.write(
                "listening",
                url=f"http://{f'[{host}]' if ':' in host else host}:{port}",
                models={model.name: model.digest for model in self._service.models},
            )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: D102 - uvicorn's
        sweeping = asyncio.create_task(self._sweep_on())
        await super().shutdown(sockets)
        sweeping.cancel()
        self._reloader.close()
        self._service.close()
        self._service.log.write("ended", forced=self.force_exit)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Listen to signals; uvicorn would raise them again in the end, and so exit with their number."""
        loop = asyncio.get_running_loop()
        ours: dict[signal.Signals, Callable[[], None]] = {
            signal.SIGTERM: self._drain,
            signal.SIGINT: self._drain,
            signal.SIGHUP: partial(self._reloader.look, force=True),
        }
        for number, handler in ours.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in ours:
                loop.remove_signal_handler(number)

    def _drain(self) -> None:
        if self._service.draining:
            self.should_exit = self.force_exit = True
            return
        self._service.draining = True
        self._service.log.write("draining", seconds=self.config.timeout_graceful_shutdown)
        asyncio.get_running_loop().call_later(self._linger_seconds, setattr, self, "should_exit", True)

    async def _sweep_on(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_TICKS / 10)
            sweep(self.server_state.connections, asyncio.get_running_loop().time())

    def _loop_problem(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        exc = context.get("exception")
        problem = None if exc is None else place_of(exc)
        self._service.log.write("loop", said=str(context.get("message"))[:200], error=problem)


def leave(seconds: float = 1.0) -> None:
    """End the process where a thread still works on what nobody waits for: Python would wait for it, and the drain has an end."""
    end = time.monotonic() + seconds
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(max(0.0, end - time.monotonic()))
            if thread.is_alive():
                os._exit(0)


def serve(
    models: Models,
    listener: socket.socket,
    *,
    limits: Limits,
    token: Token | None,
    reload_seconds: float = 1.0,
    linger_seconds: float = 0.0,
    log_requests: bool = True,
    feedback: FeedbackFolder | None = None,
) -> None:
    """Serve models until a signal ends it.

    Parameters
    ----------
    listener
        what `access.open_socket` returned.
    token
        what clients must send; None: nothing.
    reload_seconds, linger_seconds
        see `Server`.
    log_requests
        whether requests that went well have a log line.
    feedback
        where confirmations of the live page go; None: no such page.
    """
    # Not through Python's own stream: at exit it waits for its lock, which a stalled reader may hold.
    stream = open(os.dup(sys.stderr.fileno()), "wb", buffering=0)  # noqa: SIM115 - open until the end
    log = Log(stream, requests=log_requests)
    service = Service(models, limits, log, feedback)
    config = uvicorn.Config(
        application(service, token),
        http=cast(type[asyncio.Protocol], partial(Connection, limits=limits)),  # uvicorn only calls it
        loop="uvloop",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=round(limits.idle_seconds),
        timeout_graceful_shutdown=round(limits.drain_seconds),
    )
    bridge = Bridge(log)
    for name in ("uvicorn.error", "asyncio"):
        logging.getLogger(name).addHandler(bridge)
        logging.getLogger(name).propagate = False
    sys.setswitchinterval(_SWITCH)
    gc.collect()
    gc.freeze()  # what is there by now stays, and need not be looked through while somebody waits
    try:
        Server(config, service, reload_seconds=reload_seconds, linger_seconds=linger_seconds).run([listener])
    finally:
        log.close()
