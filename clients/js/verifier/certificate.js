// What of a certificate counts for the signing of content.

import * as der from "./der.js";
import { Refused } from "./refused.js";

const MOST_BYTES = 64 * 1024;
const MOST_CERTIFICATES = 8;

const PEM = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END CERTIFICATE-----/g;
const EXTENSIONS = {
  "2.5.29.15": "usage",
  "2.5.29.17": "names",
  "2.5.29.19": "constraints",
  "2.5.29.30": "permitted",
  "2.5.29.37": "purposes",
};
const [CONTEXT_3, CONTEXT_0, CONTEXT_1, DNS_NAME] = [0xa3, 0xa0, 0xa1, 0x82];
const READERS = { usage, names, constraints, permitted, purposes };

/**
 * The certificates of a PEM text, in its order; whatever else stands in it is passed over.
 * @param {string} pem
 */
export function parseChain(pem) {
  if (pem.length > MOST_BYTES) throw new Refused("malformed", `a chain of more than ${MOST_BYTES} bytes`);
  const found = [...pem.matchAll(PEM)];
  if (!found.length) throw new Refused("malformed", "no certificates in PEM");
  if (found.length > MOST_CERTIFICATES) {
    throw new Refused("malformed", `a chain of more than ${MOST_CERTIFICATES} certificates`);
  }
  return found.map(([, base64]) => parse(fromBase64(base64)));
}

/** The bytes that a text in base 64 spells. Throws Refused. */
export function fromBase64(text) {
  try {
    return Uint8Array.from(atob(text.replace(/\s/g, "")), (unit) => unit.charCodeAt(0));
  } catch {
    throw new Refused("malformed", "what should be base64 is not");
  }
}

/** @param {Uint8Array} bytes */
function parse(bytes) {
  const [body, algorithm, signature, ...more] = der.children(der.element(bytes));
  if (!signature || more.length) throw der.broken();
  const fields = der.children(body);
  if (fields[0]?.tag === CONTEXT_0) fields.shift(); // the version
  const [, inner, issuer, validity, subject, key, ...rest] = fields;
  if (!key || !same(inner.whole, algorithm.whole)) throw der.broken();
  const [from, until] = der.children(validity).map(der.time);
  if (until === undefined) throw der.broken();
  return {
    bytes,
    body: body.whole,
    algorithm: der.oid(der.children(algorithm)[0] ?? algorithm),
    signature: der.octetsOfBits(signature),
    issuer: issuer.whole,
    subject: subject.whole,
    from,
    until,
    key: keyOf(key),
    ...extensionsOf(rest.find(({ tag }) => tag === CONTEXT_3)),
  };
}

/** Whether some bytes are the same as others. */
export const same = (one, other) => one.length === other.length && one.every((byte, at) => byte === other[at]);

function keyOf(info) {
  const [algorithm, bits] = der.children(info);
  const [kind, curve] = der.children(algorithm);
  const found = { info: info.whole, kind: der.oid(kind), curve: "", bits: 0 };
  if (curve?.tag === der.OID) found.curve = der.oid(curve);
  else {
    const [modulus] = der.children(der.element(der.octetsOfBits(bits)));
    const digits = modulus?.value[0] === 0 ? modulus.value.subarray(1) : (modulus?.value ?? []);
    found.bits = digits.length ? 8 * digits.length - Math.clz32(digits[0]) + 24 : 0;
  }
  return found;
}

function extensionsOf(context) {
  const found = { unknown: [], usage: null, names: [], constraints: null, permitted: null, purposes: null };
  for (const extension of context ? der.children(der.element(context.value)) : []) {
    const [id, ...rest] = der.children(extension);
    const critical = rest[0]?.tag === der.BOOLEAN && rest.shift().value[0] !== 0;
    const name = EXTENSIONS[der.oid(id)];
    if (rest.length !== 1 || rest[0].tag !== der.OCTETS) throw der.broken();
    if (name) found[name] = READERS[name](der.element(rest[0].value));
    else if (critical) found.unknown.push(der.oid(id));
  }
  return found;
}

function usage({ tag, value }) {
  if (tag !== der.BITS || value.length < 2) throw der.broken();
  return { signs: Boolean(value[1] & 0x80), issues: Boolean(value[1] & 0x04) };
}

function names(element) {
  return der.children(element).filter(({ tag }) => tag === DNS_NAME).map(ascii);
}

function constraints(element) {
  const [first, second] = der.children(element);
  const authority = first?.tag === der.BOOLEAN && first.value[0] !== 0;
  const length = first?.tag === der.INTEGER ? first : second;
  return { authority, below: length ? der.smallInteger(length) : Infinity };
}

function permitted(element) {
  const subtrees = (context) =>
    der.children(element)
      .filter(({ tag }) => tag === context)
      .flatMap(({ value }) => der.elements(value))
      .map((subtree) => der.children(subtree)[0])
      .filter((name) => name?.tag === DNS_NAME)
      .map(ascii);
  return { within: subtrees(CONTEXT_0), without: subtrees(CONTEXT_1) };
}

function purposes(element) {
  return der.children(element).map(der.oid);
}

const ascii = ({ value }) => new TextDecoder("latin1").decode(value).toLowerCase();
