"""The same requests to the real Kinto 26.5.0 and to our server, and what may differ between the answers."""
