// Whose key signs: the chain from a leaf to a root that is trusted.

import { same } from "./certificate.js";
import * as der from "./der.js";
import { Refused } from "./refused.js";

const EC = "1.2.840.10045.2.1";
const RSA = "1.2.840.113549.1.1.1";
const LEAST_RSA_BITS = 2048;
const CODE_SIGNING = "1.3.6.1.5.5.7.3.3";
const CURVES = {
  "1.2.840.10045.3.1.7": { name: "P-256", size: 32 },
  "1.3.132.0.34": { name: "P-384", size: 48 },
  "1.3.132.0.35": { name: "P-521", size: 66 },
};
const ALGORITHMS = {
  "1.2.840.10045.4.3.2": { kind: EC, hash: "SHA-256" },
  "1.2.840.10045.4.3.3": { kind: EC, hash: "SHA-384" },
  "1.2.840.10045.4.3.4": { kind: EC, hash: "SHA-512" },
  "1.2.840.113549.1.1.11": { kind: RSA, hash: "SHA-256" },
  "1.2.840.113549.1.1.12": { kind: RSA, hash: "SHA-384" },
  "1.2.840.113549.1.1.13": { kind: RSA, hash: "SHA-512" },
};

/**
 * The key of a leaf, for `crypto.subtle.verify`, when its chain shows that it is the signer's. Throws Refused.
 * @param {ReturnType<typeof import("./certificate.js").parseChain>} chain
 * @param {string} signer the DNS name that the leaf must have
 * @param {string[]} roots SHA-256 digests of the roots that are trusted, in hexadecimal
 * @param {number} now in milliseconds since 1970
 */
export async function leafKey(chain, signer, roots, now) {
  const [leaf, ...authorities] = chain;
  if (!authorities.length) throw new Refused("chain", "the chain has nothing but the leaf");
  if (leaf.constraints?.authority) throw new Refused("order", "the chain does not begin with the leaf");
  chain.forEach((certificate) => checkItself(certificate, now));
  for (const [at, certificate] of chain.entries()) await checkIssued(certificate, chain[at + 1] ?? certificate);
  authorities.forEach((authority, below) => checkAuthority(authority, below, leaf));
  if (!leaf.purposes?.includes(CODE_SIGNING)) throw new Refused("eku", "the leaf is not for the signing of code");
  if (leaf.usage && !leaf.usage.signs) throw new Refused("eku", "the leaf is not for signatures");
  if (CURVES[leaf.key.curve]?.name !== "P-384") throw new Refused("key", "the key of the leaf is not on P-384");
  const root = hex(await crypto.subtle.digest("SHA-256", chain.at(-1).bytes));
  if (!roots.some((each) => each.replaceAll(":", "").toLowerCase() === root)) {
    throw new Refused("root", "the chain ends in a root that is not trusted");
  }
  if (!leaf.names.includes(signer.toLowerCase())) throw new Refused("subject", `the leaf is not of ${signer}`);
  return importKey(leaf.key, "SHA-384");
}

/** Bytes in hexadecimal. */
export const hex = (bytes) => [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");

function checkItself({ from, until, algorithm, key, unknown }, now) {
  if (now > until) throw new Refused("expired", `a certificate has expired: ${new Date(until).toISOString()}`);
  if (now < from) throw new Refused("not-yet-valid", `a certificate begins at ${new Date(from).toISOString()}`);
  if (!ALGORITHMS[algorithm]) throw new Refused("algorithm", `a certificate is not signed with SHA-2: ${algorithm}`);
  const strong = key.kind === RSA ? key.bits >= LEAST_RSA_BITS : key.kind === EC && key.curve in CURVES;
  if (!strong) throw new Refused("key", "a key that is on no known curve, and no RSA of enough bits");
  if (unknown.length) throw new Refused("extension", `a critical extension ${unknown[0]}`);
}

async function checkIssued(certificate, issuer) {
  const { kind, hash } = ALGORITHMS[certificate.algorithm];
  const good =
    kind === issuer.key.kind &&
    same(certificate.issuer, issuer.subject) &&
    (await signed(certificate, issuer.key, hash));
  if (!good) throw new Refused("chain", "a certificate is not issued by the next");
}

async function signed({ body, signature }, key, hash) {
  const size = CURVES[key.curve]?.size;
  const raw = key.kind === EC ? rawSignature(signature, size) : signature;
  const how = key.kind === EC ? { name: "ECDSA", hash } : { name: "RSASSA-PKCS1-v1_5" };
  return crypto.subtle.verify(how, await importKey(key, hash), raw, body);
}

async function importKey({ info, kind, curve }, hash) {
  const how = kind === EC ? { name: "ECDSA", namedCurve: CURVES[curve].name } : { name: "RSASSA-PKCS1-v1_5", hash };
  try {
    return await crypto.subtle.importKey("spki", info, how, false, ["verify"]);
  } catch (cause) {
    throw new Refused("key", "a key that cannot be read", { cause });
  }
}

/** r and s behind one another, each of `size` bytes, of a signature as certificates have it. */
function rawSignature(signature, size) {
  const numbers = der.children(der.element(signature));
  const raw = new Uint8Array(2 * size);
  if (numbers.length !== 2) throw der.broken();
  for (const [at, { tag, value }] of numbers.entries()) {
    const digits = value[0] === 0 ? value.subarray(1) : value;
    if (tag !== der.INTEGER || digits.length > size) throw der.broken();
    raw.set(digits, (at + 1) * size - digits.length);
  }
  return raw;
}

/** `below` is how many authorities stand between it and the leaf. */
function checkAuthority({ constraints, usage, purposes, permitted }, below, { names }) {
  if (!constraints?.authority || (usage && !usage.issues)) throw new Refused("ca", "an issuer is no authority");
  if (below > constraints.below) throw new Refused("ca", "an authority has too many others below it");
  if (purposes && !purposes.includes(CODE_SIGNING)) {
    throw new Refused("eku", "an authority is not for the signing of code");
  }
  for (const name of permitted ? names : []) {
    const isIn = (subtrees) => subtrees.some((subtree) => isWithin(name, subtree));
    if ((permitted.within.length && !isIn(permitted.within)) || isIn(permitted.without)) {
      throw new Refused("name-constraints", `an authority may not vouch for ${name}`);
    }
  }
}

function isWithin(name, subtree) {
  return name === subtree || name.endsWith(subtree.startsWith(".") ? subtree : `.${subtree}`);
}
