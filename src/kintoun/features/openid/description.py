"""What the API's description says of the login endpoints."""

from __future__ import annotations

from typing import Any


def _text(name: str, description: str, *, required: bool = False, **schema: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": required,
        "description": description,
        "schema": {"type": "string", **schema},
    }


def _responses(then: str) -> dict[str, Any]:
    return {
        "307": {
            "description": then,
            "headers": {"Location": {"required": True, "schema": {"type": "string"}}},
            "content": {"text/plain": {}},
        },
        **{status: {"$ref": f"#/components/responses/{status}"} for status in ("400", "503")},
    }


def _operation(summary: str, description: str, parameters: list[Any], then: str) -> dict[str, Any]:
    made = {
        "summary": summary,
        "description": description,
        "parameters": parameters,
        "security": [{}],
        "responses": _responses(then),
    }
    return {"GET": made, "HEAD": made}


LOGIN = _operation(
    "Log in with an OpenID provider",
    "For a browser, which is led to the provider and comes back to `callback` with the tokens.",
    [
        _text("callback", "A trusted URL; the tokens are appended to it.", required=True, format="uri"),
        _text("scope", "What the application asks for, as `openid email`.", required=True),
        _text("prompt", "Fail rather than ask the user.", enum=["none"]),
    ],
    "To the provider.",
)

TOKEN = _operation(
    "Come back from an OpenID provider",
    "Where the provider leads the browser: trades the code for tokens. `code` or `error` is given, not both.",
    [
        _text("state", "The state of the login; it can be used once.", required=True),
        _text("code", "What the provider gives for a login."),
        _text("error", "Why there was none."),
        _text("error_description", "The same for people."),
        _text("iss", "Who says so."),
    ],
    "To the callback, which the base64 of the provider's JSON, or the error, is appended to.",
)
