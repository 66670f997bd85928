"""The tags we use, and who had them before we did."""

from sqlalchemy import Connection, insert, select

from ci_mailchimp_pipeline.ledger.database import Statements
from ci_mailchimp_pipeline.ledger.schema import tag

HASH_BYTES = 16  # MD5
BLOCK = 50_000  # hashes in one statement call


def adopted(connection: Connection, audience: int) -> frozenset[str]:
    """Return the keys of the tags that we use in *audience*."""
    return frozenset(connection.execute(select(tag.c.tag_key).where(tag.c.audience == audience)).scalars())


def adopt(
    connection: Connection,
    statements: Statements,
    *,
    audience: int,
    key: str,
    name: str,
    now: float,
    hashes: bytes,
) -> None:
    """Note that we use a tag, and who had it before: *hashes*, one after the other."""
    connection.execute(insert(tag).values(audience=audience, tag_key=key, name=name, adopted_at=now))
    size = HASH_BYTES * BLOCK
    for start in range(0, len(hashes), size):
        block = hashes[start : start + size]
        rows = [(audience, key, block[at : at + HASH_BYTES]) for at in range(0, len(block), HASH_BYTES)]
        statements.run(connection, "foreign_tag", rows)
