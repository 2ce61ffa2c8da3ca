"""Endpoints in process, on both engines: status, headers, body and events, in tables of scenarios."""
