"""What an engine is: it maps a function over pieces of work, and knows nothing of what they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Protocol, Self, TypeVar

from stillwatch.errors import InputError

Context = TypeVar("Context")
Item = TypeVar("Item")
Result = TypeVar("Result")

ATTEMPTS = 3  # times that a piece of work may take its worker down before it is given up
ENGINES = ("local", "ray")


class Engine(Protocol):
    """Maps. Workers stay for the next call with the same context while the engine is open (`with engine:`)."""

    def map(
        self, start: Callable[[Context], Callable[[Item], Result]], context: Context, items: Sequence[Item]
    ) -> Iterator[tuple[int, Result]]:
        """Place and result of every item, in the order in which they are finished.

        Parameters
        ----------
        start
            a function of a module, called once by each worker; it gives the function that is mapped.
        context
            what `start` needs: sent to each worker once.
        items
            pieces of work; those whose worker died are given to another.

        Raises
        ------
        WorkerError
            pieces that took down their worker again and again; raised when all others are finished.
        Exception
            what the mapped function raised; the rest is then left undone.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def engine_named(name: str, *, workers: int | None = None, address: str | None = None) -> Engine:
    """The engine of this name.

    Parameters
    ----------
    name
        "local" (processes of this machine) or "ray".
    workers
        how many; None: as many as there are cores, of this machine or of the cluster that is joined.
    address
        of a Ray cluster that runs already; None: Ray is started on this machine.

    Raises
    ------
    InputError
        there is no such engine, or an option does not go with it.
    MissingExtraError
        Ray is not installed.
    """
    if workers is not None and workers < 1:
        raise InputError(f"workers={workers}: expected at least 1.")
    if name == "ray":
        from stillwatch.scale.ray import Ray

        return Ray(workers, address=address)
    if name != "local":
        raise InputError(f"engine {name!r} is unknown. Use one of {', '.join(ENGINES)}.")
    if address is not None:
        raise InputError(f"address={address!r} is for the engine 'ray'; the engine 'local' joins nothing.")
    from stillwatch.scale.local import Local

    return Local(workers)
