"""A certified OpenID provider (npm's `oidc-provider`) as a process, and a user who logs in there."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Mapping
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.support.ports import free_port

SCRIPTS = Path(__file__).parent / "js"
START_SECONDS = 60.0
RESOURCE = "https://kintoun.example/api"
SECRET = "a secret of the client that is known to the server"
HOPS = 20


class Stuck(Exception):
    """A login did not come to its end; the message is what the browser shows."""


def signing_keys() -> list[dict[str, Any]]:
    """New private keys of two kinds, as JWKs."""
    keys = []
    for algorithm, key in (
        ("RS256", rsa.generate_private_key(65537, 2048)),
        ("ES256", ec.generate_private_key(ec.SECP256R1())),
    ):
        converter = jwt.get_algorithm_by_name(algorithm)
        jwk = converter.to_jwk(key, as_dict=True)
        jwk.pop("key_ops", None)
        kid = f"{algorithm}-{time.monotonic_ns()}"
        keys.append({**jwk, "alg": algorithm, "use": "sig", "kid": kid})
    return keys


class RealProvider:
    """The provider. Its port, and so its issuer, stay the same when it is started again, with other keys.

    `names` are the policies whose logins end here; `pkce` is whether every login must use it.
    """

    def __init__(
        self, names: list[str], users: Mapping[str, Mapping[str, Any]], *, pkce: bool = True
    ) -> None:
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        self._clients = [
            {
                "client_id": kind,
                "client_secret": SECRET,
                "token_endpoint_auth_method": (
                    "client_secret_basic" if kind.endswith("basic") else "client_secret_post"
                ),
                # Loopback URLs of native applications are registered without their port (RFC 8252).
                "application_type": "native",
                "redirect_uris": [f"http://127.0.0.1/v1/openid/{name}/token" for name in names],
            }
            for kind in ("opaque", "opaque-basic", "signed")
        ]
        self._users = users
        self._pkce = pkce
        self._process: subprocess.Popen[bytes] | None = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the provider

    def start(self) -> RealProvider:
        """Start with new keys, and wait until it answers."""
        assert (SCRIPTS / "node_modules").is_dir(), "`npm ci` in tests/openid/js (`make test` does it)"
        settings = {
            "port": self.port,
            "clients": self._clients,
            "users": self._users,
            "pkce": self._pkce,
            "keys": signing_keys(),
            "resource": RESOURCE,
        }
        self._process = subprocess.Popen(
            ["node", "provider.mjs", json.dumps(settings)],
            cwd=SCRIPTS,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self.log()
            try:
                if httpx.get(f"{self.issuer}/.well-known/openid-configuration").status_code == 200:
                    return self
            except httpx.HTTPError:
                time.sleep(0.05)
        raise AssertionError(f"the provider did not start: {self.log()}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(START_SECONDS)
            self._process = None

    def rotate(self) -> None:
        """Begin anew with other keys. (The sessions of its users are gone with it.)"""
        self.stop()
        self.start()

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-4000:]

    def __enter__(self) -> RealProvider:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._log.close()


def go_through(browser: httpx.Client, login_url: str, user: str, stop_at: str) -> str:
    """Log in as a user does: follow redirects, fill in forms, until the URL begins with `stop_at`."""
    response = browser.get(login_url)
    for _ in range(HOPS):
        if response.is_redirect:
            url = urljoin(str(response.url), response.headers["location"])
            if url.startswith(stop_at):
                return url
            response = browser.get(url)
            continue
        if response.status_code != 200:
            raise Stuck(response.text)
        response = _submit(browser, response, user)
    raise Stuck(f"too many steps, the last at {response.url}")


def _submit(browser: httpx.Client, response: httpx.Response, user: str) -> httpx.Response:
    form = re.search(r'<form[^>]*action="([^"]+)"[^>]*>(.*?)</form>', response.text, re.DOTALL)
    assert form is not None, response.text
    fields = {}
    for tag in re.findall(r"<input[^>]*>", form[2]):
        found = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if "name" in found:
            fields[unescape(found["name"])] = unescape(found.get("value", ""))
    if "login" in fields:
        fields |= {"login": user, "password": "any"}
    return browser.post(urljoin(str(response.url), unescape(form[1])), data=fields)
