"""The two ends of a login in the browser (protocol section 9.4).

`GET /openid/{provider}/login` leads to the provider, which leads back to `GET /openid/{provider}/token`,
which leads to the application's callback with the tokens.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping
from urllib.parse import quote, urlencode

import structlog

from kintoun.features.openid import tokens
from kintoun.features.openid.callbacks import is_trusted, normal
from kintoun.features.openid.options import Options
from kintoun.features.openid.provider import Metadata, Provider
from kintoun.features.openid.states import Login, Logins
from kintoun.features.openid.wire import Unavailable
from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.http.routing import PREFIX
from kintoun.model import json
from kintoun.model.errors import (
    BACKEND,
    INVALID_PARAMETERS,
    Detail,
    InvalidParameters,
    ProtocolError,
    invalid,
)
from kintoun.model.parameters import split_query
from kintoun.resources.context import Context

INVALID_AUTH_TOKEN = 105
"""The errno in the details of a state that is not valid."""

EITHER = "Provide either 'state' and 'code', or 'error' and 'error_description', but not both."
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/]+\S*")
_LONGEST = {"state": 256, "code": 4096, "error": 256, "error_description": 1024}

log = structlog.get_logger()


class LoginEndpoints:
    """The endpoints, over the providers by name. `own_callbacks` are trusted below this server's own URL."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        logins: Logins,
        retry_after: int,
        own_callbacks: tuple[str, ...],
    ) -> None:
        self._providers = providers
        self._logins = logins
        self._retry_after = str(retry_after)
        self._own_callbacks = own_callbacks

    async def get_login(self, context: Context, request: Request) -> Answer:
        """Send the browser to the provider, and remember where its tokens are to go."""
        context.service.cors.check(request)
        params, provider = self._asked(request, required=("callback", "scope"), optional=("prompt",))
        options = provider.options
        scopes = params["scope"].split()
        strange = sorted(set(scopes) - set(options.allowed_scopes))
        if strange:
            raise invalid("body", "scope", f"Scopes not allowed: {', '.join(strange)}")
        callback = self._trusted(provider, request, params["callback"])
        if options.userid_field == "email" and "email" not in scopes:
            raise invalid("body", "scope", f"Provider {provider.name} requires 'email' scope")
        state = secrets.token_hex(options.state_length)
        login = Login(
            provider.name,
            callback,
            f"{request.base}{PREFIX}/openid/{provider.name}/token",
            secrets.token_urlsafe(48),
            secrets.token_urlsafe(24) if "openid" in scopes else "",
        )
        try:
            metadata = await provider.metadata.get()
        except Unavailable as error:
            raise self._unavailable(provider, error) from error
        await self._logins.begin(state, login, options.state_ttl_seconds, options.pending_logins)
        return _redirect(_authorization(metadata, options, login, state, params))

    async def get_token(self, context: Context, request: Request) -> Answer:
        """Trade the provider's code for tokens, and send the browser to the application with them."""
        context.service.cors.check(request)
        optional = ("code", "error", "error_description", "iss")
        params, provider = self._asked(request, required=("state",), optional=optional)
        issuer = params.get("iss")
        if issuer is not None and not provider.issued(issuer):
            raise invalid("querystring", "iss", "Not the issuer of this provider")
        login = await self._logins.take(params["state"], provider.name)
        if login is None:
            raise _invalid_state()
        if "error" in params:
            told = {name: params[name] for name in ("error", "error_description") if name in params}
            return _redirect(login.callback + urlencode(list(told.items())))
        try:
            body = await self._traded(provider, login, params["code"])
        except Unavailable as error:
            raise self._unavailable(provider, error) from error
        except tokens.Refused as error:
            log.warning("the ID token of a login is refused", provider=provider.name, reason=str(error))
            rule = "The ID token that it was traded for is not valid"
            raise invalid("querystring", "code", rule) from error
        return _redirect(login.callback + quote(b64encode(body), safe=""))

    async def _traded(self, provider: Provider, login: Login, code: str) -> bytes:
        """The provider's answer to a code, to the byte; an ID token in it is one of this login."""
        reply = await provider.trade(code, login.verifier, login.redirect_uri)
        id_token = json.decode(reply.body).get("id_token")
        if login.nonce and id_token is not None:
            if not isinstance(id_token, str):
                raise tokens.Refused("no text")
            await provider.verified(id_token, login.nonce)
        return reply.body

    def _asked(
        self, request: Request, *, required: tuple[str, ...], optional: tuple[str, ...]
    ) -> tuple[dict[str, str], Provider]:
        """The parameters of the query string and the provider of the path; raises with all that is wrong."""
        if request.in_batch:
            raise invalid("path", None, "A login is for a browser, and no part of a batch")
        params: dict[str, str] = {}
        wrong: list[Detail] = []
        for name, value in split_query(request.query):
            if name in required or name in optional:
                if name in params:
                    wrong.append(Detail("querystring", name, "Given more than once"))
                params[name] = value
        params = {name: value for name, value in params.items() if value.strip()}
        wrong += [Detail("querystring", name, "Required") for name in required if name not in params]
        wrong += [
            Detail("querystring", name, f"Longer than {most} characters")
            for name, most in _LONGEST.items()
            if len(params.get(name, "")) > most
        ]
        if params.get("prompt", "none") != "none":
            wrong.append(Detail("querystring", "prompt", "String does not match expected pattern"))
        if not _URL.fullmatch(params.get("callback", "http://callback")):
            wrong.append(Detail("querystring", "callback", "Must be a URL"))
        if "code" in optional and "state" in params and ("code" in params) == ("error" in params):
            wrong.append(Detail("querystring", "", EITHER))
        name = request.parameters[0]
        provider = self._providers.get(name)
        if provider is None:
            wrong.append(Detail("path", "provider", f"Unknown provider {name!r}"))
        if wrong or provider is None:
            raise InvalidParameters(*wrong)
        return params, provider

    def _trusted(self, provider: Provider, request: Request, callback: str) -> str:
        patterns = provider.options.callbacks
        if not provider.options.trusted_callback_urls:
            patterns += tuple(f"{request.base}{path}*" for path in self._own_callbacks)
        sent = normal(callback)
        if sent is None or not is_trusted(callback, patterns):
            raise invalid("body", "callback", "Untrusted callback URL")
        return sent

    def _unavailable(self, provider: Provider, error: Unavailable) -> ProtocolError:
        log.warning("a login fails at the OpenID provider", provider=provider.name, error=str(error))
        message = f"The OpenID provider {provider.name} cannot be asked, please retry later."
        return ProtocolError(503, BACKEND, message, headers=(("Retry-After", self._retry_after),))


def _authorization(
    metadata: Metadata, options: Options, login: Login, state: str, params: Mapping[str, str]
) -> str:
    """The URL at which the provider asks the user (OpenID Connect Core section 3.1.2.1, RFC 7636)."""
    query = {
        "client_id": options.client_id,
        "response_type": "code",
        "scope": params["scope"],
        "redirect_uri": login.redirect_uri,
        "state": state,
    }
    if "prompt" in params:
        query["prompt"] = params["prompt"]
    if options.audience:
        query["audience"] = options.audience
    if login.nonce:
        query["nonce"] = login.nonce
    challenge = hashlib.sha256(login.verifier.encode()).digest()
    query["code_challenge"] = urlsafe_b64encode(challenge).rstrip(b"=").decode()
    query["code_challenge_method"] = "S256"
    endpoint = metadata.authorization_endpoint
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"


def _invalid_state() -> ProtocolError:
    detail = {
        "location": "body",
        "name": "state",
        "description": "Invalid state",
        "errno": INVALID_AUTH_TOKEN,
    }
    return ProtocolError(
        400, INVALID_PARAMETERS, "Invalid state", error="Invalid parameters", details=[detail]
    )


def _redirect(location: str) -> Answer:
    """To a URL that holds secrets, and so is neither kept nor told to the next site."""
    headers = (("Location", location), ("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer"))
    return Answer(307, b"307 Temporary Redirect\n", headers, media_type="text/plain; charset=UTF-8")
