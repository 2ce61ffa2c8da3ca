"""The ids that the server makes."""

from __future__ import annotations

import re
import time
from uuid import UUID

from kintoun.model.kinds import RECORD, random_uuid

FORM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def test_ids_have_the_form_that_clients_know_and_never_come_twice() -> None:
    made = [random_uuid() for _ in range(10_000)]
    assert all(FORM.fullmatch(each) and UUID(each).version == 4 and RECORD.accepts(each) for each in made)
    assert len({each[8:] for each in made}) == len(made)


def test_ids_made_together_stand_together() -> None:
    before = int(time.time())
    seconds = [int(random_uuid()[:8], 16) for _ in range(100)]
    assert before <= min(seconds) <= max(seconds) <= int(time.time())


def test_every_other_digit_is_random() -> None:
    made = [random_uuid().replace("-", "")[8:] for _ in range(2000)]
    for place in range(24):
        digits = {each[place] for each in made}
        assert len(digits) == {4: 1, 8: 4}.get(place, 16), place
