// The HTTP client of JavaScript: every call that it has for what this server serves.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import kintoHttp from "kinto-http";
import { URL, headers, place } from "./world.mjs";

const KintoClient = kintoHttp.default;
const client = () => new KintoClient(URL, { headers });

async function fails(promise, status) {
  await assert.rejects(promise, (error) => error.response?.status === status);
}

/** The collection of a new place, with records n = 0 … count - 1 named r0 …. */
async function filled(count) {
  const { bucket } = await place();
  const collection = client().bucket(bucket).collection("tasks");
  await collection.batch((batch) => {
    for (let n = 0; n < count; n++) batch.createRecord({ id: `r${n}`, n, kind: n % 2 ? "odd" : "even" });
  });
  return collection;
}

test("what the server is", async () => {
  const info = await client().fetchServerInfo();
  assert.equal(info.url, `${URL}/`);
  assert.equal((await client().fetchUser()).id, info.user.id);
  assert.match(await client().fetchHTTPApiVersion(), /^1\./);
  assert.equal((await client().fetchServerSettings()).batch_max_requests, 25);
  assert.ok("accounts" in (await client().fetchServerCapabilities()));
});

test("an account", async () => {
  const name = `user-${randomUUID()}`;
  await client().createAccount(name, "a password");
  const own = new KintoClient(URL, { headers: { Authorization: `Basic ${btoa(`${name}:a password`)}` } });
  assert.equal((await own.fetchUser()).id, `account:${name}`);
});

test("buckets and collections", async () => {
  const name = `b-${randomUUID()}`;
  const { data, permissions } = await client().createBucket(name, { data: { colour: "red" } });
  assert.equal(data.id, name);
  assert.equal(permissions.write.length, 1);
  await fails(client().createBucket(name, { safe: true }), 412);
  const bucket = client().bucket(name);
  await bucket.setData({ size: 1 }, { patch: true });
  const { colour, size } = await bucket.getData();
  assert.deepEqual([colour, size], ["red", 1]);
  await bucket.createCollection("one", { data: { displayName: "One" } });
  const { data: unnamed } = await bucket.createCollection();
  const listed = await bucket.listCollections({ sort: "id" });
  assert.deepEqual(listed.data.map((c) => c.id).sort(), ["one", unnamed.id].sort());
  assert.equal(`${await bucket.getCollectionsTimestamp()}`, `"${listed.last_modified}"`);
  assert.equal((await bucket.collection("one").getData({ fields: ["displayName"] })).displayName, "One");
  await bucket.deleteCollection(unnamed.id);
  assert.equal((await bucket.listCollections()).data.length, 1);
  assert.ok((await client().listBuckets({ filters: { id: name } })).data.length, 1);
  await client().deleteBucket(name);
  await fails(bucket.getData(), 403);
});

test("groups", async () => {
  const { bucket: name } = await place();
  const bucket = client().bucket(name);
  await bucket.createGroup("writers", ["account:bob"]);
  await bucket.updateGroup({ id: "writers", members: ["account:bob", "account:carol"] });
  assert.deepEqual((await bucket.getGroup("writers")).data.members, ["account:bob", "account:carol"]);
  const { data, last_modified } = await bucket.listGroups();
  assert.equal(data.length, 1);
  assert.equal(`${await bucket.getGroupsTimestamp()}`, `"${last_modified}"`);
  await bucket.deleteGroup("writers");
  assert.deepEqual((await bucket.listGroups()).data, []);
});

test("permissions", async () => {
  const { bucket } = await place();
  const collection = client().bucket(bucket).collection("tasks");
  await collection.setData({ displayName: "Tasks" });
  await collection.setPermissions({ read: ["account:bob"] });
  assert.equal((await collection.getData()).displayName, "Tasks");
  await collection.addPermissions({ read: ["account:carol"], write: ["account:dave"] });
  await collection.removePermissions({ read: ["account:bob"] });
  const permissions = await collection.getPermissions();
  assert.deepEqual(permissions.read, ["account:carol"]);
  assert.ok(permissions.write.includes("account:dave"));
  const { data } = await client().listPermissions({ filters: { bucket_id: bucket }, pages: Infinity });
  assert.deepEqual(data.map((entry) => entry.uri).sort(), [
    `/buckets/${bucket}`,
    `/buckets/${bucket}/collections/tasks`,
  ]);
});

test("records, and the conditions on writing them", async () => {
  const collection = await filled(0);
  const { data: made } = await collection.createRecord({ title: "a" });
  assert.deepEqual((await collection.getRecord(made.id)).data, made);
  const { data: changed } = await collection.updateRecord({ ...made, title: "b" }, { safe: true });
  await fails(collection.updateRecord({ ...made, title: "c" }, { safe: true }), 412);
  const { data: patched } = await collection.updateRecord({ id: made.id, more: 1 }, { patch: true });
  assert.deepEqual([patched.title, patched.more], ["b", 1]);
  await fails(collection.deleteRecord(changed, { safe: true }), 412);
  const { data: gone } = await collection.deleteRecord(patched, { safe: true });
  assert.equal(gone.deleted, true);
  await fails(collection.getRecord(made.id), 404);
  await assert.rejects(collection.createRecord({ id: "not an id" }), /errno|HTTP 400/);
});

test("lists: pages, filters, fields, changes and totals", async () => {
  const collection = await filled(12);
  let page = await collection.listRecords({ sort: "n", limit: 5 });
  assert.deepEqual(page.data.map((record) => record.n), [0, 1, 2, 3, 4]);
  const etag = page.last_modified;
  const found = [...page.data];
  while (page.hasNextPage) {
    page = await page.next();
    assert.equal(page.last_modified, etag);
    found.push(...page.data);
  }
  assert.equal(found.length, 12);
  assert.equal((await collection.listRecords({ pages: Infinity })).data.length, 12);
  assert.equal(await collection.getTotalRecords(), 12);
  assert.equal(`${await collection.getRecordsTimestamp()}`, `"${etag}"`);
  const filters = { kind: "odd", min_n: 3, not_n: 7, in_id: ["r3", "r5", "r7", "r8"] };
  const some = await collection.listRecords({ filters, sort: "-n", fields: ["n"] });
  assert.deepEqual(some.data.map((record) => record.n), [5, 3]);
  assert.deepEqual(Object.keys(some.data[0]).sort(), ["id", "last_modified", "n"]);
  await collection.deleteRecord("r0");
  await collection.updateRecord({ id: "r1", n: 100 });
  const { data: changes } = await collection.listRecords({ since: etag });
  assert.deepEqual(changes.map(({ id, deleted }) => [id, deleted]), [["r1", undefined], ["r0", true]]);
  await collection.deleteRecords({ filters: { kind: "even" } });
  assert.deepEqual((await collection.listRecords({ filters: { kind: "even" } })).data, []);
});

test("a batch, gathered", async () => {
  const collection = await filled(3);
  const { data: r0 } = await collection.getRecord("r0");
  await collection.updateRecord({ id: "r0", n: "theirs" });
  const result = await collection.batch(
    (batch) => {
      batch.createRecord({ id: "fresh" });
      batch.updateRecord({ ...r0, n: "mine" });
      batch.deleteRecord({ id: "nothing", last_modified: 1 });
      batch.createRecord({ id: "r1" });
      batch.createRecord({ id: "not an id" });
    },
    { safe: true, aggregate: true },
  );
  assert.deepEqual(result.published.map(({ data }) => data.id), ["fresh"]);
  assert.deepEqual(result.conflicts.map(({ remote }) => [remote.id, remote.n]), [["r0", "theirs"], ["r1", 1]]);
  assert.deepEqual(result.skipped.map(({ id }) => id), ["nothing"]);
  assert.equal(result.errors.length, 1);
});
