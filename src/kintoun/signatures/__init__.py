"""Content signatures: what is signed and how, the certificates that vouch for it, and those who sign."""
