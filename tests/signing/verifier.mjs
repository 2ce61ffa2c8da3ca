// The verifier of browsers: one case in JSON per line in, one outcome per line out.
import { createInterface } from "node:readline";
import { believe, Refused, verify } from "../../clients/js/verifier/index.js";
import { signedText } from "../../clients/js/verifier/canonical.js";

async function outcome({ published, trust, chain, alone }) {
  const how = chain === undefined ? trust : { ...trust, fetchChain: async () => chain };
  try {
    if (!alone) return await verify(published, how);
    const { records, timestamp, signature } = published;
    const text = alone === "canonical" ? signedText(records, timestamp) : "";
    if (text) return { ok: true, text };
    await believe(signedText(records, timestamp), [{ signature, x5u: "of the case" }], how);
    return { ok: true };
  } catch (error) {
    if (!(error instanceof Refused)) return { ok: false, thrown: `${error.name}: ${error.message}` };
    return { ok: false, reason: error.cause?.reason ?? error.reason, message: error.message };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await outcome(JSON.parse(line)))}\n`);
}
