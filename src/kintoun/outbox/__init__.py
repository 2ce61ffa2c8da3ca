"""Messages to others that survive every crash: written with the change, sent afterwards, until they arrive.

A message is a row that commits or fails with the change that it tells of. One worker of all sends the rows of
a channel, oldest first for each target, and deletes what was received. So a message is delivered at least
once; its id is always the same, by which a receiver recognises what it has already. What cannot be delivered
for long becomes a dead letter, which an operator looks at, retries or drops.
"""

from kintoun.outbox.delivery import Failed, Message, Outbox
from kintoun.outbox.settings import Delivery

__all__ = ["Delivery", "Failed", "Message", "Outbox"]
