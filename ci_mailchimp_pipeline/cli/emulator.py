"""``emulator``: a local Mailchimp to try things on."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ci_mailchimp_pipeline.cli.options import failing_in_words
from ci_mailchimp_pipeline.errors import FixConfigError

if TYPE_CHECKING:
    from ci_mailchimp_pipeline.emulator.seeds import WorldSeed

PORT = 8899
KEY = "0123456789abcdef0123456789abcdef-us1"


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Interface to listen on.")
@click.option("--port", default=PORT, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option(
    "--seed",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file with the audiences to start with; one empty audience unless given.",
)
@failing_in_words
def emulator(host: str, port: int, seed: Path | None) -> None:
    """Run a local Mailchimp until Ctrl-C. It forgets everything when it ends."""
    from ci_mailchimp_pipeline.emulator.server import Server

    world = _world(seed)
    failure: FixConfigError | None = None
    try:
        server = Server(host=host, port=port, seed=world)
    except OSError as error:
        failure = FixConfigError(
            "port_taken",
            f"cannot listen on {host} port {port}: {error.strerror}",
            fix="choose another --port; 0 takes a free one",
        )
    if failure is not None:
        raise failure
    click.echo(f"api_root: {server.url}")
    click.echo(f"A key that it takes: MAILCHIMP_API_KEY={KEY}")
    for audience in world.audiences:
        click.echo(f"audience_id: {audience.id} ({audience.name})")
    server.run()


def _world(seed: Path | None) -> "WorldSeed":
    import msgspec

    from ci_mailchimp_pipeline.emulator.seeds import DEFAULT_FIELDS, AudienceSeed, WorldSeed

    if seed is None:
        fields = [*DEFAULT_FIELDS, {"tag": "CITY", "type": "text"}, {"tag": "BIRTHDAY", "type": "birthday"}]
        return WorldSeed(audiences=[AudienceSeed(id="a1b2c3d4e5", name="Contoso newsletter", merge_fields=fields)])
    try:
        return msgspec.json.decode(seed.read_bytes(), type=WorldSeed)
    except (OSError, msgspec.MsgspecError):
        failure = FixConfigError("bad_seed", f"{seed} is not a world of the emulator", fix="see docs/emulator.md")
    raise failure
