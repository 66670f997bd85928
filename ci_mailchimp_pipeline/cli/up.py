"""``up``: Dagster's page and daemon over one exports.yaml, until Ctrl-C."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click

from ci_mailchimp_pipeline.cli.options import config_option, failing_in_words
from ci_mailchimp_pipeline.errors import FixConfigError, PipelineError, RunLaterError
from ci_mailchimp_pipeline.orchestration.leash import GRACE_SECONDS

PORT = 3000
READY_SECONDS = 600  # a page comes up in 20 s where nothing else runs, with 1,000 exports in a minute
LAST_SECONDS = 5
LOOK_SECONDS = 0.3
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (what a person may ask for, and where it answers)
_ONLY_HERE = ("127.", "::1", "localhost")


@click.command(short_help="Start Dagster's page and daemon.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Interface to listen on.")
@click.option(
    "--port", default=PORT, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one."
)
@config_option
@failing_in_words
def up(host: str, port: int, config_path: str | None) -> None:
    """Start Dagster, page and daemon, over this exports.yaml; Ctrl-C stops all of it.

    The state folder is made if need be. A mistake in exports.yaml does not keep the page from coming up.
    """
    from ci_mailchimp_pipeline.config import find_config, find_home

    file = find_config(config_path, os.environ)
    port = _free_port(host, port)
    broken = _complain(file)
    enough = threading.Event()
    # Also takes back an inherited "ignore" (a shell's background job): Dagster would inherit it, and never end.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: enough.set())
    with _dagster(file, find_home(file, os.environ), host, port) as dagster:
        if not dagster.wait_until_ready(enough):
            return
        click.echo(f"Dagster's page: {dagster.url}")
        if not host.startswith(_ONLY_HERE):
            click.echo("warning: the page asks for no password, and other machines may reach it", err=True)
        click.echo(
            f"next: mend {file.name}, then press Reload under Deployment, Code locations"
            if broken
            else "next: open it, and press Materialize on the lineage of an export; Ctrl-C here stops all of it"
        )
        dagster.wait_until_over(enough)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dagster:
    """``dagster dev`` with its children: code server, page, daemon, runs; all in one process group."""

    process: "subprocess.Popen[bytes]"
    host: str
    port: int

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the page."""
        return _url(self.host, self.port)

    def wait_until_ready(self, enough: threading.Event) -> bool:
        """Return when the page answers; False when somebody had *enough* before.

        Raises:
            RunLaterError: ``dagster_ended``, or ``dagster_not_ready`` in `READY_SECONDS`.
        """
        deadline = time.monotonic() + READY_SECONDS
        while not enough.wait(LOOK_SECONDS):
            self._still_there()
            if self._answers():
                return True
            if time.monotonic() > deadline:
                raise RunLaterError(
                    "dagster_not_ready",
                    f"Dagster's page did not come up in {READY_SECONDS} seconds",
                    fix="look at its lines above, and start it again when the machine has less to do",
                )
        return False

    def wait_until_over(self, enough: threading.Event) -> None:
        """Return when somebody had *enough*.

        Raises:
            RunLaterError: ``dagster_ended``.
        """
        while not enough.wait(LOOK_SECONDS):
            self._still_there()

    def stop(self) -> None:
        """End all of it: politely, and after `GRACE_SECONDS` by force."""
        with suppress(ProcessLookupError):
            self.process.terminate()
            if self._ends(GRACE_SECONDS):
                return
            os.killpg(self.process.pid, signal.SIGTERM)
            if self._ends(LAST_SECONDS):
                return
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _still_there(self) -> None:
        if self.process.poll() is not None:
            raise RunLaterError(
                "dagster_ended",
                "Dagster, or a part of it, ended by itself; the rest was stopped",
                fix="look at its lines above, then start it again",
            )

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=LAST_SECONDS)
        try:
            connection.request("GET", "/server_info")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _ends(self, seconds: float) -> bool:
        """Whether the whole group is gone within *seconds*."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.process.poll()
            try:
                os.killpg(self.process.pid, 0)
            except ProcessLookupError:
                return True
            time.sleep(LOOK_SECONDS)
        return False


@contextmanager
def _dagster(file: Path, home: Path, host: str, port: int) -> Iterator[_Dagster]:
    """Start Dagster over *file* with its records below *home*; it ends with the context, all of it."""
    from ci_mailchimp_pipeline.orchestration.home import PRIVATE, WORKSPACE, prepare_home

    folder, here = prepare_home(home), _EVERYWHERE.get(host, host)
    click.echo(f"starting Dagster over {file}, with its state in {home}", err=True)
    process = subprocess.Popen(  # noqa: S603  (a list, no shell)
        [
            sys.executable, "-W", "ignore:Function `dev_command` is superseded",
            "-m", "ci_mailchimp_pipeline.orchestration.leash", "dagster", "dev",
            "--workspace", str(WORKSPACE), "--host", host, "--port", str(port), "--log-level", "warning",
        ],
        env=_environment(os.environ, file, folder, _url(here, port)),
        stdin=subprocess.PIPE,  # nothing is ever written: it closes when we are gone, killed or not
        stdout=sys.stderr,
        umask=PRIVATE,
        start_new_session=True,  # Ctrl-C reaches us alone, and we end them in their order
    )  # fmt: skip
    dagster = _Dagster(process=process, host=here, port=port)
    try:
        yield dagster
    finally:
        dagster.stop()


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _environment(environ: Mapping[str, str], file: Path, folder: Path, page: str) -> dict[str, str]:
    """What Dagster is told; alerts link to *page* unless somebody said how people reach it."""
    from ci_mailchimp_pipeline.alerts.message import PAGE

    return {PAGE: page, **environ, "DAGSTER_HOME": str(folder), "CI_MAILCHIMP_CONFIG": str(file)}


def _complain(file: Path) -> bool:
    """Say what is wrong with *file*, if anything is; the page shows the same and stays up."""
    from ci_mailchimp_pipeline.cli.output import print_error
    from ci_mailchimp_pipeline.config import load_config

    try:
        load_config(file)
    except PipelineError as error:
        print_error(error)
        return True
    return False


def _free_port(host: str, port: int) -> int:
    """*port*, or a free one for 0.

    Raises:
        FixConfigError: ``port_taken``.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
            return int(trial.getsockname()[1])
    except OSError as error:
        reason = error.strerror
    raise FixConfigError(
        "port_taken",
        f"cannot listen on {host} port {port}: {reason}",
        fix="choose another --port; 0 takes a free one",
    )
