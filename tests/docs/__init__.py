"""The documentation says what the code does: generated pages are current, and the README's commands run."""
