"""Signing: who signs what is published, and the certificate chains that vouch for it."""
