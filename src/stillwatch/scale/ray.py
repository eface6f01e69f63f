"""The engine of a cluster: a Ray task a piece of work, what all need put once, one session a worker."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from types import TracebackType
from typing import Any, Self

from stillwatch.errors import InputError, MissingExtraError, WorkerError
from stillwatch.scale.engine import ATTEMPTS, Context, Item, Result

_OLDEST = (2, 55)  # CVE-2026-41486: an older one may run what a Parquet file says
_STORE = 256 << 20  # bytes of shared memory of a Ray of our own; only contexts lie in it
_PATIENCE = 10  # seconds for a cluster to answer
_AHEAD = 1_000  # pieces handed out at once: enough to let a cluster grow


class Ray:
    """Maps over the workers of a Ray cluster; see `Engine`.

    Parameters
    ----------
    workers
        how many at once; None: as many as the cluster has cores.
    address
        of a cluster that runs; None: `RAY_ADDRESS` of the environment, and without it a Ray of our own on this machine,
        which listens to who knows its random token only, has no dashboard, and ends with the engine.

    Notes
    -----
    Workers on other machines need Stillwatch in the same version, and see the files under the same paths.
    """

    def __init__(self, workers: int | None = None, *, address: str | None = None) -> None:
        self.workers = workers
        self.address = address or os.environ.get("RAY_ADDRESS") or None
        self._ray = _library(own=self.address is None)
        self._open = self._started = False
        self._put: tuple[Any, Any, Any] | None = None

    def __enter__(self) -> Self:
        self._open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        self._end()

    def map(
        self, start: Callable[[Context], Callable[[Item], Result]], context: Context, items: Sequence[Item]
    ) -> Iterator[tuple[int, Result]]:
        """See `Engine.map`."""
        if not items:
            return
        try:
            self._begin()
            yield from self._mapped(start, context, items)
        finally:
            if not self._open:
                self._end()

    def _mapped(self, start: Any, context: Any, items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        ray = self._ray
        if self._put is None or self._put[0] is not start or self._put[1] is not context:
            self._put = start, context, ray.put((start, context))
        # In a list, so that Ray hands over the reference: a worker fetches it once, not for every task.
        shared = [self._put[2]]
        task = ray.remote(num_cpus=1, max_retries=ATTEMPTS - 1, retry_exceptions=False)(_work)
        todo = deque(enumerate(items))
        asked: dict[Any, int] = {}
        lost: dict[int, str] = {}
        # A Ray of our own has no more cores than there are workers to be.
        ahead = self.workers if self.workers and self.address else _AHEAD
        try:
            while todo or asked:
                while todo and len(asked) < ahead:
                    place, item = todo.popleft()
                    asked[task.remote(shared, item)] = place
                (done, *_), _ = ray.wait(list(asked), num_returns=1)
                place = asked.pop(done)
                try:
                    result = ray.get(done)
                except ray.exceptions.RayTaskError as exc:
                    raise exc.cause from exc
                except ray.exceptions.RayError as exc:
                    lost[place] = f"its worker died {ATTEMPTS} times ({type(exc).__name__})"
                    continue
                yield place, result
        finally:
            for reference in asked:
                ray.cancel(reference, force=True)
        if lost:
            raise WorkerError(lost)

    def _begin(self) -> None:
        if self._ray.is_initialized():
            return
        if self.address is None:
            own: dict[str, Any] = {
                "address": "local",  # by itself Ray joins whatever runs on this machine
                "num_cpus": self.workers,
                "include_dashboard": False,
                "object_store_memory": _STORE,
                "_node_ip_address": "127.0.0.1",
                # By itself Ray lets everything else on the machine go before its workers; ours go no later than processes do.
                "_system_config": {"worker_niceness": 0},
            }
        else:
            _check_reachable(self.address)
            own = {"address": self.address}
        try:
            self._ray.init(log_to_driver=False, logging_level="error", configure_logging=False, **own)
        except Exception as exc:  # Ray raises of all kinds
            where = self.address or "this machine"
            raise InputError(f"Ray at {where} cannot be used: {exc}") from exc
        self._started = True

    def _end(self) -> None:
        self._put = None
        if self._started:
            self._ray.shutdown()
            self._started = False


def _library(*, own: bool) -> Any:
    if own and "ray" not in sys.modules and "RAY_AUTH_MODE" not in os.environ:
        # Whoever reaches an open port of Ray may run code. Ray looks for this when it is imported, and hands it on to the
        # processes that it starts.
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    try:
        import ray
    except ImportError as exc:
        raise MissingExtraError("ray", "ray") from exc
    if tuple(map(int, ray.__version__.split(".")[:2])) < _OLDEST:
        raise InputError(
            f"ray {ray.__version__} came, expected {'.'.join(map(str, _OLDEST))} or newer: older ones may run code from a "
            "Parquet file. Run: pip install -U 'stillwatch[ray]'"
        )
    return ray


def _check_reachable(address: str) -> None:
    """Ray itself would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not (host and port.isdecimal()):
        return
    try:
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()
    except OSError as exc:
        raise InputError(
            f"Ray at {address} cannot be reached: {exc.strerror or exc}. Expected HOST:PORT as `ray start --head` shows it."
        ) from exc


def _work(shared: list[Any], item: Any) -> Any:
    return _function(shared[0])(item)


@lru_cache(maxsize=1)
def _function(reference: Any) -> Any:
    import pyarrow as pa
    import ray

    pa.set_cpu_count(1)
    start, context = ray.get(reference)
    return start(context)
