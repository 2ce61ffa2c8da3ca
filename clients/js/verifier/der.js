// As much of DER as certificates need. Whatever is not definite, minimal and within bounds is refused.

import { Refused } from "./refused.js";

const MOST_LENGTH_BYTES = 3; // 16 MiB; a chain has 64 KiB at most

/** @typedef {{tag: number, whole: Uint8Array, value: Uint8Array}} Element what has a tag: with it, and without */

/**
 * The elements that some bytes are made of, one after the other.
 * @param {Uint8Array} bytes
 * @returns {Element[]}
 */
export function elements(bytes) {
  const found = [];
  for (let at = 0; at < bytes.length; ) {
    const element = elementAt(bytes, at);
    found.push(element);
    at += element.whole.length;
  }
  return found;
}

/**
 * The one element that some bytes are.
 * @param {Uint8Array} bytes
 * @param {number} [tag] which it has to have
 */
export function element(bytes, tag) {
  const [found, ...more] = elements(bytes);
  if (!found || more.length || (tag !== undefined && found.tag !== tag)) throw broken();
  return found;
}

/**
 * The children of an element that is made of others.
 * @param {Element | undefined} parent
 * @param {number} tag which it has to have
 */
export function children(parent, tag = SEQUENCE) {
  if (parent?.tag !== tag) throw broken();
  return elements(parent.value);
}

export const [BOOLEAN, INTEGER, BITS, OCTETS, OID] = [1, 2, 3, 4, 6];
const [UTC_TIME, TIME, SEQUENCE] = [0x17, 0x18, 0x30];
const FORMS = {
  [UTC_TIME]: /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/,
  [TIME]: /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/,
};

/** What is said for bytes that are no certificate. */
export const broken = () => new Refused("malformed", "a certificate that cannot be read");

/** @returns {Element} */
function elementAt(bytes, at) {
  const tag = bytes[at];
  let length = bytes[at + 1];
  let start = at + 2;
  if (length === undefined || (tag & 0x1f) === 0x1f) throw broken();
  if (length >= 0x80) {
    const count = length & 0x7f;
    if (count === 0 || count > MOST_LENGTH_BYTES || start + count > bytes.length) throw broken();
    length = bytes.subarray(start, start + count).reduce((sum, byte) => sum * 256 + byte, 0);
    if (length < 0x80 || bytes[start] === 0) throw broken();
    start += count;
  }
  if (start + length > bytes.length) throw broken();
  return { tag, whole: bytes.subarray(at, start + length), value: bytes.subarray(start, start + length) };
}

/** An object identifier as `1.2.840.10045.2.1`. */
export function oid({ tag, value }) {
  if (tag !== OID || !value.length || value.at(-1) >= 0x80) throw broken();
  const numbers = [0];
  for (const byte of value) {
    numbers[numbers.length - 1] = numbers.at(-1) * 128 + (byte & 0x7f);
    if (numbers.at(-1) > Number.MAX_SAFE_INTEGER / 128) throw broken();
    if (byte < 0x80) numbers.push(0);
  }
  numbers.pop();
  const first = Math.min(Math.floor(numbers[0] / 40), 2);
  return [first, numbers[0] - 40 * first, ...numbers.slice(1)].join(".");
}

/** The bytes of a bit string that has whole ones. */
export function octetsOfBits({ tag, value }) {
  if (tag !== BITS || value[0] !== 0) throw broken();
  return value.subarray(1);
}

/** A small number that is not negative. */
export function smallInteger({ tag, value }) {
  if (tag !== INTEGER || !value.length || value.length > 4 || value[0] >= 0x80) throw broken();
  return value.reduce((sum, byte) => sum * 256 + byte, 0);
}

/** A point in time, in milliseconds since 1970. */
export function time({ tag, value }) {
  const found = FORMS[tag]?.exec(new TextDecoder("latin1").decode(value));
  if (!found) throw broken();
  const [year, month, ...rest] = found.slice(1).map(Number);
  const century = tag === TIME ? 0 : year < 50 ? 2000 : 1900;
  return Date.UTC(century + year, month - 1, ...rest);
}
