"""Run a module that ends with its parent, children and all: ``python -m ci_mailchimp_pipeline.orchestration.leash MODULE …``.

The parent holds the other end of stdin, and the system closes it however the parent ended.
"""

import os
import runpy
import signal
import sys
import threading
import time

GRACE_SECONDS = 20  # for runs to record what is in flight; a request of ours takes 5 s


def main() -> None:
    """Run the module that the arguments name, in the place of this one."""
    leash = os.dup(sys.stdin.fileno())  # no child inherits it
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
    threading.Thread(target=_end_with, args=(leash,), daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _end_with(leash: int) -> None:
    while os.read(leash, 1):
        pass
    os.killpg(0, signal.SIGTERM)  # our own group: whoever started us gave us one
    time.sleep(GRACE_SECONDS)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
