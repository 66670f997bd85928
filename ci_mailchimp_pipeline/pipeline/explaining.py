"""Follow one person through the chain: source now, newest frame, ledger, Mailchimp. Writes nothing anywhere."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ci_mailchimp_pipeline.config import Config, Export
from ci_mailchimp_pipeline.engine import Engine, array, open_engine, quoted, trimmed
from ci_mailchimp_pipeline.errors import FixConfigError
from ci_mailchimp_pipeline.forgotten import known_key
from ci_mailchimp_pipeline.frame.address import address_problem, hash_sql, key_sql
from ci_mailchimp_pipeline.frame.build import load_frame
from ci_mailchimp_pipeline.frame.rows import excluded_sql
from ci_mailchimp_pipeline.frame.values import column_sql
from ci_mailchimp_pipeline.keys import subscriber_hash
from ci_mailchimp_pipeline.ledger import Ledger, Person
from ci_mailchimp_pipeline.mailchimp import endpoints
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.pipeline.evidence import NOBODY, Customer, Facts, InFrame, InSource
from ci_mailchimp_pipeline.pipeline.planning import FACTS
from ci_mailchimp_pipeline.pipeline.verdict import Explanation, judge
from ci_mailchimp_pipeline.sources.base import Needs, open_source, refresh_of
from ci_mailchimp_pipeline.sources.snapshots import Snapshot, take_snapshot
from ci_mailchimp_pipeline.sync.preflight import AudienceFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameAt:
    """The newest frame of an export.

    Attributes:
        refresh: The short name of the refresh it was made of.
        current: Whether the export is declared as it was then.
    """

    folder: Path
    refresh: str
    current: bool


@dataclass(slots=True)
class _Asked:
    """Whom it is about: the address and what it is compared by."""

    address: str
    key: str
    hash: bytes


def explain(
    config: Config,
    export: Export,
    address: str,
    *,
    frame: FrameAt | None,
    client: MailchimpClient | None,
    ledger: Ledger,
    work: Path,
    now: Callable[[], float] = time.time,
) -> Explanation:
    """Say why the person with *address* (in any spelling) is, or is not, in the audience of *export*.

    Sends one request that reads a member; one more, of the audience, when a known member is not there; and one more
    for each earlier address of a customer whose new one Mailchimp does not know.

    Args:
        frame: The newest one; None while there is none.
        client: None for a detached export.
        ledger: May be open to be read only.
        work: An existing private folder for what is read of the source.

    Raises:
        FixConfigError: ``no_address``; ``unknown_column``; ``unknown_audience``; what the connection lacks.
        FixDataError: The source or the frame cannot be read.
        RunLaterError: The source is being refreshed, or Mailchimp stays busy.
    """
    with open_engine(work) as engine:
        asked = _asked(engine, address)
        audience = ledger_audience(ledger, export, frame.folder if frame else None)
        person = ledger.person(audience, asked.hash) if audience else NOBODY
        snapshot = _read_source(config, export, asked, work / "source")
        source = _in_source(engine, export, snapshot, asked, person)
        found = _in_frame(engine, frame, asked, source) if frame else None
    member = endpoints.member(client, export.audience_id, asked.hash) if client else None
    if client and member is None and person.member is not None:
        endpoints.audience(client, export.audience_id)  # Mailchimp says the same of an audience that is gone
    ids = {each.id for each in source.customers} | ({person.member.customer_id} if person.member else set())
    earlier = _earlier(ledger, audience, asked, ids) if person.member is None else {}
    return judge(
        export,
        Facts(
            problem=address_problem(asked.address),
            source=source,
            frame=found,
            person=person,
            forgotten=_is_forgotten(config, ledger, asked, ids),
            asked=client is not None,
            member=member,
            earlier=any(each.member is not None for each in earlier.values()),
            opted_out_earlier=member is None
            and client is not None
            and any(_opted_out(client, export, key, known) for key, known in earlier.items()),
            now=now(),
        ),
    )


def ledger_audience(ledger: Ledger, export: Export, frame: Path | None) -> int:
    """The ledger's number of the audience of *export*, without asking Mailchimp; 0 when it knows none."""
    rows = [row for row in ledger.audiences() if row.audience_id == export.audience_id]
    if frame is not None and (frame / FACTS).exists():
        account = AudienceFacts.load(frame / FACTS).account_id
        rows = [row for row in rows if row.account_id == account]
    return rows[-1].id if rows else 0


def _asked(engine: Engine, address: str) -> _Asked:
    address = address.encode("utf-8", "replace").decode()  # bytes of a terminal that are no text at all
    key = engine.one(f"SELECT {key_sql(trimmed(quoted(address)))}")
    if key is None:
        raise FixConfigError(
            "no_address", "the address is blank, so it is nobody's", fix="name the address of one person"
        )
    return _Asked(address, key, subscriber_hash(address))


def _read_source(config: Config, export: Export, asked: _Asked, into: Path) -> Snapshot:
    source = open_source(config.source_type, config.source_options, folder=config.folder)
    needs = Needs(
        columns=tuple(sorted({export.email, *export.require})),
        segments=tuple(segment.name for segment in export.segments),
        holder=(export.email, asked.key),
    )
    return take_snapshot(source, needs, into, settle=False)


def _in_source(engine: Engine, export: Export, snapshot: Snapshot, asked: _Asked, person: Person) -> InSource:
    for name, path in (("profiles", snapshot.profiles_path), ("membership", snapshot.membership_path)):
        engine.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({quoted(path)})")
    rows = engine.execute(
        f"""
        SELECT customer_id, excluded, coalesce(segments, []) FROM (
            SELECT customer_id, bool_and({excluded_sql(export)}) AS excluded FROM profiles
            WHERE {key_sql(trimmed(column_sql(export.email)))} = {quoted(asked.key)} GROUP BY customer_id
        ) LEFT JOIN (
            SELECT customer_id, list_sort(list(segment)) AS segments FROM membership GROUP BY customer_id
        ) USING (customer_id) ORDER BY customer_id
        """
    )
    still_there = False
    if person.member:
        known = f"unhex(md5({quoted(person.member.customer_id)}))"
        customers = f"read_parquet({quoted(snapshot.customers_path)})"
        still_there = engine.one(f"SELECT count(*) FROM {customers} WHERE customer_key = {known}") > 0
    return InSource(
        refresh=refresh_of(snapshot.version),
        customers=tuple(
            Customer(id=customer, excluded=excluded, segments=tuple(segments))
            for customer, excluded, segments in rows
        ),
        still_there=still_there,
    )


def _in_frame(engine: Engine, at: FrameAt, asked: _Asked, source: InSource) -> InFrame:
    frame = load_frame(at.folder)
    accepted = f"read_parquet({quoted(frame.frame_path)})"
    row = engine.execute(
        f"""SELECT customer_id, tags, fingerprint FROM {accepted}
        WHERE subscriber_hash = {hash_sql(quoted(asked.key))}"""
    )
    if row:
        customer, tags, fingerprint = row[0]
        return InFrame(
            refresh=at.refresh,
            current=at.current,
            customer_id=customer,
            tags=tuple(tags),
            fingerprint=bytes(fingerprint),
        )
    rejected = engine.execute(
        f"""SELECT reason, field FROM read_parquet({quoted(frame.rejected_path)})
        WHERE {key_sql("email_address")} = {quoted(asked.key)} ORDER BY row LIMIT 1"""
    )
    reason, field = rejected[0] if rejected else (None, None)
    ids = array(each.id for each in source.customers)
    kept = engine.execute(f"SELECT min(customer_id) FROM {accepted} WHERE list_contains({ids}, customer_id)")[
        0
    ][0]
    return InFrame(refresh=at.refresh, current=at.current, reason=reason, field=field, kept=kept)


def _earlier(ledger: Ledger, audience: int, asked: _Asked, ids: set[str]) -> dict[bytes, Person]:
    """What the ledger knows of the same customers under other addresses."""
    hashes = {key for each in ids for key in ledger.addresses_of(audience, each)} - {asked.hash}
    return {key: ledger.person(audience, key) for key in sorted(hashes)}


def _opted_out(client: MailchimpClient, export: Export, key: bytes, known: Person) -> bool:
    """Whether an earlier address is one that the person opted out under; as the plan decides it."""
    state = known.member.state if known.member else "suppressed"
    reasons = {known.member.reason} if known.member else set()
    reasons |= {each.code for each in known.refusals if each.kind == "suppress"}
    suppressed = bool(reasons - {None, "cleaned"})
    if known.member is None and not suppressed:
        return False
    status = endpoints.member_status(client, export.audience_id, key)
    return (
        status in {"unsubscribed", "pending", "transactional"}
        or (status == "archived" and state != "archived_by_us")
        or (suppressed and status not in {"subscribed", "cleaned"})
    )


def _is_forgotten(config: Config, ledger: Ledger, asked: _Asked, ids: set[str]) -> bool:
    used = ledger.forgotten_keys()
    key = known_key(config.home, config.forget_key, used) if used else None
    if key is None:
        return False
    return ledger.is_forgotten([key.address(asked.hash), *(key.customer(each) for each in ids)])
