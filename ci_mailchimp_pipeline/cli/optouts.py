"""``optouts``: who may no longer be mailed, for the source to leave out."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ci_mailchimp_pipeline.cli.options import chosen_exports, config_option, json_option, read_config
from ci_mailchimp_pipeline.errors import FixConfigError

if TYPE_CHECKING:
    from ci_mailchimp_pipeline.config import Config, Export
    from ci_mailchimp_pipeline.pipeline.opt_outs import OptOuts

SHOWN = 1_000  # rows on a screen
BLOCK = 10_000  # rows in memory at once
SUFFIXES = (".csv", ".parquet")


@click.command(short_help="Who may no longer be mailed, by customer id.")
@click.argument("export")
@click.option("--output", metavar="FILE", help="Write the list there: .csv or .parquet.")
@click.option("--full", is_flag=True, help="Read everything anew, not only what changed.")
@json_option(opt_outs=[])
@config_option
def optouts(
    export: str,
    output: str | None,
    full: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    config_path: str | None,
) -> None:
    """List who unsubscribed, bounced or was archived by somebody else, so that segments can leave them out.

    Customer id, status, since when, and the reason if one was given; never an address. Reads what changed since
    the last time, and writes nothing to Mailchimp.
    """
    into = Path(output) if output is not None else None
    if into is not None and into.suffix.lower() not in SUFFIXES:
        raise FixConfigError(
            "unknown_output",
            f"{into.name} is no file of a kind that is written",
            fix="name a file that ends in .csv or .parquet",
        )
    config = read_config(config_path)
    (chosen,) = chosen_exports(config, [export])
    found = _read(config, chosen, full=full)
    if into is not None:
        _save(found.path, into)
    if as_json:
        _write(chosen.id, found, into)
    else:
        _show(chosen.id, found, into)


def _read(config: "Config", export: "Export", *, full: bool) -> "OptOuts":
    from ci_mailchimp_pipeline.ledger import open_ledger
    from ci_mailchimp_pipeline.orchestration.folders import newest_frame
    from ci_mailchimp_pipeline.orchestration.home import private_files
    from ci_mailchimp_pipeline.pipeline.opt_outs import list_opt_outs
    from ci_mailchimp_pipeline.pipeline.planning import connect

    with (
        private_files(),
        connect(config, export) as client,
        open_ledger(config.home, config.ledger_url, read_only=True) as ledger,
    ):
        newest = newest_frame(config, export.id)
        return list_opt_outs(
            config, export, client=client, ledger=ledger, frame=newest[0] if newest else None, full=full
        )


def _save(rows: Path, into: Path) -> None:
    """Make *into* the list, whole or not at all; readable for the owner alone, as the list is."""
    import shutil

    import polars as pl

    work = into.with_name(f".{into.name}.partial")
    try:
        try:
            work.touch(mode=0o600)
            if into.suffix.lower() == ".csv":
                pl.scan_parquet(rows, glob=False).sink_csv(work)
            else:
                shutil.copyfile(rows, work)
            work.replace(into)
        finally:
            work.unlink(missing_ok=True)
    except OSError as error:
        failure = FixConfigError(
            "output_not_writable",
            f"{into} cannot be written ({os.strerror(error.errno or errno.EIO)})",
            fix="name a file in a folder that exists and that you may write to",
        )
    else:
        return
    raise failure


def _rows(path: Path, limit: int | None = None) -> Iterator[dict[str, Any]]:
    import polars as pl

    rows = pl.scan_parquet(path, glob=False)
    total = int(rows.select(pl.len()).collect().item())
    total = total if limit is None else min(limit, total)
    for start in range(0, total, BLOCK):
        yield from rows.slice(start, min(BLOCK, total - start)).collect().iter_rows(named=True)


def _write(export: str, found: "OptOuts", into: Path | None) -> None:
    from ci_mailchimp_pipeline.cli.output import print_json_rows
    from ci_mailchimp_pipeline.pipeline.telling import told_time

    head = {
        "export": export,
        "read_at": None if found.read_at is None else told_time(found.read_at),
        "counts": {**found.counts, "unknown": found.unknown},
        "requests": found.requests,
        "output": None if into is None else str(into),
        "error": None,
    }
    print_json_rows(head, {"opt_outs": _rows(found.path) if into is None else iter(())})


def _show(export: str, found: "OptOuts", into: Path | None) -> None:
    from ci_mailchimp_pipeline.cli.output import stderr, stdout, table

    total = sum(found.counts.values())
    if into is None and total:
        rows = [
            (row["customer_id"], row["status"], row["since"] or "", row["reason"] or "")
            for row in _rows(found.path, SHOWN)
        ]
        stdout().print(table("", ("customer", "status", "since", "reason"), rows))
    told = ", ".join(f"{status} {people:,}" for status, people in found.counts.items() if people)
    stdout().print(f"{export}: {told or 'nobody'}" + (f"; written to {into}" if into else ""))
    hints = stderr()
    if into is None and total > SHOWN:
        hints.print(f"the first {SHOWN:,} of {total:,}; --output FILE or --json gives all")
    if found.unknown:
        hints.print(
            f"{found.unknown:,} more members may not be mailed; which customer they are is not known here"
        )
    hints.print(f"{found.requests} requests; read whole: {', '.join(found.whole) or 'nothing'}")
