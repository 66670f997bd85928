"""Everything by which a person is known: here, in the ledger and at the source, beginning with an address."""

from collections.abc import Iterable

from ci_mailchimp_pipeline.engine import Engine, quoted
from ci_mailchimp_pipeline.forgotten import ForgetKey
from ci_mailchimp_pipeline.keys import normal_form, subscriber_hash
from ci_mailchimp_pipeline.ledger import Ledger, LedgerFiles
from ci_mailchimp_pipeline.pipeline.copies import Copies
from ci_mailchimp_pipeline.pipeline.scrubbing import ADDRESS_COLUMNS, Scrubber
from ci_mailchimp_pipeline.pipeline.traces import Traces, customer_sql
from ci_mailchimp_pipeline.sync.forget import Place


def know(
    address: str, ledger: Ledger, copies: Copies, engine: Engine, key: ForgetKey | None
) -> tuple[Place, Scrubber]:
    """What the source says of whoever has *address*, and what will find them in files.

    Customers who were forgotten with *key* belong to it: they are what an interrupted erasure had found out, and
    what is left of them goes with this one.
    """
    own, form = subscriber_hash(address), normal_form(address)
    emails = ADDRESS_COLUMNS | {f"p_{export.email}" for export in copies.config.exports.values()}
    files = [
        ledger.export_state(number, copies.work / "ledger" / str(number))
        for number in (0, *(row.id for row in ledger.audiences()))  # 0 is no audience: who was forgotten
    ]
    asked = copies.ask_source(form)
    looking = Scrubber(engine=engine, traces=Traces(addresses=(form,), hashes=(own,)), emails=emails)
    remembered = _remembered(files[0], key)
    mine: set[str] = set()
    every: set[str] = set()
    at_source = 0
    for file in copies.parquet():
        theirs, remembered_too = looking.customers(file, remembered)
        mine |= theirs
        every |= theirs | remembered_too
        if file.is_relative_to(copies.work / "source"):
            at_source += len(theirs)
    others = _other_addresses(engine, files, own, frozenset(every))
    forms = (normal_form(each) for each in others.values() if each)
    traces = Traces(
        addresses=tuple(dict.fromkeys([form, *forms])),
        hashes=(own, *others),
        customers=frozenset(mine),
        forgotten=frozenset(every),
    )
    return _told(asked, at_source), Scrubber(engine=engine, traces=traces, emails=emails)


def _remembered(files: LedgerFiles, key: ForgetKey | None) -> str:
    if key is None:
        return "false"
    digests = f"(SELECT digest FROM read_parquet({quoted(files.forgotten)}) WHERE kind = 'customer')"
    return f"{key.digest_sql('customer', 'encode(customer_id)')} IN {digests}"


def _other_addresses(
    engine: Engine, files: Iterable[LedgerFiles], own: bytes, customers: frozenset[str]
) -> dict[bytes, str]:
    """Under which other hashes *customers* are known in some audience, with the address where there is one.

    A customer may have been refused at an address at which somebody else is a member: that one is not theirs.
    """
    found: dict[bytes, str] = {}
    theirs = customer_sql(customers)
    for each in files if customers else ():
        members, refused = (f"read_parquet({quoted(path)})" for path in (each.members, each.refusals))
        rows = engine.execute(
            f"""
            SELECT subscriber_hash, address FROM {members} WHERE {theirs}
            UNION ALL SELECT subscriber_hash, '' FROM {refused} WHERE {theirs}
            AND subscriber_hash NOT IN (SELECT subscriber_hash FROM {members} WHERE NOT {theirs})
            """
        )
        for subscriber_hash_there, address in rows:
            found[subscriber_hash_there] = address or found.get(subscriber_hash_there, "")
    found.pop(own, None)
    return found


def _told(asked: Place, customers: int) -> Place:
    if asked.done != "asked" or not customers:
        return asked
    told = "still there: delete the person at the source, too; until then only suppressed"
    return Place(place=asked.place, found=customers, done=told)
