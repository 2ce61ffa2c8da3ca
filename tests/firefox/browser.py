"""An unmodified Firefox without a window, driven through its own remote protocol (Marionette).

Marionette is a TCP connection on which both sides send JSON arrays, each after its length and a colon:
`[0, id, command, parameters]` one way, `[1, id, error, result]` the other. Scripts run with the browser's own
rights, which is how they reach its Remote Settings client.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.ports import accepts, free_port

START_SECONDS = 120.0
SCRIPT_SECONDS = 120.0

PREFERENCES = {
    "app.update.auto": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.push.connection.enabled": False,
    "extensions.systemAddon.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.loglevel": "debug",
    "toolkit.telemetry.reportingpolicy.firstRun": False,
    "trailhead.firstrun.didSeeAboutWelcome": True,
}
"""What keeps a fresh profile from asking others than the server under test; signatures are its own affair."""


class ScriptFailed(Exception):
    """A script in the browser threw; the message is what it threw."""


class Firefox:
    """One browser with a profile of its own."""

    def __init__(self, server: str, preferences: Mapping[str, Any] | None = None) -> None:
        """`server` is the URL of a Remote Settings server, ending with `/v1`."""
        self._profile = Path(tempfile.mkdtemp(prefix="kintoun-firefox-"))
        self._port = free_port()
        wanted = {
            **PREFERENCES,
            "services.settings.server": server,
            "marionette.port": self._port,
            **(preferences or {}),
        }
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in wanted.items()]
        (self._profile / "user.js").write_text("\n".join(lines), encoding="utf-8")
        self._log = (self._profile / "firefox.log").open("ab")
        # The variable is what makes a release honour the preference that names another server.
        self._process = subprocess.Popen(
            [
                *(os.environ.get("FIREFOX") or "firefox-esr", "--headless", "--no-remote"),
                *("--marionette", "--remote-allow-system-access", "--profile", str(self._profile)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, "HOME": str(self._profile), "MOZ_REMOTE_SETTINGS_DEVTOOLS": "1"},
        )
        self._sent = 0
        self._connection = self._connect()
        self._command("WebDriver:NewSession", {"capabilities": {"alwaysMatch": {}}})
        self._command("WebDriver:SetTimeouts", {"script": int(SCRIPT_SECONDS * 1000)})
        self._command("Marionette:SetContext", {"value": "chrome"})

    def run(self, script: str, *arguments: Any) -> Any:
        """What the body of an async function returns, with `arguments` as its own; raises ScriptFailed."""
        body = f"""
            const done = arguments[arguments.length - 1];
            (async function () {{ {script} }}).apply(null, arguments).then(
                value => done({{ value: value === undefined ? null : value }}),
                error => done({{ error: `${{error.name}}: ${{error.message}}` }}),
            );
        """
        found = self._command(
            "WebDriver:ExecuteAsyncScript",
            {"script": body, "args": list(arguments), "sandbox": "system", "newSandbox": True},
        )["value"]
        if "error" in found:
            raise ScriptFailed(found["error"])
        return found["value"]

    def close(self) -> None:
        """End the browser and forget its profile."""
        self._connection.close()
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(20)
        self._log.close()
        shutil.rmtree(self._profile, ignore_errors=True)

    def __enter__(self) -> Firefox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connect(self) -> socket.socket:
        deadline = time.monotonic() + START_SECONDS
        while not accepts(self._port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                raise RuntimeError(f"Firefox did not start:\n{self._log_text()}")
            time.sleep(0.1)
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=SCRIPT_SECONDS + 30)
        self._incoming = connection.makefile("rb")
        self._receive()  # its greeting
        return connection

    def _command(self, name: str, parameters: Mapping[str, Any]) -> Any:
        self._sent += 1
        message = json.dumps([0, self._sent, name, parameters])
        self._connection.sendall(f"{len(message.encode())}:{message}".encode())
        _, number, error, result = self._receive()
        assert number == self._sent
        if error is not None:
            raise ScriptFailed(f"{name}: {error['error']}: {error['message']}\n{self._log_text()}")
        return result

    def _receive(self) -> Any:
        digits = b""
        while (byte := self._incoming.read(1)) != b":":
            if not byte:
                raise RuntimeError(f"Firefox hung up:\n{self._log_text()}")
            digits += byte
        return json.loads(self._incoming.read(int(digits)))

    def _log_text(self) -> str:
        return (self._profile / "firefox.log").read_text(errors="replace")[-4000:]
