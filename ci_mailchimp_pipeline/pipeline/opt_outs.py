"""Who may no longer be mailed, by customer id, so that segments can leave them out at the source."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ci_mailchimp_pipeline.artifacts import draft, load_manifest, publish
from ci_mailchimp_pipeline.config import Config, Export
from ci_mailchimp_pipeline.engine import Engine, open_engine, quoted
from ci_mailchimp_pipeline.errors import FixDataError
from ci_mailchimp_pipeline.frame.build import load_frame
from ci_mailchimp_pipeline.ledger import Ledger
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.pipeline.explaining import ledger_audience
from ci_mailchimp_pipeline.plan.classify import ANSWER_DELAY_SECONDS
from ci_mailchimp_pipeline.sync.opted_out import OPTED_OUT, Reading, read_opted_out

LIST, SEEN = "opt_outs.parquet", "opted_out.parquet"
COLUMNS = {
    "customer_id": "the customer, as the source calls them",
    "status": "unsubscribed: opted out or complained; cleaned: the address bounced; archived: taken out by "
    "somebody else",
    "since": "Mailchimp's last change of the member, ISO 8601 in UTC: since then, or before",
    "reason": "why they unsubscribed, where Mailchimp was told",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OptOuts:
    """The list, and how it came about.

    Attributes:
        path: Parquet with the columns `COLUMNS`; one row a customer, ordered by id. No address is in it.
        read_at: Mailchimp's time of the reading, seconds since 1970; None when it did not say.
        counts: Customers by status.
        unknown: Members who may not be mailed and of whom nobody here knows the customer.
        whole: The statuses that were read whole; the others are what was read before, and what changed since.
        requests: That it took.
    """

    path: Path
    read_at: float | None
    counts: Mapping[str, int]
    unknown: int
    whole: tuple[str, ...]
    requests: int


def opt_outs_folder(config: Config, export: str) -> Path:
    """Where the list of an export is, and what the next reading begins with."""
    return config.home / "opt_outs" / export


def list_opt_outs(
    config: Config,
    export: Export,
    *,
    client: MailchimpClient,
    ledger: Ledger,
    frame: Path | None,
    full: bool = False,
) -> OptOuts:
    """Read who unsubscribed, bounced or was archived by somebody else, and write them down by customer id.

    Of what an earlier reading remembers only the changes are read. Sends no request that writes.

    Args:
        ledger: May be open to be read only.
        frame: The folder of the newest frame; None while there is none.
        full: Read everything anew.

    Raises:
        FixConfigError: ``unknown_audience``; ``home_not_writable``.
        FixDataError: ``frame_not_good``.
        RunLaterError: ``audience_changing``, or Mailchimp stays busy.
    """
    folder, requests = opt_outs_folder(config, export.id), client.requests
    before = None if full else _remembered(folder, export.audience_id)
    with draft(folder) as work:
        reading = read_opted_out(client, export.audience_id, work, before)
        files = ledger.export_state(ledger_audience(ledger, export, frame), work / "ledger")
        with open_engine(work) as engine:
            for name, path in (
                ("members", files.members),
                ("refusals", files.refusals),
                ("seen", reading.path),
            ):
                engine.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({quoted(path)})")
            wanted = quoted(load_frame(frame).frame_path) if frame else ""
            rows = f"SELECT subscriber_hash, customer_id FROM read_parquet({wanted})"
            engine.execute(f"CREATE VIEW frame AS {rows if frame else 'SELECT * FROM members WHERE false'}")
            counts, unknown = _by_customer(engine, work / LIST)
            seen = engine.one("SELECT count(*) FROM seen")
        publish(
            work,
            folder,
            rows={LIST: sum(counts.values()), SEEN: seen},
            facts={"audience_id": export.audience_id, "read_at": reading.read_at},
        )
    return OptOuts(
        path=folder / LIST,
        read_at=reading.read_at,
        counts=counts,
        unknown=unknown,
        whole=reading.whole,
        requests=client.requests - requests,
    )


def _remembered(folder: Path, audience_id: str) -> Reading | None:
    """What an earlier reading of the same audience left; what is damaged counts as nothing."""
    with suppress(FixDataError):
        manifest = load_manifest(folder)
        if manifest["audience_id"] == audience_id:
            return Reading(path=folder / SEEN, read_at=manifest["read_at"])
    return None


def _by_customer(engine: Engine, into: Path) -> tuple[dict[str, int], int]:
    """Write the list; customers by status, and members whose customer nobody knows.

    An opt-out follows the person. A bounce is the address's: a customer whose row has another address now is not
    on the list for it.
    """
    outweighs = f"list_position([{', '.join(quoted(status) for status in OPTED_OUT)}], status)"
    engine.execute(
        f"""
        CREATE TABLE gone AS
        SELECT s.* FROM seen s LEFT JOIN members m USING (subscriber_hash)
        WHERE NOT coalesce(s.status = 'archived' AND m.state = 'archived_by_us'
                           AND s.last_changed <= m.archived_at + {ANSWER_DELAY_SECONDS}, false);
        CREATE TABLE known AS
        SELECT g.*, h.customer_id FROM gone g JOIN (
            SELECT subscriber_hash, customer_id FROM frame
            UNION SELECT subscriber_hash, customer_id FROM members
            UNION SELECT subscriber_hash, customer_id FROM refusals
        ) h USING (subscriber_hash);
        COPY (
            SELECT customer_id, w.status, strftime(make_timestamp((w.last_changed * 1000000)::BIGINT),
                   '%Y-%m-%dT%H:%M:%S+00:00') AS since, w.reason
            FROM (
                SELECT customer_id, arg_min(struct_pack(status, last_changed, reason),
                    struct_pack(place := {outweighs}, at := -coalesce(last_changed, 0), by := subscriber_hash)) AS w
                FROM known k
                WHERE status <> 'cleaned' OR NOT EXISTS (
                    FROM frame f WHERE f.customer_id = k.customer_id AND f.subscriber_hash <> k.subscriber_hash)
                GROUP BY customer_id
            ) ORDER BY customer_id
        ) TO {quoted(into)} (FORMAT parquet)
        """
    )
    by_status = engine.execute(f"SELECT status, count(*) FROM read_parquet({quoted(into)}) GROUP BY status")
    counts = dict.fromkeys(OPTED_OUT, 0) | dict(by_status)
    return counts, engine.one("SELECT count(*) FROM gone ANTI JOIN known USING (subscriber_hash)")
