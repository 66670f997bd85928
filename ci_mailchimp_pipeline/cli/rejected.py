"""``rejected``: who was not sent, and why."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from ci_mailchimp_pipeline.cli.options import chosen_exports, config_option, json_option, read_config
from ci_mailchimp_pipeline.errors import FixDataError

if TYPE_CHECKING:
    from ci_mailchimp_pipeline.frame.build import Frame
    from ci_mailchimp_pipeline.ledger import RefusalRow
    from ci_mailchimp_pipeline.orchestration.rejected import Refused

SHOWN = 1_000  # rows of a table on a screen


@click.command(short_help="Who was not sent, and why.")
@click.argument("export")
@click.option("--show-addresses", is_flag=True, help="Print addresses as they are, not masked.")
@json_option(rejected=[], refused=[])
@config_option
def rejected(export: str, show_addresses: bool, as_json: bool, config_path: str | None) -> None:  # noqa: FBT001
    """List the rows that the newest frame rejected, and those that Mailchimp refused, each with its reason.

    Addresses are masked. Customers without a profile are listed, too. A refused row is tried again when its data
    change, and some before: at the time that is shown.
    """
    from ci_mailchimp_pipeline.frame.build import load_frame
    from ci_mailchimp_pipeline.ledger import open_ledger
    from ci_mailchimp_pipeline.orchestration.folders import newest_frame
    from ci_mailchimp_pipeline.orchestration.rejected import refused_rows
    from ci_mailchimp_pipeline.pipeline.explaining import ledger_audience

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
    with open_ledger(config.home, config.ledger_url, read_only=True) as ledger:
        refusals = ledger.refusals(ledger_audience(ledger, chosen, frame.folder), chosen.id)
        refused = refused_rows(refusals, frame.frame_path)
        (_write if as_json else _show)(chosen.id, frame, refused, show_addresses=show_addresses)


def _write(export: str, frame: "Frame", refused: "Iterator[Refused]", *, show_addresses: bool) -> None:
    from ci_mailchimp_pipeline.cli.output import print_json_rows
    from ci_mailchimp_pipeline.orchestration.rejected import rejected_rows
    from ci_mailchimp_pipeline.pipeline.telling import told_time

    def unfit() -> Iterator[dict[str, Any]]:
        for row in rejected_rows(frame.rejected_path):
            yield {
                "row": row.row,
                "customer_id": row.customer_id,
                "reason": row.reason,
                "field": row.field,
                "address": _shown(row.address, show_addresses=show_addresses),
            }

    def no() -> Iterator[dict[str, Any]]:
        for each in refused:
            row = each.row
            yield {
                "customer_id": row.customer_id,
                "reason": row.code,
                "field": row.field,
                "kind": row.kind,
                "attempts": row.attempts,
                "next_try": None if row.retry_at is None else told_time(row.retry_at),
                "address": _shown(each.address, show_addresses=show_addresses),
            }

    head = {"export": export, "run_id": frame.folder.name, "reasons": dict(frame.rejected_reasons)}
    print_json_rows(head, {"rejected": unfit(), "refused": no()})


def _show(export: str, frame: "Frame", refused: "Iterator[Refused]", *, show_addresses: bool) -> None:
    from itertools import islice

    from ci_mailchimp_pipeline.cli.output import stderr, stdout, table
    from ci_mailchimp_pipeline.frame.reasons import REASONS
    from ci_mailchimp_pipeline.mailchimp.refusals import MEANINGS
    from ci_mailchimp_pipeline.orchestration.rejected import rejected_rows

    unfit = [
        (
            "" if row.row is None else str(row.row),
            row.customer_id,
            row.reason,
            row.field or "",
            _shown(row.address, show_addresses=show_addresses),
        )
        for row in rejected_rows(frame.rejected_path, limit=SHOWN)
    ]
    now = time.time()
    no = [
        (
            each.row.customer_id,
            each.row.code,
            each.row.field or "",
            str(each.row.attempts),
            _again(each.row, now),
            _shown(each.address, show_addresses=show_addresses),
        )
        for each in islice(refused, SHOWN)
    ]
    more_refused = next(refused, None) is not None
    console, hints = stdout(), stderr()
    if unfit:
        console.print(table("rejected", ("#row", "customer", "reason", "field", "address"), unfit))
    if no:
        columns = ("customer", "reason", "field", "#attempts", "next try", "address")
        console.print(table("refused by Mailchimp", columns, no))
    if not unfit and not no:
        console.print(f"{export}: nobody was rejected, and nobody refused")
    for reason, meaning in sorted({row[2]: REASONS.get(row[2], "") for row in unfit}.items()):
        hints.print(f"{reason}: {meaning}")
    for reason, meaning in sorted({row[1]: MEANINGS.get(row[1], "") for row in no}.items()):
        hints.print(f"{reason}: {meaning}")
    total = frame.rejected + frame.no_profile
    if total > len(unfit):
        hints.print(f"the first {len(unfit):,} of {total:,} rejected; --json lists all")
    if more_refused:
        hints.print(f"the first {len(no):,} refused; --json lists all")


def _again(row: "RefusalRow", now: float) -> str:
    """When a refused row is sent again, for people."""
    from ci_mailchimp_pipeline.pipeline.evidence import is_waiting
    from ci_mailchimp_pipeline.pipeline.telling import told_time

    if row.retry_at is None:
        return "never" if row.kind == "suppress" else "when the data change"
    return told_time(row.retry_at).replace("T", " ") if is_waiting(row, now) else "with the next run"


def _shown(address: str | None, *, show_addresses: bool) -> str:
    from ci_mailchimp_pipeline.frame.address import masked

    return (address or "") if show_addresses else masked(address)
