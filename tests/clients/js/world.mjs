// What the tests share: the server's URL, a place of its own for each test, and writers that are no client.

import "fake-indexeddb/auto";
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import kinto from "kinto";

export const URL = process.env.KINTOUN_URL;
assert.ok(URL, "KINTOUN_URL says which server to test, with its /v1");

export const Kinto = kinto.default;
export const { MANUAL, SERVER_WINS, CLIENT_WINS, PULL_ONLY } = Kinto.syncStrategy;

const admission = { Authorization: `Basic ${btoa("jacques:a password")}` };

export { admission as headers };

/** Send one request as another program would; fails unless the status is 2xx. */
export async function send(method, path, body, more = {}) {
  const answer = await plainFetch(URL + path, {
    method,
    headers: { ...admission, ...(body ? { "Content-Type": "application/json" } : {}), ...more },
    body: body ? JSON.stringify(body) : undefined,
  });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status}`);
  return answer;
}

const plainFetch = globalThis.fetch;

/** A bucket that no other test knows, with the collection `tasks` in it. */
export async function place() {
  const bucket = `b-${randomUUID()}`;
  await send("PUT", `/buckets/${bucket}`);
  await send("PUT", `/buckets/${bucket}/collections/tasks`);
  return { bucket, records: `/buckets/${bucket}/collections/tasks/records` };
}

/** One device: an offline store of its own over the same collection. `fetch` sees every request it makes. */
export function device({ bucket, headers = admission }, { fetch = plainFetch, ...options } = {}) {
  globalThis.fetch = fetch; // the client binds it when it is made
  const store = new Kinto({
    remote: URL,
    bucket,
    headers,
    adapterOptions: { dbName: `device-${randomUUID()}` },
  });
  store.api.remote; // makes the client
  globalThis.fetch = plainFetch;
  return store.collection("tasks", options);
}

/** The visible records of a device by id, without what only the device knows. */
export async function contents(collection) {
  const { data } = await collection.list({ order: "id" });
  return data.map(({ _status, ...record }) => record);
}

/** The records of the server by id. */
export async function served({ records, headers = admission }) {
  const found = [];
  let next = `${records}?_sort=id`;
  while (next) {
    const answer = await send("GET", next, undefined, headers);
    found.push(...(await answer.json()).data);
    next = answer.headers.get("Next-Page")?.replace(URL, "");
  }
  return found;
}

/** Call `act` once, after the first answer that `which(url, options, answer)` picks out. */
export function after(which, act) {
  let done = false;
  return async (url, options) => {
    const answer = await plainFetch(url, options);
    if (!done && which(String(url), options ?? {}, answer)) {
      done = true;
      await act();
    }
    return answer;
  };
}

/** Call `act` once, before the first request that `which(url, options)` picks out. */
export function before(which, act) {
  let done = false;
  return async (url, options) => {
    if (!done && which(String(url), options ?? {})) {
      done = true;
      await act();
    }
    return plainFetch(url, options);
  };
}

export const isFirstPage = (url, _, answer) => url.includes("/records?") && answer.headers.has("Next-Page");
export const isBatch = (url) => url.endsWith("/batch");
