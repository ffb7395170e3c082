"""A headless Chromium, driven by chromedriver through the WebDriver protocol (W3C), which is JSON over HTTP."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_OPTIONS = ["--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
            "--hide-scrollbars", "--disable-dev-shm-usage"]
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    """One window. `run` evaluates JavaScript from outside the page, which its policy does not concern."""

    def __init__(self, address: str, size: tuple[int, int], *more: str) -> None:
        self._address = address
        options = {"args": [*_OPTIONS, f"--window-size={size[0]},{size[1]}", *more]}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        self._session = self._call("POST", "session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def open(self, page: Path) -> None:
        self.go(page.resolve().as_uri())

    def go(self, address: str) -> None:
        self._post("url", {"url": address})

    def run(self, script: str, *arguments: Any) -> Any:
        return self._post("execute/sync", {"script": script, "args": list(arguments)})

    def wait(self, script: str, seconds: float = 60.0) -> Any:
        """Return what an expression is as soon as it is something."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = self.run(f"return {script}")
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError(f"still not so after {seconds:.0f} s: {script}")

    def move_to(self, selector: str, *, drag: tuple[int, int] | None = None) -> None:
        """Scroll to an element and put the pointer on its middle; with `drag`, press there and move by so many px."""
        where = "{behavior: 'instant', block: 'center'}"
        self.run(f"document.querySelector(arguments[0]).scrollIntoView({where})", selector)
        element = self._post("element", {"using": "css selector", "value": selector})[_ELEMENT]
        moves: list[dict[str, Any]] = [{"type": "pointerMove", "x": 0, "y": 0, "origin": {_ELEMENT: element}}]
        if drag:
            moves += [{"type": "pointerDown", "button": 0}, {"type": "pointerMove", "x": drag[0], "y": drag[1],
                                                             "origin": "pointer", "duration": 50},
                      {"type": "pointerUp", "button": 0}]
        self.act(moves)

    def act(self, moves: list[dict[str, Any]]) -> None:
        """Move and press the pointer, in the words of WebDriver."""
        self._post("actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": moves}]})

    def press_together(self, *keys: str) -> None:
        """Press keys at once, such as Ctrl ("\\ue009") and a letter."""
        pressed = [{"type": "keyDown", "value": key} for key in keys] + [
            {"type": "keyUp", "value": key} for key in reversed(keys)]
        self._post("actions", {"actions": [{"type": "key", "id": "keys", "actions": pressed}]})

    def press(self, *keys: str) -> None:
        """Press keys, such as "\\ue014" for the arrow to the right."""
        pressed = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._post("actions", {"actions": [{"type": "key", "id": "keys", "actions": pressed}]})

    def resize(self, width: int, height: int) -> None:
        self._post("window/rect", {"width": width, "height": height})

    def screenshot(self) -> str:
        """Return a PNG of what the window shows, in base64."""
        return str(self._call("GET", f"session/{self._session}/screenshot"))

    def log(self) -> list[str]:
        """Return what the console has got since the last call."""
        return [entry["message"] for entry in self._post("se/log", {"type": "browser"})]

    def close(self) -> None:
        self._call("DELETE", f"session/{self._session}")

    def _post(self, command: str, body: dict[str, Any]) -> Any:
        return self._call("POST", f"session/{self._session}/{command}", body)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._address}/{path}", data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"]) from None


@contextmanager
def browser(driver: str, size: tuple[int, int] = (1280, 900), *more: str) -> Iterator[Browser]:
    """Start a browser; `driver` is the path of chromedriver, `more` are further options of Chromium."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen([driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            window = Browser(f"http://127.0.0.1:{port}", size, *more)
            try:
                yield window
            finally:
                window.close()
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with socket.socket() as attempt:
            if not attempt.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.05)
    raise AssertionError("chromedriver did not start")


@contextmanager
def dashboard(project: Path, *options: str) -> Iterator[str]:
    """Serve a project with `--edit`; yield the address with its token. The server ends also when a test fails."""
    command = [sys.executable, "-m", "cryosnake.cli", "web", str(project), "--edit", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.terminate()
