"""The signing service: a process that holds keys and speaks autograph's API (signing section 6)."""
