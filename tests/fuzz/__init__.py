"""Generated input: whatever arrives, the answer is one of the protocol."""
