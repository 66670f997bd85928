"""``python -m ci_mailchimp_pipeline.emulator --port 0``: print the address when ready, run until Ctrl-C."""

import argparse
import sys
from pathlib import Path

import msgspec

from ci_mailchimp_pipeline.emulator.server import DEFAULT_PORT, serve


def main() -> None:
    """Run the emulator as the options say."""
    parser = argparse.ArgumentParser(prog="python -m ci_mailchimp_pipeline.emulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="interface to listen on")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 takes a free one")
    parser.add_argument("--state", type=Path, help="file that keeps the world over a restart")
    options = parser.parse_args()
    try:
        serve(options.host, options.port, state_file=options.state, ready=_say)
    except OSError as error:
        parser.exit(2, f"cannot listen on {options.host}:{options.port}: {error.strerror}\n")
    except msgspec.MsgspecError as error:
        parser.exit(2, f"{options.state} holds no state of an emulator: {error}\n")


def _say(url: str) -> None:
    sys.stdout.write(url + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
