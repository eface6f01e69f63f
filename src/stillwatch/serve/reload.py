"""A changed model folder: load beside, check, score golden rows, swap; or keep the last good model.

A folder is looked at once in a while and at SIGHUP. Put a new one in place by renaming, so that none is read half written;
a copy in place works as well, since what does not fit together is refused and looked at again when it changes.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stillwatch.errors import StillwatchError
from stillwatch.serve.log import Log, place_of
from stillwatch.serve.metrics import Metrics
from stillwatch.serve.models import Mark, Model, Models, mark_of, open_model


class Reloader:
    """Looks at the folders of the loaded models; one look at a time."""

    def __init__(self, models: Models, metrics: Metrics, log: Log) -> None:
        self._models, self._metrics, self._log = models, metrics, log
        self._seen: dict[Path, Mark] = {model.folder: model.mark for model in models}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reload")
        self._task: asyncio.Task[None] | None = None
        self._again = False

    def look(self, *, force: bool = False) -> None:
        """Look at the folders, now or once the look that is going on has ended; on the event loop.

        Parameters
        ----------
        force
            also read folders that seem unchanged.
        """
        self._again |= force
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._look_at_all())

    def close(self) -> None:
        """Let a look that is going on end by itself."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _look_at_all(self) -> None:
        while True:
            force, self._again = self._again, False
            for model in self._models:
                await self._look_at(model, force=force)
            if not self._again:
                return

    async def _look_at(self, model: Model, *, force: bool) -> None:
        loop = asyncio.get_running_loop()
        mark = await loop.run_in_executor(self._thread, mark_of, model.folder)
        if mark == self._seen[model.folder] and not force:
            return
        self._seen[model.folder] = mark
        try:
            found = await loop.run_in_executor(self._thread, open_model, model.folder)
        except StillwatchError as exc:
            self._tell(model, "refused", why=str(exc))
        except Exception as exc:  # whatever a folder holds, the last good model goes on
            self._tell(model, "refused", why=place_of(exc))
        else:
            if found.digest == model.digest:
                self._tell(model, "same")
            else:
                self._models.swap(found)
                self._tell(found, "swapped", was=model.version)

    def _tell(self, model: Model, result: str, **more: str) -> None:
        self._metrics.reloaded(model.name, result)
        self._log.write("reload", model=model.name, version=model.version, result=result, **more)
