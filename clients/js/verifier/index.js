// Verifies what a server has published, before a client uses it. No dependencies; runs in browsers and in Node.

import { signedText, canonical } from "./canonical.js";
import { fromBase64, parseChain } from "./certificate.js";
import { hex, leafKey } from "./chain.js";
import { compare, readManifest } from "./manifest.js";
import { Refused } from "./refused.js";

export { canonical, Refused };

const MODE = "p384ecdsa";
const SIGNATURE = /^[A-Za-z0-9_-]{128}$/; // r and s, 96 bytes
const PREFIX = "Content-Signature:\0";
const MOST_BYTES = 64 * 1024;
const MILLISECONDS = 30_000;

/**
 * @typedef {object} Published what a client is about to use
 * @property {string} bucket which it has asked for
 * @property {string} collection which it has asked for
 * @property {object[]} records all of them: after a changeset since a timestamp, what the client has then
 * @property {number} timestamp of the changeset
 * @property {{signatures?: object[], signature?: object, manifest?: object}} metadata of the changeset
 *
 * @typedef {object} Trust how a client is configured
 * @property {string[]} roots SHA-256 digests of the roots that are trusted, in hexadecimal, with or without colons
 * @property {string} signer the DNS name of who signs, as `remote-settings.content-signature.mozilla.org`
 * @property {import("./manifest.js").Manifest | null} [known] the last manifest of the collection that was believed
 * @property {number} [now] in milliseconds since 1970
 * @property {(url: string) => Promise<string>} [fetchChain] gets a chain in PEM
 *
 * @typedef {{ok: true, manifest: import("./manifest.js").Manifest}} Good the manifest is to be kept, with the records
 * @typedef {{ok: false, reason: string, message: string}} Bad nothing that came is to be used
 */

/**
 * Whether what a server gives is what its signers have published of this collection, and the newest of it.
 *
 * A chain that cannot be fetched says nothing of what it signs: that is thrown, as errors of the network are.
 * @param {Published} published
 * @param {Trust} trust
 * @returns {Promise<Good | Bad>}
 */
export async function verify(published, trust) {
  try {
    return { ok: true, manifest: await believed(published, trust) };
  } catch (error) {
    if (error instanceof Refused) return { ok: false, reason: error.reason, message: error.message };
    throw error;
  }
}

async function believed({ bucket, collection, records, timestamp, metadata }, trust) {
  const { known = null, now = Date.now() } = trust;
  const content = signedText(records, timestamp);
  await believe(content, metadata.signatures ?? [metadata.signature], trust);
  const { manifest, signatures } = readManifest(metadata.manifest);
  await believe(canonical(manifest), signatures, trust);
  if (manifest.bucket !== bucket || manifest.collection !== collection) {
    throw new Refused("collection", `this is ${manifest.bucket}/${manifest.collection}`);
  }
  const digest = hex(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(content)));
  if (manifest.timestamp !== timestamp || manifest.content !== digest) {
    throw new Refused("content", "the records are not those of the manifest");
  }
  if (manifest.expires < now) throw new Refused("expired", "what is served now has not been signed for too long");
  if (known) compare(manifest, known);
  return manifest;
}

/**
 * Refuse a text unless one of its signatures is good, and say of the first why it is not.
 *
 * Alone, it verifies what servers without manifests publish, as clients of Remote Settings do.
 * @param {string} text in its canonical form
 * @param {object[]} signatures as in a collection's metadata
 * @param {Trust} trust
 */
export async function believe(text, signatures, trust) {
  let first = new Refused("signature", "there is no signature");
  if (!Array.isArray(signatures)) throw new Refused("signature", "`signatures` is no list");
  for (const [at, signature] of signatures.entries()) {
    try {
      return await believeOne(text, signature, trust);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (at === 0) first = new Refused("signature", `not signed: ${error.message}`, { cause: error });
    }
  }
  throw first;
}

async function believeOne(text, given, { roots, signer, now = Date.now(), fetchChain = fetched }) {
  const { signature, x5u, mode = MODE } = given ?? {};
  if (mode !== MODE) throw new Refused("algorithm", `a signature of the mode ${mode}`);
  if (!x5u) throw new Refused("chain", "a signature without a chain");
  if (typeof signature !== "string" || !SIGNATURE.test(signature)) {
    throw new Refused("encoding", "the signature is not 96 bytes in base64url");
  }
  const key = await leafKey(parseChain(await fetchChain(x5u)), signer, roots, now);
  const raw = fromBase64(signature.replaceAll("-", "+").replaceAll("_", "/"));
  const data = new TextEncoder().encode(PREFIX + text);
  if (!(await crypto.subtle.verify({ name: "ECDSA", hash: "SHA-384" }, key, raw, data))) {
    throw new Refused("signature", "the signature is not of this data by this key");
  }
}

/** The text at a URL: by HTTPS, or from this machine; without cookies and redirects. */
async function fetched(url) {
  const { protocol, hostname } = URL.canParse(url) ? new URL(url) : {};
  if (protocol !== "https:" && !["localhost", "127.0.0.1", "[::1]"].includes(hostname)) {
    throw new Refused("chain", "a chain that is not served by HTTPS");
  }
  const signal = AbortSignal.timeout(MILLISECONDS);
  const answer = await fetch(url, { credentials: "omit", redirect: "error", signal });
  if (!answer.ok) throw new Error(`GET ${url} answers ${answer.status}`);
  const reader = answer.body.getReader();
  const decoder = new TextDecoder("latin1");
  let text = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    text += decoder.decode(part.value, { stream: true });
    if (text.length > MOST_BYTES) {
      await reader.cancel();
      throw new Refused("malformed", `a chain of more than ${MOST_BYTES} bytes`);
    }
  }
  return text;
}
