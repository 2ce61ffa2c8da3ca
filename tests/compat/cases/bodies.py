"""Bodies, encodings and JSON values (protocol section 1.1)."""

from tests.compat.cases.world import BASE, R1, C, R
from tests.compat.scenario import Raw, delete, get, patch, post, put, scenario

ILL_FORMED = [
    b'{"data": ',
    b"{'data': {}}",
    b'{"data": {},}',
    b'{"data": {"a": NaN}}',
    b'{"data": {"a": Infinity}}',
    b'{"data": {"a": -Infinity}}',
    b'{"data": {} /* c */}',
    b"\xef\xbb\xbf{}",
    b'{"data": {"a": "\\ud800"}}',
    b'{"data": {"a": "\xff"}}',
    b'{"data": {"a": "\\x"}}',
    b'{"data": {"a": 01}}',
    b'{"data": {"a": "\n"}}',
    b"abc",
    b"{} {}",
    b'{"data": {"a": 1e400}}',
    b'{"data": {"a": -1e400}}',
]
NOT_MAPPINGS = [b"[]", b"[1]", b"1", b'"x"', b"null", b"true", b"1.5"]
VALUES = [
    b"0", b"-0", b"1.0", b"-0.0", b"1e2", b"1.5e-7", b"9223372036854775807", b"-9223372036854775808",
    b"9007199254740993", b"0.1", b'""',
    b'"\\u00e9"', b'"\xc3\xa9"', b'"\\ud83d\\ude00"', b'"a\\nb\\t\\"\\\\"', b"[]", b"{}",
    b'{"a": {"b": [1, {"c": null}]}}', b"true", b"false", b"null",
    b'[1, "a", null, true, 1.5]', b'"\\u0001"', b'"\\u007f\\u2028"',
]  # fmt: skip

SCENARIOS = [
    scenario(
        "ill-formed JSON",
        BASE,
        *[put(R1, Raw(body)) for body in ILL_FORMED],
        *[post(R, Raw(body)) for body in ILL_FORMED[:3]],
        *[post("/batch", Raw(body)) for body in ILL_FORMED[:2]],
        get(R, Raw(b"{nope")),
        get(R, Raw(b"{nope", "text/plain")),
        get(R1, Raw(b"{nope")),
        delete(R1, Raw(b"{nope")),
        delete(R, Raw(b"{nope")),
        traps=(55,),
    ),
    scenario(
        "not a mapping",
        BASE,
        put(R1),
        *[put(R1, Raw(body)) for body in NOT_MAPPINGS],
        *[post(R, Raw(body)) for body in NOT_MAPPINGS],
        *[patch(R1, Raw(body)) for body in NOT_MAPPINGS],
        *[get(R1, Raw(body)) for body in NOT_MAPPINGS],
    ),
    scenario(
        "empty bodies",
        BASE,
        put(R1),
        put(R1, Raw(b"")),
        put(R1, Raw(b"{}")),
        put(R1, Raw(b"  ")),
        post(R, Raw(b"")),
        post("/batch", Raw(b"")),
        post("/buckets"),
        put(f"{R}/r2", Raw(b"", None)),
    ),
    scenario(
        "values survive",
        BASE,
        *[put(R1, Raw(b'{"data": {"a": ' + value + b"}}")) for value in VALUES],
        *[
            step
            for value in VALUES[:6]
            for step in (put(R1, Raw(b'{"data": {"a": ' + value + b"}}")), get(R1))
        ],
        get(R),
    ),
    scenario(
        "wide integers",
        BASE,
        put(R1, Raw(b'{"data": {"a": 123456789012345678901234567890}}')),
        get(R1),
        put(R1, Raw(b'{"data": {"a": 18446744073709551616, "b": 9223372036854775808}}')),
        get(R1),
    ),
    scenario(
        "keys",
        BASE,
        put(R1, Raw(b'{"data": {"a": 1, "a": 2}}')),
        put(R1, Raw(b'{"data": {"a": 1}, "data": {"b": 2}}')),
        put(R1, {"data": {"": 1, "a.b": 2, "é": 3, "_x": 4, "min_x": 5, "deleted": True, "__proto__": 6}}),
        get(R1),
        get(R),
        put(R1, {"data": {"x" * 300: "y" * 3000}}),
    ),
    scenario(
        "nesting and NUL",
        BASE,
        put(R1, Raw(b'{"data": {"a": ' + b"[" * 200 + b"]" * 200 + b"}}")),
        put(R1, Raw(b'{"data": {"a": ' + b"[" * 2000 + b"]" * 2000 + b"}}")),
        put(R1, Raw(b'{"data": {"a": "x\\u0000y"}}')),
        put(R1, Raw(b'{"data": {"a\\u0000b": 1}}')),
        get(f"{R}?a=%00"),
        get(f"{R}?a=%22%5Cu0000%22"),
        put(R1, {"permissions": {"read": ["a\x00b"]}}),
    ),
    scenario(
        "transfer",
        BASE,
        put(R1, Raw(b'{"data": {"a": "chunked"}}', chunked=True)),
        get(R1),
        put(R1, Raw(b'{"data": {"a": "plain"}}'), h={"Content-Encoding": "gzip"}),
        put(R1, {"data": {"a": "x" * 200_000}}),
        post(R, Raw(b'{"data": {"id": "chunky"}}', chunked=True)),
        put(C, {"data": {"é": "日本"}}),
        get(C),
    ),
]
