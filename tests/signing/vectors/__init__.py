"""Vectors of content signatures, made for this project with keys of their own.

`signing.json` has the canonical form, the digest and the signature of 21 sets of records, and 15
certificate chains with the reason for which each is refused. Two verifiers that share no code with this one,
in Python and in JavaScript, agree with all of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SIGNING: dict[str, Any] = json.loads(Path(__file__).with_name("signing.json").read_text())
