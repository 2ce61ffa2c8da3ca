// Canonical JSON by the rules of JavaScript clients: one JSON text per line in, one canonical text per line out.
// Keys are sorted and numbers printed as the language does it, which is what a server has to foresee.
import { createInterface } from "node:readline";

const SHORT = { "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\" };

const text = (value) =>
  `"${value.replace(
    /["\\]|[^ -~]/g, // without the flag u: one UTF-16 unit at a time
    (unit) => SHORT[unit] ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  )}"`;

function canonical(value) {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value);
  if (typeof value === "string") return text(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  const members = Object.keys(value).sort();
  return `{${members.map((key) => `${text(key)}:${canonical(value[key])}`).join(",")}}`;
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${canonical(JSON.parse(line))}\n`);
}
