// Manifests: which collection this is, which state of it, after which other, and until when.

import { Refused } from "./refused.js";

const FORMAT = "kintoun-manifest-1";
const NUMBERS = ["version", "timestamp", "expires"];
const DIGESTS = ["previous", "content", "log"];
const FIELDS = ["format", "bucket", "collection", ...NUMBERS, ...DIGESTS].sort();

/**
 * @typedef {object} Manifest one state of a published collection; times are in milliseconds since 1970
 * @property {string} bucket
 * @property {string} collection
 * @property {number} version grows with each manifest of the collection
 * @property {number} timestamp that of the records
 * @property {number} expires when it is no longer to be believed
 * @property {string} previous SHA-256 of the manifest before, or empty
 * @property {string} content SHA-256 of what the content signature is over
 * @property {string} log the hash of an entry of the publication log, or empty
 */

/**
 * A manifest as it is served: what is signed of it, and its signatures. Throws Refused.
 * @param {unknown} value
 * @returns {{manifest: Manifest, signatures: object[]}}
 */
export function readManifest(value) {
  if (value === undefined || value === null) throw new Refused("missing", "there is no manifest");
  if (typeof value !== "object" || value.format !== FORMAT) throw malformed(`not a manifest of the format ${FORMAT}`);
  const { signatures, ...manifest } = value;
  if (Object.keys(manifest).sort().join() !== FIELDS.join()) throw malformed("fields are missing, or there are others");
  if (!Array.isArray(signatures)) throw malformed("`signatures` is no list");
  for (const name of NUMBERS) {
    if (!Number.isSafeInteger(manifest[name]) || manifest[name] < 0) throw malformed(`\`${name}\` is no time`);
  }
  for (const name of ["bucket", "collection"]) {
    if (typeof manifest[name] !== "string") throw malformed(`\`${name}\` is no text`);
  }
  for (const name of DIGESTS) {
    const empty = name !== "content" && manifest[name] === "";
    if (!empty && !/^[0-9a-f]{64}$/.test(manifest[name])) throw malformed(`\`${name}\` is no SHA-256 digest`);
  }
  return { manifest, signatures };
}

const malformed = (message) => new Refused("malformed", message);

/**
 * Refuse a manifest that is behind the one that the client has, or beside it.
 * @param {Manifest} manifest
 * @param {Manifest} known
 */
export function compare(manifest, known) {
  if (manifest.version < known.version || manifest.timestamp < known.timestamp) {
    throw new Refused("replayed", "this is older than what is here");
  }
  if (manifest.version === known.version && FIELDS.some((name) => manifest[name] !== known[name])) {
    throw new Refused("forked", "there are two manifests of one version");
  }
  if (manifest.timestamp === known.timestamp && manifest.content !== known.content) {
    throw new Refused("forked", "there are two contents of one timestamp");
  }
}
