"""How events leave a store: what a message is, what sends it, and the kinds of senders that there are.

A sender is opened by the URL of its destination, `open_sender("https://example.com/hook")`. Another kind is one more
module here, and a row of `SCHEMES`; its client is an extra, which is imported when one is opened.
"""

from bleepstore.senders.messages import Message, message_of, record_of, test_message
from bleepstore.senders.opening import SCHEMES, open_sender
from bleepstore.senders.sender import OpenSender, Sender, SendError

__all__ = [
    "SCHEMES",
    "Message",
    "OpenSender",
    "SendError",
    "Sender",
    "message_of",
    "open_sender",
    "record_of",
    "test_message",
]
