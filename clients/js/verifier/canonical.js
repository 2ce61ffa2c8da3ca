// Canonical JSON: the one text of a value that is signed. Pure ASCII, no space, keys in the order of code points.

import { Refused } from "./refused.js";

const SHORT = { "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\" };
const DEEPEST = 500;

/**
 * The canonical text of what JSON.parse has made. Throws Refused for a value that others would write in another way.
 * @param {unknown} value
 * @returns {string}
 */
export function canonical(value, depth = 0) {
  if (depth > DEEPEST) throw new Refused("malformed", `nested deeper than ${DEEPEST} levels`);
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "number") {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) return String(value);
    throw new Refused("malformed", `the number ${value} cannot be signed`);
  }
  if (typeof value === "string") return text(value);
  if (Array.isArray(value)) return `[${value.map((each) => canonical(each, depth + 1)).join(",")}]`;
  if (typeof value !== "object") throw new Refused("malformed", `a ${typeof value} is no JSON`);
  const members = Object.entries(value).sort(([one], [other]) => byCodePoint(one, other));
  return `{${members.map(([key, each]) => `${text(key)}:${canonical(each, depth + 1)}`).join(",")}}`;
}

/**
 * What the signature of a collection is over: the records that are not deleted, by id, and their timestamp.
 * @param {{id: string, deleted?: boolean}[]} records
 * @param {number} timestamp
 */
export function signedText(records, timestamp) {
  const live = records.filter(({ deleted }) => !deleted).sort((one, other) => byCodePoint(one.id, other.id));
  return canonical({ data: live, last_modified: String(timestamp) });
}

/** @param {string} value */
function text(value) {
  if (!value.isWellFormed()) throw new Refused("malformed", "half of a surrogate pair cannot be signed");
  // Without the flag u: one UTF-16 unit at a time.
  const escaped = value.replace(
    /["\\]|[^ -~]/g,
    (unit) => SHORT[unit] ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return `"${escaped}"`;
}

/** Compare by code points; `<` compares UTF-16 units, and sets what is beyond U+FFFF before U+E000. */
function byCodePoint(one, other) {
  const [a, b] = [[...one], [...other]];
  const at = a.findIndex((character, n) => character !== b[n]);
  if (at < 0) return a.length - b.length;
  return at < b.length ? a[at].codePointAt(0) - b[at].codePointAt(0) : 1;
}
