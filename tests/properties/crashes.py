"""A client that dies at a chosen request."""

import threading
from dataclasses import dataclass, field
from typing import Any

from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient

WRITES = {"POST", "PUT", "PATCH", "DELETE"}


class Crash(BaseException):
    """The process is gone at this very moment."""


@dataclass
class CrashAt:
    """A client whose *number*-th writing request is where the process dies, before it is sent or after."""

    number: int
    after_sending: bool
    seen: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, client: MailchimpClient) -> MailchimpClient:
        call = client.call

        def dying(method: str, path: str, **more: Any) -> Any:
            if method not in WRITES:
                return call(method, path, **more)
            with self.lock:
                self.seen += 1
                last = self.seen == self.number
                dead = self.seen > self.number
            if dead or (last and not self.after_sending):
                raise Crash
            answer = call(method, path, **more)
            if last:
                raise Crash
            return answer

        client.call = dying  # type: ignore[method-assign]
        return client
