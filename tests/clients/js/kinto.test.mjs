// The offline-first client: stores that meet at the server. Pages hold five records.

import assert from "node:assert/strict";
import { test } from "node:test";
import { randomUUID } from "node:crypto";
import {
  CLIENT_WINS,
  MANUAL,
  PULL_ONLY,
  SERVER_WINS,
  after,
  before,
  contents,
  device,
  isBatch,
  isFirstPage,
  place,
  send,
  served,
} from "./world.mjs";

async function synced(collection, options) {
  const result = await collection.sync(options);
  assert.ok(result.ok, JSON.stringify({ conflicts: result.conflicts, errors: result.errors }));
  return result;
}

test("two devices end with the same records", async () => {
  const here = await place();
  const [one, two] = [device(here), device(here)];
  const ids = [];
  for (let n = 0; n < 12; n++) ids.push((await one.create({ title: `task ${n}`, n })).data.id);
  assert.equal((await synced(one)).published.length, 12);
  assert.equal((await synced(two)).created.length, 12);
  assert.deepEqual(await contents(two), await served(here));

  await two.update({ id: ids[3], title: "changed elsewhere" });
  await two.update({ id: ids[4], n: -4 }, { patch: true });
  await two.delete(ids[5]);
  await two.create({ title: "new elsewhere" });
  assert.equal((await synced(two)).published.length, 4);

  const pulled = await synced(one);
  assert.deepEqual([pulled.created.length, pulled.updated.length, pulled.deleted.length], [1, 2, 1]);
  assert.deepEqual(await contents(two), await served(here));
  assert.equal((await one.get(ids[4])).data.title, "task 4");
  assert.deepEqual((await contents(one)).map((r) => r.id), (await served(here)).map((r) => r.id));
  const idle = await synced(one);
  assert.deepEqual([idle.created, idle.updated, idle.deleted, idle.published], [[], [], [], []]);
});

test("more records than fit into a batch and into a URL of exclusions", async () => {
  const here = await place();
  const one = device(here);
  for (let n = 0; n < 60; n++) await one.create({ n });
  assert.equal((await synced(one)).published.length, 60);
  assert.deepEqual(await contents(one), await served(here));
});

/** A record that both devices have changed since they agreed on it. */
async function disputed(change) {
  const here = await place();
  const [one, two] = [device(here), device(here)];
  const { id } = (await one.create({ title: "agreed" })).data;
  await synced(one);
  await synced(two);
  await two.update({ id, title: "theirs" });
  await synced(two);
  await one.update({ id, title: "mine" });
  return { here, one, two, id };
}

test("a conflict that is left to the user, and how the user settles it", async () => {
  const { here, one, id } = await disputed();
  const result = await one.sync({ strategy: MANUAL });
  assert.equal(result.ok, false);
  const [{ type, local, remote }] = result.conflicts;
  assert.deepEqual([type, local.title, remote.title], ["incoming", "mine", "theirs"]);
  assert.equal((await served(here))[0].title, "theirs");
  await one.resolve(result.conflicts[0], { id, title: "both" });
  await synced(one);
  assert.equal((await served(here))[0].title, "both");
});

test("the server wins", async () => {
  const { here, one, id } = await disputed();
  await synced(one, { strategy: SERVER_WINS });
  assert.equal((await one.get(id)).data.title, "theirs");
  assert.equal((await served(here))[0].title, "theirs");
});

test("the client wins", async () => {
  const { here, one, two, id } = await disputed();
  await synced(one, { strategy: CLIENT_WINS });
  assert.equal((await served(here))[0].title, "mine");
  await synced(two);
  assert.equal((await two.get(id)).data.title, "mine");
});

test("a device that only pulls", async () => {
  const { here, one, id } = await disputed();
  await synced(one, { strategy: PULL_ONLY });
  assert.equal((await one.get(id)).data.title, "theirs");
  assert.equal((await served(here))[0].title, "theirs");
});

test("a record that another deletes while it is edited", async () => {
  const here = await place();
  const [one, two] = [device(here), device(here)];
  const { id } = (await one.create({ title: "agreed" })).data;
  await synced(one);
  await synced(two);
  await two.delete(id);
  await synced(two);
  await one.update({ id, title: "mine" });
  const result = await one.sync();
  assert.deepEqual([result.conflicts.length, result.conflicts[0].remote.deleted], [1, true]);
  await synced(one, { strategy: CLIENT_WINS });
  assert.equal((await served(here))[0].title, "mine");
});

for (const [strategy, title] of [
  [MANUAL, "late"],
  [SERVER_WINS, "late"],
  [CLIENT_WINS, "mine"],
]) {
  test(`a write between pull and push is a conflict of the push: ${strategy}`, async () => {
    const here = await place();
    let id;
    const late = () => send("PUT", `${here.records}/${id}`, { data: { title: "late" } });
    const quick = device(here);
    ({ id } = (await quick.create({ title: "agreed" })).data);
    await synced(quick);
    const one = device(here, { fetch: before(isBatch, late) });
    await synced(one, { strategy: PULL_ONLY });
    await one.update({ id, title: "mine" });
    const result = await one.sync({ strategy });
    assert.equal(result.ok, strategy !== MANUAL);
    if (strategy === MANUAL) {
      const [{ type, remote }] = result.conflicts;
      assert.deepEqual([type, remote.id, remote.title], ["outgoing", id, "late"]);
    }
    assert.equal((await served(here))[0].title, title);
  });
}

test("two devices that create the same id", async () => {
  const here = await place();
  const id = "the-same";
  const other = () => send("PUT", `${here.records}/${id}`, { data: { title: "theirs" } });
  const one = device(here, { fetch: before(isBatch, other) });
  await one.create({ id, title: "mine" }, { useRecordId: true });
  const result = await one.sync();
  const [{ type, remote }] = result.conflicts;
  assert.deepEqual([type, remote.title], ["outgoing", "theirs"]);
});

test("a deletion that another was quicker with", async () => {
  const here = await place();
  let id;
  const one = device(here, { fetch: before(isBatch, () => send("DELETE", `${here.records}/${id}`)) });
  const first = device(here);
  ({ id } = (await first.create({ title: "short-lived" })).data);
  await synced(first);
  await synced(one, { strategy: PULL_ONLY });
  await one.delete(id);
  await synced(one);
  assert.deepEqual(await contents(one), []);
  assert.deepEqual(await served(here), []);
});

/** What another program does to a collection of twelve records when the first of its pages is out. */
const WHILE_PAGING = {
  "a new record": (records) => send("PUT", `${records}/late`, { data: { n: 100 } }),
  "a record of a later page changes": (records) => send("PUT", `${records}/r0`, { data: { n: -1 } }),
  "a record of the first page changes": (records) => send("PUT", `${records}/r11`, { data: { n: -11 } }),
  "a record of a later page goes": (records) => send("DELETE", `${records}/r1`),
  "a record of the first page goes": (records) => send("DELETE", `${records}/r10`),
  "all of it at once": (records) =>
    send("POST", "/batch", {
      defaults: { method: "PUT" },
      requests: [
        { path: `${records}/late`, body: { data: { n: 100 } } },
        { path: `${records}/r0`, body: { data: { n: -1 } } },
        { method: "DELETE", path: `${records}/r1` },
        { path: `${records}/r11`, body: { data: { n: -11 } } },
      ],
    }),
};

for (const [what, act] of Object.entries(WHILE_PAGING)) {
  test(`nothing is lost when it is written while the client pages: ${what}`, async () => {
    const here = await place();
    for (let n = 0; n < 12; n++) await send("PUT", `${here.records}/r${n}`, { data: { n } });
    const one = device(here, { fetch: after(isFirstPage, () => act(here.records)) });
    await synced(one);
    await synced(one);
    assert.deepEqual(await contents(one), await served(here));
  });
}

test("the hook sees what comes in, and may refuse it", async () => {
  const here = await place();
  await send("PATCH", `/buckets/${here.bucket}/collections/tasks`, { data: { displayName: "Tasks" } });
  const seen = [];
  const watch = async (payload) => {
    seen.push(payload.changes.length);
    if (payload.changes.some((change) => change.bad)) throw new Error("refused");
    return payload;
  };
  const one = device(here, { hooks: { "incoming-changes": [watch] } });
  await send("POST", here.records, { data: { good: true } });
  const { lastModified } = await synced(one);
  const etag = (await send("GET", here.records)).headers.get("ETag");
  assert.equal(`"${lastModified}"`, etag);
  assert.equal((await one.metadata()).displayName, "Tasks");
  await send("POST", here.records, { data: { bad: true } });
  await assert.rejects(one.sync(), /refused/);
  assert.equal((await contents(one)).length, 1);
  assert.deepEqual(seen, [1, 1]);
});

test("a collection that was deleted and made again is noticed, and filled again", async () => {
  const here = await place();
  const one = device(here);
  await one.create({ title: "kept here" });
  await synced(one);
  const before = await contents(one);
  await send("DELETE", `/buckets/${here.bucket}`);
  await send("PUT", `/buckets/${here.bucket}`);
  await send("PUT", `/buckets/${here.bucket}/collections/tasks`);
  await assert.rejects(one.sync(), /flushed/);
  await one.resetSyncStatus();
  assert.equal((await synced(one)).published.length, 1);
  assert.deepEqual((await served(here)).map((r) => r.title), before.map((r) => r.title));
});

test("the personal bucket, which nobody has made", async () => {
  const name = `user-${randomUUID()}`;
  await send("PUT", `/accounts/${name}`, { data: { password: "a password" } }, { Authorization: "" });
  const headers = { Authorization: `Basic ${btoa(`${name}:a password`)}` };
  const here = { bucket: "default", headers, records: "/buckets/default/collections/tasks/records" };
  const [one, two] = [device(here), device(here)];
  await Promise.all([one.create({ title: "mine" }), two.create({ title: "mine, too" })]);
  await Promise.all([synced(one), synced(two)]);
  await synced(one);
  assert.equal((await contents(one)).length, 2);
  assert.deepEqual(await contents(one), await served(here));
  await two.update({ id: (await contents(two))[0].id, title: "changed" });
  await synced(two);
  await synced(one);
  assert.deepEqual(await contents(one), await served(here));
});
