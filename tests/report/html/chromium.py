"""A real headless Chromium over its debugging pipe: opens a file, hears complaints, presses keys.

The protocol (https://chromedevtools.github.io/devtools-protocol) is JSON with a zero byte after each message,
which needs no package. No host name resolves, so a page that wanted the network would be caught complaining.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections import deque
from pathlib import Path
from typing import Any

NAMES = (
    "chromium",
    "chromium-headless-shell",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
)
WAIT_S = 60.0
KEYS = {"Enter": ("\r", 13), "Escape": ("", 27), "Tab": ("", 9), "/": ("/", 191), " ": (" ", 32)}


def find() -> str | None:
    """The browser that CHROMIUM names, or the first that is on PATH."""
    named = os.environ.get("CHROMIUM")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


class Chromium:
    """One browser process; `with` ends it."""

    def __init__(self, program: str, profile: Path) -> None:
        words = [
            program,
            "--headless",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--disable-gpu",
            "--hide-scrollbars",
            "--no-first-run",
            *(["--no-sandbox"] if os.geteuid() == 0 else []),  # refuses to start as root otherwise
        ]
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        # it reads from 3 and writes to 4; the copies lie above both, so that neither overwrites the other
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (theirs_in, theirs_out)]
        line = [
            "bash",
            "-c",
            f'exec "$@" 3<&{ends[0]} 4>&{ends[1]} {ends[0]}<&- {ends[1]}>&-',
            "bash",
            *words,
        ]
        self.process = subprocess.Popen(
            line, pass_fds=ends, stderr=subprocess.DEVNULL, start_new_session=True
        )
        for end in (theirs_in, theirs_out, *ends):
            os.close(end)
        self._number, self._buffer = 0, b""
        self.events: deque[dict[str, Any]] = deque()

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._out)  # to which it answers by going
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)  # a shell script may stand before the browser
            self.process.wait()
        os.close(self._in)

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        os.write(
            self._out, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0"
        )
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, method: str) -> None:
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self._read())

    def _read(self) -> dict[str, Any]:
        until = time.monotonic() + WAIT_S
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0, until - time.monotonic()))
            chunk = os.read(self._in, 1 << 20) if ready else b""
            assert chunk, "Chromium ended" if ready else f"Chromium did not answer within {WAIT_S:.0f} s"
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)


class Tab:
    """A file in a window of a size."""

    def __init__(
        self,
        browser: Chromium,
        address: str,
        *,
        width: int = 1280,
        height: int = 900,
        dark: bool = False,
        script: bool = True,
    ) -> None:
        self.browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.target = target
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        browser.events.clear()
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setScriptExecutionDisabled", value=not script)
        self.call("Page.navigate", url=address)
        browser.wait_for("Page.loadEventFired")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self.browser.call(method, self.session, **parameters)

    def close(self) -> None:
        self.browser.call("Target.closeTarget", targetId=self.target)

    def go(self, place: str) -> None:
        """To another place of the same file, as a link would."""
        self.js(f"location.hash = {place!r}, new Promise((done) => setTimeout(done, 50))")

    def js(self, expression: str) -> Any:
        """The value of an expression in the page; what it throws is a failed test."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        text, code = KEYS[key]
        shared = {"key": key, "windowsVirtualKeyCode": code, "code": "Slash" if key == "/" else key}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **shared)
        self.call("Input.dispatchKeyEvent", type="keyUp", **shared)

    def write(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def picture(self, path: Path, *, whole: bool = False) -> None:
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def pdf(self) -> bytes:
        return base64.b64decode(self.call("Page.printToPDF", printBackground=False)["data"])

    @property
    def complaints(self) -> list[Any]:
        """Errors and warnings that the console would show, policies that were violated among them."""
        self.js("new Promise(requestAnimationFrame).then(() => 0)")
        mine = [event for event in self.browser.events if event.get("sessionId") == self.session]
        told = [
            event["params"]
            for event in mine
            if event["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")
        ]
        spoken = [event["params"] for event in mine if event["method"] == "Runtime.consoleAPICalled"]
        return told + spoken

    @property
    def requests(self) -> list[str]:
        """What was asked for, pictures that lie in the page left out."""
        mine = [event for event in self.browser.events if event["method"] == "Network.requestWillBeSent"]
        addresses = [event["params"]["request"]["url"] for event in mine]
        return [address for address in addresses if not address.startswith("data:")]
