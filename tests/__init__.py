"""The tests, by promise rather than by file."""
