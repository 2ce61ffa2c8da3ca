"""The published clients of the protocol, unmodified, against this server on both engines."""
