/**
 * Why something signed is not believed. `reason` is one word, the same that the server's own verifier uses:
 *
 * of the manifest: missing, malformed, signature, collection, content, expired, replayed, forked;
 * of a signature or its chain, as `cause`: signature, encoding, malformed, expired, not-yet-valid, root, chain,
 * order, ca, eku, name-constraints, subject, key, algorithm, extension.
 */
export class Refused extends Error {
  /**
   * @param {string} reason
   * @param {string} message
   * @param {ErrorOptions} [options]
   */
  constructor(reason, message, options) {
    super(message, options);
    this.name = "Refused";
    this.reason = reason;
  }
}
