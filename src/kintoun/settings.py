"""Every setting of the server, declared once: its type, its unit, its default and what it does.

A section is a table of `kintoun.toml`; the environment stands above the file (`KINTOUN_STORAGE__URL` is
`[storage] url`). Features declare their own sections with the same `msgspec.Meta` descriptions, and the
reference page of the documentation is generated from these declarations.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

AccessKey = Annotated[str, Meta(pattern=r"^[a-z][a-z_-]*_(create|read|write|delete)$")]
Endpoint = Annotated[str, Meta(pattern=r"^(plural|object)_[a-z_-]+_(get|head|post|put|patch|delete)$")]
Network = Annotated[
    str, Meta(pattern=r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)(/[0-9]{1,3})?$")
]
Seconds = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]


BESIDE_FILE = {"relative_to": "file"}
"""Marks a setting, as `extra` of its Meta, whose relative path begins at the file that holds the setting."""


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the configuration file."""


class Server(Section, frozen=True):
    """The process: where it listens and how many workers serve."""

    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port to listen on.")] = 8888
    workers: Annotated[int, Meta(ge=1, description="Number of worker processes.")] = 1
    backlog: Annotated[int, Meta(ge=128, description="Connections that may wait for a worker.")] = 1024
    connections: Annotated[int, Meta(ge=16, description="Connections that one worker serves at once.")] = 4096
    stop_seconds: Annotated[
        int, Meta(ge=1, le=600, description="How long requests may go on after the server was asked to stop.")
    ] = 20
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Least level that is logged.")
    ] = "info"
    log_format: Annotated[
        Literal["text", "json"], Meta(description="Form of the lines on standard error.")
    ] = "text"
    access_log: Annotated[
        bool, Meta(description="Log a line for each request, those of batches too, at the level `info`.")
    ] = False
    request_ids: Annotated[
        bool,
        Meta(
            description="Name requests: `X-Request-Id` of a request, or a new one, is told in the answer and "
            "in every line that is logged meanwhile. The log of accesses does it too."
        ),
    ] = False


class Index(Section, frozen=True):
    """A field of a collection's records that is often filtered or sorted by."""

    bucket: Annotated[str, Meta(description="Id of the bucket.")]
    collection: Annotated[str, Meta(description="Id of the collection.")]
    field: Annotated[str, Meta(description="Name of the field, dots descend into objects.")]


class Storage(Section, frozen=True):
    """Where the data is kept."""

    url: Annotated[
        str,
        Meta(
            pattern="^(sqlite:.|postgres(ql)?://.)",
            description="`sqlite:FILE` or `postgresql://…`; a relative file is looked for beside the "
            "configuration file that names it.",
        ),
    ] = "sqlite:kintoun.sqlite"
    pool_size: Annotated[
        int, Meta(ge=2, le=1000, description="Most connections one worker opens to PostgreSQL.")
    ] = 10
    listener_url: Annotated[
        Annotated[str, Meta(pattern="^postgres(ql)?://.")] | None,
        Meta(
            description="`postgresql://…` past a pooler of transactions, for the one connection of a worker "
            "that hears of the commits of others; default: `url`."
        ),
    ] = None
    replicas: Annotated[
        list[Annotated[str, Meta(pattern="^postgres(ql)?://.")]],
        Meta(description="Streaming replicas of the PostgreSQL database, which take part in reading."),
    ] = field(default_factory=list)
    replica_reads: Annotated[
        Literal["anonymous", "all"],
        Meta(
            description="Whose reads replicas answer; with `all`, what is revoked is revoked after the lag."
        ),
    ] = "anonymous"
    replica_lag_seconds: Annotated[
        float, Meta(ge=0.5, le=3600, description="How far behind the primary a replica may be that is used.")
    ] = 10.0
    timeout_seconds: Annotated[
        Seconds, Meta(description="How long a request waits for the database before it is answered 503.")
    ] = 15.0
    lease_seconds: Annotated[
        float,
        Meta(
            ge=0.5,
            le=3600,
            description="How long background work of all workers waits for one that died doing it.",
        ),
    ] = 15.0
    durability: Annotated[
        Literal["full", "normal"],
        Meta(description="SQLite: `full` survives a power cut, `normal` may lose the last commits to one."),
    ] = "full"
    group_commit: Annotated[Positive, Meta(description="Most writes that share one commit.")] = 64
    cache_bytes: Annotated[
        Count, Meta(description="Memory of one worker for finished list answers, in bytes; 0 keeps none.")
    ] = 16 * 1024 * 1024
    indexes: Annotated[list[Index], Meta(description="Fields of records to keep an index on.")] = field(
        default_factory=list
    )


class Project(Section, frozen=True):
    """What the root view says of this deployment."""

    name: Annotated[str, Meta(description="Name in the root view.")] = "kintoun"
    version: Annotated[
        str | None, Meta(description="Version in the root view; default: the server's own.")
    ] = None
    docs: Annotated[str, Meta(description="URL of the documentation, in the root view.")] = (
        "https://kintoun.readthedocs.io/en/latest/"
    )
    error_info_link: Annotated[str, Meta(description="URL given as `info` with unexpected errors.")] = (
        "https://kintoun.readthedocs.io/en/latest/operating/errors/"
    )
    version_file: Annotated[
        str,
        Meta(description="JSON file served at `/__version__`; default: what the package knows of itself."),
    ] = "version.json"


class Http(Section, frozen=True):
    """What the wire looks like from outside."""

    public_scheme: Annotated[
        Annotated[str, Meta(pattern="^https?$")] | None,
        Meta(description="Scheme in the URLs the server writes, when a proxy ends TLS."),
    ] = None
    public_host: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Za-z0-9.\[\]:_-]+$")] | None,
        Meta(description="Host and port in the URLs the server writes; default: the Host header."),
    ] = None
    trusted_proxies: Annotated[
        list[Network],
        Meta(
            description="Addresses and networks of proxies whose `X-Forwarded-For` tells who the client is."
        ),
    ] = field(default_factory=list)
    cors_origins: Annotated[
        list[str], Meta(description="Origins that may read answers; `*` and shell patterns are understood.")
    ] = field(default_factory=lambda: ["*"])
    cors_max_age_seconds: Annotated[
        Count, Meta(description="How long a browser keeps a preflight answer.")
    ] = 3600
    version_redirect: Annotated[
        bool, Meta(description="Redirect URLs without `/v1` to the version's own.")
    ] = True
    version_redirect_ttl_seconds: Annotated[
        int, Meta(ge=-1, description="How long that redirect may be cached; -1 says nothing.")
    ] = -1
    trailing_slash_redirect: Annotated[bool, Meta(description="Redirect URLs with a trailing slash.")] = True
    trailing_slash_redirect_ttl_seconds: Annotated[
        int, Meta(ge=-1, description="How long that redirect may be cached; -1 says nothing.")
    ] = 3600
    retry_after_seconds: Annotated[Count, Meta(description="`Retry-After` of 409 and 503 answers.")] = 3
    backoff_seconds: Annotated[
        int | None, Meta(description="`Backoff` header on every answer: asks clients to come less often.")
    ] = None
    backoff_percentage: Annotated[
        Annotated[int, Meta(ge=0, le=100)] | None, Meta(description="Share of the answers that carry it.")
    ] = None
    root_cache_seconds: Annotated[
        Count, Meta(description="`max-age` of the root view while the server is read-only.")
    ] = 86_400
    heartbeat_timeout_seconds: Annotated[Seconds, Meta(description="Time limit of one heartbeat check.")] = (
        10.0
    )


class EndOfService(Section, frozen=True):
    """The day the service ends, announced to clients in the `Alert` header."""

    date: Annotated[str | None, Meta(description="ISO date; once it has passed every URL answers 410.")] = (
        None
    )
    message: Annotated[str | None, Meta(description="Message for clients.")] = None
    url: Annotated[str | None, Meta(description="Where to read more; default: the documentation.")] = None


class Protocol(Section, frozen=True):
    """Choices that the protocol leaves to the deployment."""

    readonly: Annotated[bool, Meta(description="Refuse every write with 405.")] = False
    explicit_permissions: Annotated[
        bool,
        Meta(
            description="Add the author of a write to the object's `write` permission, and show the entries "
            "of a history to who could read their objects."
        ),
    ] = True
    schema_validation: Annotated[
        bool, Meta(description="Validate records against the JSON schemas of collections and buckets.")
    ] = False
    disabled_endpoints: Annotated[
        list[Endpoint],
        Meta(description="Methods to refuse with 405, as `plural_bucket_delete` or `object_record_patch`."),
    ] = field(default_factory=list)
    page_token_seconds: Annotated[
        Count, Meta(description="How long the next page of a list DELETE can be asked for.")
    ] = 600
    userid_secret: Annotated[str, Meta(description="Secret under which basicauth user ids are derived.")] = ""


class Limits(Section, frozen=True):
    """The most that a client can ask for at once."""

    batch_requests: Annotated[Count, Meta(description="Requests in one batch; 0 is no limit.")] = 25
    page_size: Annotated[
        Count,
        Meta(
            description="Objects in one page when the client sets no `_limit`, and the most it may ask; "
            "0: `fetch_size`."
        ),
    ] = 0
    fetch_size: Annotated[Positive, Meta(description="Objects in one page, whatever else is said.")] = 10_000
    body_bytes: Annotated[Positive, Meta(description="Size of a request body, in bytes (413 above).")] = (
        16 * 1024 * 1024
    )
    body_seconds: Annotated[
        Seconds, Meta(description="How long the body of a request may take to arrive (408 after that).")
    ] = 60.0
    json_depth: Annotated[int, Meta(ge=400, le=900, description="Nesting of a JSON body.")] = 400
    url_bytes: Annotated[Positive, Meta(description="Length of the path and query string, in bytes.")] = (
        16_384
    )
    header_bytes: Annotated[Positive, Meta(description="Length of one header's value, in bytes.")] = 16_384
    filters: Annotated[Positive, Meta(description="Filters in one query string.")] = 64
    sort_fields: Annotated[Positive, Meta(description="Fields in `_sort`.")] = 16
    in_items: Annotated[Positive, Meta(description="Values in an `in_` or `exclude_` filter.")] = 1000
    patch_operations: Annotated[Positive, Meta(description="Operations in a JSON-Patch.")] = 1000
    principals: Annotated[Positive, Meta(description="Principals in one permission of one object.")] = 5000
    id_length: Annotated[int, Meta(ge=36, le=1024, description="Length of an object's id.")] = 512


class Caller(Section, frozen=True):
    """Somebody who may have things signed."""

    id: Annotated[
        str, Meta(pattern="^[A-Za-z0-9_-]{1,255}$", description="Id by which the caller is known to Hawk.")
    ]
    secret: Annotated[str, Meta(min_length=16, description="The key that only both ends know.")]
    keys: Annotated[
        list[Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$")]],
        Meta(
            min_length=1,
            description="Names of the signers of `[signing]` that the caller may use; the first is used when "
            "a request names none.",
        ),
    ]


class SigningService(Section, frozen=True):
    """The signing service, `kintoun signer`, which signs with what `[[signing.local]]` and
    `[[signing.pkcs11]]` name."""

    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port to listen on.")] = 8889
    workers: Annotated[int, Meta(ge=1, description="Number of worker processes.")] = 1
    url: Annotated[
        Annotated[str, Meta(pattern=r"^https?://[^\s/?#]+[^\s?#]*$")] | None,
        Meta(
            description="URL of the service, as `https://signer.example.org`, below which clients fetch "
            "chains; default: made from `host` and `port`.",
        ),
    ] = None
    callers: Annotated[list[Caller], Meta(description="Who may call the service, and for which keys.")] = (
        field(default_factory=list)
    )
    monitor_secret: Annotated[
        Annotated[str, Meta(min_length=16)] | None,
        Meta(description="Hawk key of the caller `monitor`, who may read `/__monitor__` and sign nothing."),
    ] = None
    monitor_seconds: Annotated[
        Seconds, Meta(description="How long the signatures that `/__monitor__` shows are kept.")
    ] = 300.0
    skew_seconds: Annotated[
        int, Meta(ge=1, le=3600, description="How far a caller's clock may be from the service's.")
    ] = 60
    default_port: Annotated[
        int,
        Meta(ge=1, le=65535, description="The port that callers reach when their `Host` header names none."),
    ] = 443
    data: Annotated[
        str | None,
        Meta(
            extra=BESIDE_FILE,
            description="Directory in which all workers remember the requests that they have seen, and keep "
            "the chains that are served; default: `signer` in the working directory.",
        ),
    ] = None
    most_nonces: Annotated[
        Positive, Meta(description="About how many requests are remembered; beyond, requests are refused.")
    ] = 1_000_000
    body_bytes: Annotated[Positive, Meta(description="Size of a request body, in bytes (413 above).")] = (
        64 * 1024 * 1024
    )
    signatures: Annotated[Positive, Meta(description="Signatures that one request can ask for.")] = 64


class Policy(Section, frozen=True):
    """One way for requests to say who they act as."""

    name: Annotated[str, Meta(description="Prefix of the user ids that this policy gives.")]
    use: Annotated[
        str, Meta(description="Kind of policy: `account`, `basicauth`, or one that a plugin brings.")
    ]
    options: Annotated[dict[str, Any], Meta(description="Options of that kind of policy.")] = field(
        default_factory=dict
    )


class Settings(Struct, frozen=True, kw_only=True):
    """The whole configuration."""

    server: Server = Server()
    storage: Storage = Storage()
    project: Project = Project()
    http: Http = Http()
    end_of_service: EndOfService = EndOfService()
    protocol: Protocol = Protocol()
    limits: Limits = Limits()
    signer: SigningService = SigningService()
    policies: Annotated[
        list[Policy], Meta(description="Authentication policies in the order in which they are tried.")
    ] = field(default_factory=list)
    access: Annotated[
        dict[AccessKey, list[str]],
        Meta(
            description="Principals who may act whatever the objects say: `bucket_create`, `record_read`, … "
            "Unless it is given, `bucket_create` is `system.Authenticated`."
        ),
    ] = field(default_factory=lambda: {"bucket_create": ["system.Authenticated"]})
    cache_expires: Annotated[
        dict[str, Count],
        Meta(
            description="`max-age` of anonymous reads in seconds, by `record`, `BUCKET.record`, "
            "`BUCKET.COLLECTION.record`, `bucket`, …; of changesets also by `….record_minimum` and "
            "`….record_maximum`."
        ),
    ] = field(default_factory=dict)
    features: Annotated[list[str], Meta(description="Names of the features that are switched on.")] = field(
        default_factory=list
    )
    sections: Annotated[
        dict[str, Any], Meta(description="Sections of features by name, decoded by their own declarations.")
    ] = field(default_factory=dict)
