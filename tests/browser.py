"""Headless Chromium, driven over a pipe by its own DevTools protocol: no driver package, no port."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 60.0  # seconds for one answer; a busy machine is slow
_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe"),
    *("--no-first-run", "--disable-background-networking", "--disable-dev-shm-usage", "--disable-extensions"),
)

needs_chromium = pytest.mark.skipif(
    not any(map(shutil.which, NAMES)), reason="needs Chromium: apt-get install chromium"
)


class Page:
    """One tab, and what happened in it.

    Attributes
    ----------
    requests
        addresses that were asked for, the page's own first.
    complaints
        errors and warnings of scripts, of the network and of the content security policy.
    """

    def __init__(self, browser: Browser, session: str) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._browser, self._session, self._loaded = browser, session, False
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.send(
            "Emulation.setFocusEmulationEnabled", enabled=True
        )  # keys go nowhere in a window without focus

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Call the protocol."""
        return self._browser.send(method, params, session=self._session)

    def open(self, address: str) -> None:
        """Go there, and wait until it is loaded."""
        self._loaded = False
        self.send("Page.navigate", url=address)
        self._browser.wait(lambda: self._loaded)

    def look(self, *, width: int, height: int = 900, dark: bool = False) -> None:
        """Choose the size of the window and the colours that the reader prefers."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def ask(self, expression: str) -> Any:
        """Value of a JavaScript expression."""
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise AssertionError(found["exceptionDetails"]["exception"].get("description", found))
        return found["result"].get("value")

    def until(self, condition: str, seconds: float = 20) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self.ask(condition):
            assert time.monotonic() < end, f"it did not become true: {condition}; {self.complaints}"
            time.sleep(0.05)

    def press(self, key: str, times: int = 1) -> None:
        """Press a key as a person would."""
        codes = {"Tab": 9, "Enter": 13, "ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "End": 35}
        text = {"text": "\r"} if key == "Enter" else {}
        for _ in range(times):
            about = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
            self.send("Input.dispatchKeyEvent", type="keyDown", **about, **text)
            self.send("Input.dispatchKeyEvent", type="keyUp", **about)

    def spoken(self) -> list[tuple[str, str]]:
        """(role, name) of everything that a screen reader meets, in its order."""
        tree = self.send("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in tree
            if not node.get("ignored")
        ]

    def picture(self, *, whole: bool = True) -> bytes:
        """PNG of the page from top to bottom, or of the window."""
        shot = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(shot["data"])

    def print(self) -> bytes:
        """PDF, as the browser would print it."""
        return base64.b64decode(self.send("Page.printToPDF", printBackground=True)["data"])

    def happened(self, method: str, params: dict[str, Any]) -> None:
        """Take note of an event."""
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in {"error", "warning"}:
            self.complaints.append(params["entry"]["text"])


class Browser:
    """A Chromium of our own, with an empty profile; ended with the block."""

    def __enter__(self) -> Self:
        """Start it."""
        program = next(found for name in NAMES if (found := shutil.which(name)))
        self._profile = TemporaryDirectory(ignore_cleanup_errors=True)
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        self._process = subprocess.Popen(
            # The protocol is spoken over descriptors 3 and 4, which a shell can put in place.
            ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "-", program, *_FLAGS,
             f"--user-data-dir={self._profile.name}", "about:blank"],
            pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        os.set_blocking(self._in, False)
        self._number, self._rest, self._answers, self._pages = 0, b"", {}, {}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, and all that it started."""
        os.close(self._out)
        os.close(self._in)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._profile.cleanup()

    def page(self) -> Page:
        """Open a new tab."""
        target = self.send("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.send("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        self._pages[session] = None  # events before the page stands are nobody's
        self._pages[session] = page = Page(self, session)
        return page

    def send(self, method: str, params: dict[str, Any], session: str | None = None) -> dict[str, Any]:
        """Call the protocol and wait for the answer."""
        self._number += 1
        number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        self.wait(lambda: number in self._answers)
        answer = self._answers.pop(number)
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def wait(self, done: Any) -> None:
        """Read what comes until something is so."""
        stop = time.monotonic() + PATIENCE
        while not done():
            if time.monotonic() > stop:
                raise TimeoutError(f"Chromium did not answer within {PATIENCE:g} s")
            try:
                self._rest += os.read(self._in, 1 << 20)
            except BlockingIOError:
                time.sleep(0.005)
                continue
            *whole, self._rest = self._rest.split(b"\0")
            for message in map(json.loads, whole):
                if "id" in message:
                    self._answers[message["id"]] = message
                elif (page := self._pages.get(message.get("sessionId"))) is not None:
                    page.happened(message["method"], message["params"])


@contextmanager
def opened(path: Path, *, width: int = 1280, dark: bool = False) -> Iterator[Page]:
    """A file in a fresh browser."""
    with Browser() as browser:
        page = browser.page()
        page.look(width=width, dark=dark)
        page.open(path.resolve().as_uri())
        yield page
