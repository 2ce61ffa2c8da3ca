"""Collections as files: read into the store and written out of it, with ids, timestamps and tombstones."""
