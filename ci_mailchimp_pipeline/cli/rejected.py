"""``rejected``: who was not sent, and why."""

import json
import sys
from typing import TYPE_CHECKING

import click

from ci_mailchimp_pipeline.cli.options import chosen_exports, config_option, json_option, read_config
from ci_mailchimp_pipeline.errors import FixDataError

if TYPE_CHECKING:
    from ci_mailchimp_pipeline.frame.build import Frame

SHOWN = 1_000  # rows on a screen


@click.command(short_help="Who was not sent, and why.")
@click.argument("export")
@click.option("--show-addresses", is_flag=True, help="Print addresses as they are, not masked.")
@json_option(rejected=[])
@config_option
def rejected(export: str, show_addresses: bool, as_json: bool, config_path: str | None) -> None:  # noqa: FBT001
    """List the rows that the newest frame of an export rejected, each with its reason.

    Addresses are masked. Customers without a profile are listed, too.
    """
    from ci_mailchimp_pipeline.frame.build import load_frame
    from ci_mailchimp_pipeline.orchestration.folders import newest_frame

    config = read_config(config_path)
    (chosen,) = chosen_exports(config, [export])
    found = newest_frame(config, chosen.id)
    if found is None:
        raise FixDataError(
            "no_frame",
            f"export '{chosen.id}' has no frame yet",
            fix=f"ci-mailchimp run {chosen.id} --dry-run",
        )
    frame = load_frame(found[0])
    (_write if as_json else _show)(chosen.id, frame, show_addresses=show_addresses)


def _write(export: str, frame: "Frame", *, show_addresses: bool) -> None:
    """The JSON document, row by row: there may be many."""
    from ci_mailchimp_pipeline.orchestration.rejected import masked, rejected_rows

    head = {"export": export, "run_id": frame.folder.name, "reasons": dict(frame.rejected_reasons)}
    sys.stdout.write(json.dumps(head)[:-1] + ', "rejected": [')
    between = ""
    for row in rejected_rows(frame.rejected_path):
        address = (row.address or "") if show_addresses else masked(row.address)
        listed = {
            "row": row.row,
            "customer_id": row.customer_id,
            "reason": row.reason,
            "field": row.field,
            "address": address,
        }
        sys.stdout.write(f"{between}\n  {json.dumps(listed)}")
        between = ","
    sys.stdout.write("\n]}\n")


def _show(export: str, frame: "Frame", *, show_addresses: bool) -> None:
    from ci_mailchimp_pipeline.cli.output import stderr, stdout, table
    from ci_mailchimp_pipeline.frame.reasons import REASONS
    from ci_mailchimp_pipeline.orchestration.rejected import masked, rejected_rows

    rows = [
        (
            "" if row.row is None else str(row.row),
            row.customer_id,
            row.reason,
            row.field or "",
            (row.address or "") if show_addresses else masked(row.address),
        )
        for row in rejected_rows(frame.rejected_path, limit=SHOWN)
    ]
    total = frame.rejected + frame.no_profile
    if not total:
        stdout().print(f"{export}: nobody was rejected")
        return
    stdout().print(table("", ("#row", "customer", "reason", "field", "address"), rows))
    hints = stderr()
    for reason in sorted({row[2] for row in rows}):
        hints.print(f"{reason}: {REASONS.get(reason, '')}")
    if total > len(rows):
        hints.print(f"the first {len(rows):,} of {total:,}; --json lists all")
