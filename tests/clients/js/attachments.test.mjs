// Files on records, as kinto.js sends and removes them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import { URL, headers, place } from "./world.mjs";

const { KintoClient } = createRequire(import.meta.url)("kinto");
const client = () => new KintoClient(URL, { headers });

const uri = (content, name) => `data:text/plain;name=${name};base64,${btoa(content)}`;

async function fails(promise, status) {
  await assert.rejects(promise, (error) => error.response?.status === status);
}

async function content(attachment) {
  const { base_url: base } = (await client().fetchServerCapabilities()).attachments;
  const answer = await fetch(base + attachment.location);
  assert.equal(answer.status, 200);
  return answer.text();
}

test("a file is added, replaced and removed", async () => {
  const { bucket } = await place();
  const collection = client().bucket(bucket).collection("tasks");
  const { data: added } = await collection.addAttachment(
    uri("hello", "hello.txt"),
    { id: "r1", title: "Hi" },
    { permissions: { read: ["system.Everyone"] }, safe: true },
  );
  assert.equal(added.title, "Hi");
  assert.equal(added.attachment.filename, "hello.txt");
  assert.equal(added.attachment.hash, createHash("sha256").update("hello").digest("hex"));
  assert.equal(await content(added.attachment), "hello");

  // What the client knows of the record goes along, its timestamp and its former file included.
  const { data: replaced } = await collection.addAttachment(uri("two", "two.txt"), added, { safe: true });
  assert.ok(replaced.last_modified > added.last_modified);
  assert.equal(await content(replaced.attachment), "two");
  assert.equal(await content(added.attachment), "hello");

  await fails(collection.addAttachment(uri("late", "late.txt"), added, { safe: true }), 412);
  await fails(collection.addAttachment(uri("late", "late.txt"), { id: "r1" }, { safe: true }), 412);
  await fails(collection.removeAttachment("r1", { safe: true, last_modified: added.last_modified }), 412);

  await collection.removeAttachment("r1", { safe: true, last_modified: replaced.last_modified });
  assert.equal((await collection.getRecord("r1")).data.attachment, null);
});

test("a file for a record without an id", async () => {
  const { bucket } = await place();
  const collection = client().bucket(bucket).collection("tasks");
  const { data } = await collection.addAttachment(`data:image/png;base64,${btoa("png")}`, {}, { filename: "a.png" });
  assert.equal(data.attachment.filename, "a.png");
  assert.equal(data.attachment.mimetype, "image/png");
});
