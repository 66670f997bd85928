"""``emulator``: a local Mailchimp to try things on."""

import json
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ci_mailchimp_pipeline.cli.audience import FIELDS, KEY
from ci_mailchimp_pipeline.cli.options import failing_in_words
from ci_mailchimp_pipeline.errors import FixConfigError

if TYPE_CHECKING:
    from ci_mailchimp_pipeline.testing import Emulator

PORT = 8899


@click.command(short_help="A local Mailchimp to try things on.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Interface to listen on.")
@click.option(
    "--port", default=PORT, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one."
)
@click.option(
    "--seed",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file with the audiences to start with; one empty audience unless given.",
)
@failing_in_words
def emulator(host: str, port: int, seed: Path | None) -> None:
    """Run a local Mailchimp until Ctrl-C. It forgets everything when it ends."""
    from ci_mailchimp_pipeline.emulator.server import Server
    from ci_mailchimp_pipeline.testing import Emulator

    world = _world(seed)
    failure: FixConfigError | None = None
    try:
        server = Server(host=host, port=port).start()
    except OSError as error:
        failure = FixConfigError(
            "port_taken",
            f"cannot listen on {host} port {port}: {error.strerror}",
            fix="choose another --port; 0 takes a free one",
        )
    if failure is not None:
        raise failure
    enough = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: enough.set())
    with Emulator(server.url, server.stop) as running:
        _plant(running, world, seed)
        click.echo(f"api_root: {server.url}")
        click.echo(f"a key that it takes: MAILCHIMP_API_KEY={KEY}")
        for audience in running.state()["audiences"]:
            click.echo(f"audience_id: {audience['id']} ({audience['name']})")
        enough.wait()


def _world(seed: Path | None) -> dict[str, Any]:
    if seed is None:
        return {
            "audiences": [{"id": "a1b2c3d4e5", "name": "Contoso newsletter", "merge_fields": list(FIELDS)}]
        }
    try:
        world = json.loads(seed.read_bytes())
    except (OSError, ValueError):
        world = None
    if not isinstance(world, dict):
        raise _bad_seed(seed)
    return world


def _plant(running: "Emulator", world: dict[str, Any], seed: Path | None) -> None:
    from ci_mailchimp_pipeline.testing.emulator import EmulatorError

    try:
        running.reset(world.get("audiences", []), switches=world.get("switches"))
    except EmulatorError as error:
        said = str(error)
    else:
        return
    raise _bad_seed(seed, f": {said}")


def _bad_seed(seed: Path | None, said: str = "") -> FixConfigError:
    return FixConfigError(
        "bad_seed",
        f"{seed} does not describe audiences of the emulator{said}",
        fix='write {"audiences": [{"id": "a1b2c3d4e5", "name": "Newsletter", "merge_fields": ["FNAME"]}]}',
    )
