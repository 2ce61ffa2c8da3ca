"""Every deliberate difference from Kinto 26.5.0, by name: why it is there, and exactly where it may appear.

An entry explains a disagreement only when Kinto does what the specification says of it *and* we do what we
promise instead; any other disagreement fails the comparison. `docs/differences.md` is made from this table
(`python -m tests.compat.document`).
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.compat import deviations as seen
from tests.compat import history_deviations as history
from tests.compat import personal_deviations as personal
from tests.compat.compare import Exchange, Mismatch
from tests.compat.recognising import Recogniser, both_say, refused


@dataclass(frozen=True)
class Difference:
    """One deliberate difference: `applies` recognises it, and nothing else; `section` is of the protocol."""

    name: str
    section: str
    kinto: str
    ours: str
    reason: str
    applies: Recogniser


DIFFERENCES: tuple[Difference, ...] = (
    # ── who we are ────────────────────────────────────────────────────────────────────────────────────────
    Difference(
        "own-name",
        "2.1, 2.2",
        "Root view, contribute.json and the alert about `_to` name Kinto, its version and its documentation.",
        "They name Kintoun and its documentation. Every field and every capability id is the same.",
        "A server says truthfully what it is; clients look at capabilities, not at names.",
        seen.own_name,
    ),
    Difference(
        "no-config-path",
        "2.1",
        "The root view shows the path, hash and date of the configuration file.",
        "`config` is `null`, which Kinto answers too when it finds no file.",
        "Nobody should learn from outside where files lie on the server.",
        seen.no_config_path,
    ),
    Difference(
        "version-view",
        "2.2",
        "`GET /__version__` fails with 500 when installed from the package index.",
        "200 with `source`, `version`, `commit` and `build`.",
        "The file that Kinto looks for is not in its package.",
        seen.version_view,
    ),
    # ── the wire ──────────────────────────────────────────────────────────────────────────────────────────
    Difference(
        "utf8-bodies",
        "1.1",
        "Characters beyond ASCII are escaped as `\\uXXXX`.",
        "Bodies are UTF-8.",
        "The same JSON with fewer bytes, passed on from the database as it is.",
        seen.utf8_bodies,
    ),
    Difference(
        "parser-messages",
        "1.1",
        "`Invalid JSON:` and the words of its parser.",
        "`Invalid JSON:` and the words of ours, with the position of the byte.",
        "Status, errno, location and name are the same; the rest is for humans.",
        both_say("Invalid JSON: ", "Invalid JSON: "),
    ),
    Difference(
        "wide-numbers",
        "1.1",
        "Numbers beyond 64 bits become doubles, inexactly parsed, and come back written as integers.",
        "They become the nearest double and come back as doubles.",
        "A number must not change between the write and the read.",
        seen.wide_numbers,
    ),
    Difference(
        "nul-characters",
        "1.1",
        "`\\u0000` in a string or key, also in permissions and inside a batch, is a 503 or 500.",
        "400 naming the field.",
        "PostgreSQL cannot store it, so no engine accepts it.",
        refused(seen.carries_nul),
    ),
    Difference(
        "deep-nesting",
        "1.1",
        "More than about 400 nested arrays or objects are a 500.",
        "400 `nested deeper than 400 levels`.",
        "A limit with a message instead of an exhausted stack.",
        refused(seen.nested_too_deep),
    ),
    Difference(
        "no-nul-in-paths",
        "1.1",
        "`%00` in a path is an ill-formed id, told only to who may know.",
        "400 `Invalid URL path.`",
        "What cannot be stored need not be looked for.",
        seen.nul_in_path,
    ),
    Difference(
        "media-types-in-any-case",
        "1.1",
        "`APPLICATION/JSON` is refused with 415.",
        "Media types are compared without regard to case, as RFC 9110 says.",
        "Refusing a correct request helps nobody.",
        seen.media_type_case,
    ),
    Difference(
        "media-type-parameters",
        "5.3, trap 44",
        "`application/merge-patch+json; charset=utf-8` is a plain merge, the same of JSON Patch a 500.",
        "Both are matched as media types, parameters apart.",
        "A parameter does not change what a patch means.",
        seen.media_type_parameters,
    ),
    Difference(
        "exposed-everywhere",
        "1.3",
        "Answers to OPTIONS, 405 and some errors do not say which headers scripts may read, or only some.",
        "Every answer has `Access-Control-Expose-Headers`, the same for all answers to a request.",
        "A script that is told to wait should be able to read for how long.",
        seen.exposed_everywhere,
    ),
    Difference(
        "no-sniffing",
        "1.1, 1.6",
        "The answers after the end of service lack `X-Content-Type-Options`.",
        "Every answer has it.",
        "One rule for all answers.",
        seen.no_sniffing,
    ),
    Difference(
        "unprefixed-options",
        "1.2",
        "OPTIONS without the version prefix answers an empty `text/html`.",
        "It answers `null` as JSON, like every other OPTIONS.",
        "One rule for all answers.",
        seen.unprefixed_options,
    ),
    Difference(
        "every-error-at-once",
        "1.4, 1.5",
        "When the body is no JSON, ill-formed headers are not reported.",
        "All that is wrong is in `details`, in the same order and form.",
        "One round trip instead of two.",
        seen.every_error_at_once,
    ),
    Difference(
        "names-are-text",
        "5.6",
        "When an array's item fails its schema, `details[0].name` is the index as a number.",
        "It is a string, as every name is.",
        "Typed clients expect one type.",
        seen.names_are_text,
    ),
    # ── ids, timestamps, clocks ───────────────────────────────────────────────────────────────────────────
    Difference(
        "no-newline-in-ids",
        "3.2, trap 65",
        "An id may end with one newline.",
        "400 `Invalid object id`.",
        "An id must not be able to break a header.",
        refused(seen.id_ends_with_newline, 200, 201),
    ),
    Difference(
        "timestamps-of-the-calendar",
        "3.3",
        "`last_modified` beyond the year 9999 is a 503.",
        "400 naming the field.",
        "It would drag the list out of what HTTP dates can say.",
        refused(seen.timestamp_beyond_calendar),
    ),
    Difference(
        "boolean-timestamps",
        "3.3",
        "Creating with `last_modified: true` is a 503.",
        "A boolean is no integer, and is ignored like every other value that is none.",
        "The same rule on creation as on replacement.",
        seen.boolean_timestamp,
    ),
    Difference(
        "dates-of-tombstones",
        "3.3, trap 39",
        "`DELETE ?last_modified=` with anything but a bare integer is a 500.",
        "400 naming the parameter.",
        "An ill-formed parameter is the client's error.",
        refused(seen.ill_formed_tombstone_date),
    ),
    Difference(
        "clocks-go-on",
        "3.3, 3.4",
        "A list whose parent was deleted and made again gets a new timestamp when it is looked at.",
        "Its clock goes on where it was; an empty list that nobody changed keeps its ETag.",
        "A clock that is never reset can never go back, whatever happened to the parent.",
        seen.clock_goes_on,
    ),
    Difference(
        "pages-are-one-snapshot",
        "4.6",
        "Every page shows the list at that moment, and carries its ETag.",
        "Every page carries the ETag of the first, and leaves what was written since to `_since` that ETag.",
        "A client that keeps the last page's ETag would otherwise lose what changed while it paged.",
        seen.page_of_snapshot,
    ),
    Difference(
        "read-only-lists",
        "1.6",
        "In read-only mode, a list that nobody looked at before is a 503.",
        "200 with the timestamp of its clock.",
        "Reading must not need a write.",
        seen.readonly_list,
    ),
    # ── reading ───────────────────────────────────────────────────────────────────────────────────────────
    Difference(
        "like-is-literal",
        "4.4, trap 27",
        "`%`, `_` and `\\` in a `like_` operand have the meaning they have in SQL.",
        "They stand for themselves; only `*` is a wildcard.",
        "What the documentation says, and what the memory backend does.",
        seen.like_is_literal,
    ),
    Difference(
        "like-folds-every-case",
        "4.4",
        "`like_` ignores the case of the letters that the database's locale knows (of ASCII, in locale C).",
        "It ignores the case of every letter, on both engines.",
        "The answer must not depend on how the database was created.",
        seen.like_folds_case,
    ),
    Difference(
        "exclude-nothing",
        "4.4",
        "`exclude_field=` with an empty list returns only the objects without the field.",
        "It returns all of them.",
        "Excluding nothing excludes nothing.",
        seen.exclude_nothing,
    ),
    Difference(
        "since-null",
        "4.4",
        "`_since=null` matches nothing.",
        "It is no bound.",
        "As the documentation and the memory backend have it.",
        seen.since_null,
    ),
    Difference(
        "limit-zero",
        "4.6, trap 33",
        "`_limit=0` also switches `paginate_by` off.",
        "`_limit=0` is no limit of the client's; the server's remain.",
        "A deployment's page size is not the client's to remove.",
        seen.limit_zero,
    ),
    Difference(
        "permissions-etag",
        "8.6",
        "`/permissions` has a timestamp that means nothing.",
        "Its ETag changes when what it shows changes; there is no `Last-Modified`.",
        "An ETag should be good for comparing.",
        seen.permissions_etag,
    ),
    Difference(
        "permissions-conditions",
        "8.6",
        "A condition that `/permissions` does not meet is a 500.",
        "412.",
        "Conditions mean the same everywhere.",
        seen.permissions_conditions,
    ),
    Difference(
        "permissions-of-settings",
        "8.6",
        "What settings give is listed with all that it would imply in an object's own permissions.",
        "It is listed with what it gives: settings do not reach down, nor do rights to create show anything.",
        "An entry is there when the request is allowed.",
        seen.permissions_of_settings,
    ),
    Difference(
        "permissions-contain",
        "8.6",
        "`contains_permissions` is refused as an unknown field, though `permissions` is known.",
        "It filters.",
        "What the list of fields promises.",
        seen.permissions_contain,
    ),
    Difference(
        "page-tokens-are-ours",
        "4.6",
        "Any well-formed token is accepted, whoever made it, for whatever sort order.",
        "A token that this server did not give for this list and order is a 400.",
        "Forged tokens let clients compare with fields that they may not see.",
        refused(seen.foreign_token, 200),
    ),
    Difference(
        "negative-cache-expires",
        "1.7",
        "A negative `cache_expires` gives `max-age=-1`.",
        "It means 0.",
        "A negative max-age is not HTTP.",
        seen.negative_cache_expires,
    ),
    # ── writing ───────────────────────────────────────────────────────────────────────────────────────────
    Difference(
        "merge-onto-anything",
        "5.3",
        "Merging an object onto a number, array or null is a 500; an empty object changes nothing.",
        "It replaces the value.",
        "RFC 7396.",
        seen.merge_onto_anything,
    ),
    Difference(
        "patch-messages",
        "5.3",
        "`JSON Patch operation failed:` and the words of its library, which show the whole record.",
        "`JSON Patch operation failed:` and ours.",
        "Status, errno and details are the same; an error message is no place for data.",
        both_say("JSON Patch operation failed: ", "JSON Patch operation failed: "),
    ),
    Difference(
        "hidden-writers-stay",
        "5.4",
        "A JSON Patch, or a merge patch of permissions, by somebody who is not among an object's own writers "
        "removes all of them.",
        "They stay, and the author is added.",
        "A patch changes what it names.",
        seen.hidden_writers_kept,
    ),
    Difference(
        "data-stays-an-object",
        "5.3",
        "A JSON Patch that removes `/data` or makes it a scalar is a 500.",
        "400.",
        "A record is an object.",
        refused(seen.data_no_object),
    ),
    Difference(
        "patched-permissions-are-checked",
        "5.3",
        "A JSON Patch may add a permission that does not exist.",
        "400, as in every other write.",
        "What cannot be granted is not stored.",
        refused(seen.unknown_permission, 200),
    ),
    Difference(
        "light-merge-patch",
        "5.3",
        "`Response-Behavior: light` with a merge patch that removes a field is a 500.",
        "200 with the fields that changed.",
        "Both features work together.",
        seen.light_merge_patch,
    ),
    Difference(
        "sorted-deletes-go-on",
        "5.5",
        "The second page of a list DELETE with `_sort` deletes nothing.",
        "It deletes the next page.",
        "The token keeps the real values of the sort fields.",
        seen.sorted_delete,
    ),
    Difference(
        "references-in-schemas",
        "5.6",
        "A `$ref` that leads nowhere refuses the records in which it is reached.",
        "It refuses every record.",
        "A schema that cannot be understood validates nothing.",
        refused(seen.unresolvable_reference, 200, 201),
    ),
    # ── batch ─────────────────────────────────────────────────────────────────────────────────────────────
    Difference(
        "batch-is-an-object",
        "6",
        "A batch whose body is an array is a 500.",
        "400.",
        "An ill-formed body is the client's error.",
        refused(seen.batch_array),
    ),
    Difference(
        "not-modified-in-a-batch",
        "6, trap 51",
        "An item that answers 304 makes the whole batch a 500.",
        'The item has status 304 and body `""`, and the others are done.',
        "Conditional reads are useful in a batch.",
        seen.batch_304,
    ),
    Difference(
        "batch-paths",
        "6",
        "A path with unescaped characters beyond ASCII makes the whole batch a 500.",
        "The item is a 4xx.",
        "One bad item does not spoil the others.",
        seen.batch_path,
    ),
    Difference(
        "conflicts-in-a-batch",
        "6",
        "After a 409 inside a batch, what earlier items reported as created is rolled back.",
        "It is there: what an item reports is what happened.",
        "An answer must be true.",
        seen.batch_conflict,
    ),
    Difference(
        "membership-at-once",
        "6",
        "Who becomes a member of a group inside a batch has the group's rights only after it.",
        "They have them from the next item on.",
        "Each item of a batch sees what those before it did.",
        seen.membership_in_batch,
    ),
    Difference(
        "cascades-at-once",
        "6",
        "Inside a batch, the records of a deleted collection remain, and those written after it was made "
        "again are deleted at the end.",
        "A deletion takes its children with it before the next item runs.",
        "Otherwise a record is lost that was reported as created.",
        seen.batch_cascade,
    ),
    # ── the personal bucket ───────────────────────────────────────────────────────────────────────────────
    Difference(
        "personal-empty-put",
        "7",
        "A `PUT` without a body on `/buckets/default`, or on a collection in it, removes all attributes.",
        "It leaves them alone, as it does everywhere else.",
        "Touching what is there must not empty it.",
        personal.empty_put,
    ),
    Difference(
        "personal-schemas",
        "5.6, 7",
        "Records written through `/buckets/default` are not validated.",
        "They are, as they are under the bucket's own id.",
        "A schema that one spelling of a URL goes around is none.",
        personal.schema,
    ),
    Difference(
        "personal-ids",
        "7",
        "`default` is replaced inside of every `data.id` sent below `/buckets/default`.",
        "It is replaced where it is the id of the bucket.",
        "A collection may be called `default`, or `defaults`.",
        personal.replaced_id,
    ),
    Difference(
        "no-bucket-called-default",
        "7",
        "`POST /buckets` makes a real bucket called `default`, which nobody can reach.",
        "400 naming the field.",
        "What cannot be reached should not be made.",
        personal.bucket_called_default,
    ),
    Difference(
        "personal-buckets-in-a-batch",
        "6, 7",
        "A write of a batch that fails leaves the bucket and the collection that it implied.",
        "It leaves nothing. (A single request does leave them.)",
        "A request of a batch that failed has changed nothing.",
        personal.rolled_back,
    ),
    # ── permissions, accounts ─────────────────────────────────────────────────────────────────────────────
    Difference(
        "412-without-secrets",
        "4.8, trap 11",
        "412 on `PUT` with `If-None-Match: *` shows the existing object to who may only create.",
        "412 without `details` when the caller may not read the object.",
        "A condition must not reveal what a read would not.",
        seen.no_leak,
    ),
    Difference(
        "groups-end-with-their-bucket",
        "3.4, trap 42",
        "The members of the groups of a deleted bucket keep the groups' principals.",
        "They lose them with the bucket.",
        "Whoever makes the bucket again does not know the old members.",
        seen.stale_group,
    ),
    Difference(
        "erasing-users",
        "8.7",
        "Erasing somebody's data takes them out of groups and permissions without a trace: a group still "
        "lists them, no timestamp moves.",
        "Groups no longer list them, and what was changed has a new timestamp.",
        "Who synced a group has to learn that a member is gone.",
        seen.erasure_shows,
    ),
    Difference(
        "erasing-nothing",
        "8.7",
        "On PostgreSQL, erasing somebody without data is a 503.",
        "200.",
        "What the memory backend does.",
        seen.erasing_nothing,
    ),
    Difference(
        "passwords-stay-inside",
        "9.3, trap 62",
        "The hash of the password is part of every account shown.",
        "`password` is `**********`.",
        "A hash that has left the server can be attacked elsewhere.",
        seen.masked_password,
    ),
    Difference(
        "long-passwords",
        "9.3",
        "A password of more than 72 bytes is a 500.",
        "Up to 4096 bytes are a password, all of which count.",
        "Our hash is not bcrypt, which looks at 72 bytes.",
        seen.long_password,
    ),
    Difference(
        "absurd-passwords",
        "9.3",
        "A password of many thousand bytes is a 500, to log in with too.",
        "More than 4096 bytes are a 400 naming `data.password`; to log in with, they are wrong.",
        "Nobody types them.",
        seen.absurd_password,
    ),
    Difference(
        "wrong-passwords-are-nobody",
        "9.3, trap 60",
        "The wrong password of an account makes another user, of the basicauth policy.",
        "Whoever gives the wrong password of an account is anonymous, whatever other policies there are.",
        "A typing error must not look like a successful login to an empty server.",
        seen.wrong_password,
    ),
    Difference(
        "api-tokens",
        "9.3",
        "There is nothing below an account.",
        "`/accounts/{id}/tokens` are the API tokens of the account.",
        "Programs should not have to know a person's password.",
        seen.tokens_of_accounts,
    ),
    Difference(
        "one-clock-for-accounts",
        "3.3, 9.3",
        "Every account has a list, and a timestamp, of its own.",
        "All accounts are one list with one clock.",
        "Their administrator can sync them like any list.",
        seen.accounts_clock,
    ),
    # ── history ───────────────────────────────────────────────────────────────────────────────────────────
    Difference(
        "history-reaches-further",
        "2.1, 10.1",
        "The capability `history` tells what is excluded and trimmed.",
        "It has `point_in_time` and `restore` as well.",
        "Clients can see that lists can be read as they were (`_at`), and be restored.",
        history.capability,
    ),
    Difference(
        "history-totals",
        "10.1",
        "HEAD of a history has no `Total-Objects`, and scripts may not read it.",
        "It has it, as HEAD of every list has.",
        "One rule for all lists.",
        history.totals,
    ),
    Difference(
        "unknown-snapshots",
        "10.1",
        "A snapshot from before the collection was made again, or with gaps in its history, lacks records "
        "that are not known.",
        "400 naming `timestamp`, with the time since when the history is complete.",
        "Nothing is silently missing.",
        history.unknown_snapshot,
    ),
    Difference(
        "missing-ids",
        "10.1",
        "`has_record_id=false` on a history finds the entries that have one.",
        "It finds those that have none, as on every list.",
        "The word `false` was taken for a text.",
        history.missing_ids,
    ),
)


def explanation(exchange: Exchange, mismatch: Mismatch) -> Difference | None:
    """The entry that accounts for a disagreement, if there is one."""
    return next((entry for entry in DIFFERENCES if entry.applies(exchange, mismatch)), None)
