"""The plan's inputs as views of the engine: whole, and narrowed to a range of subscriber hashes.

Everything about a person hangs on the hash of the address, so a plan of any size is made range by range
and needs the memory of one range.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ci_mailchimp_pipeline.engine import Engine, array, quoted
from ci_mailchimp_pipeline.plan.model import PlanInputs, PlanSettings

RANGE_ROWS = 250_000  # people decided at once: about 150 MB in the engine
PREFIXES = 1 << 16  # a range is made of the hashes whose first two bytes lie between two numbers

_ALL = "SELECT * FROM read_parquet({source})"
# A member that changed while the pages were read may be there twice: the status that forbids most counts.
_SELECT = {
    "seen": """
        SELECT subscriber_hash,
               arg_max(status, list_position(['subscribed', 'pending', 'transactional', 'archived', 'cleaned',
                                              'unsubscribed'], status)) AS status,
               max(last_changed) AS last_changed
        FROM read_parquet({source}) GROUP BY subscriber_hash
    """
}
_KEYS = "list_sort(list_distinct(list_transform({tags}, lambda t: lower(t))))"


@dataclass(frozen=True, slots=True)
class HashRange:
    """The hashes from *low* up to, not including, *high*, as numbers of their first two bytes."""

    number: int
    low: int
    high: int

    def holds(self, column: str) -> str:
        """SQL: whether *column* lies in the range."""
        above = f"{column} >= {_blob(self.low)}"
        return above if self.high == PREFIXES else f"{above} AND {column} < {_blob(self.high)}"


def ranges(rows: int) -> Iterator[HashRange]:
    """Ranges of about ``RANGE_ROWS`` people, in the order of their hashes."""
    count = min(max(1, -(-rows // RANGE_ROWS)), 256)
    bounds = [PREFIXES * number // count for number in range(count + 1)]
    for number in range(count):
        yield HashRange(number, bounds[number], bounds[number + 1])


def open_inputs(engine: Engine, inputs: PlanInputs, settings: PlanSettings) -> None:
    """Create one view per input; ``mine``: what the export holds; ``protected``: what is not ours to take.

    And the table ``erased``: the hashes of wanted people, and of members, who were forgotten.
    """
    for name in PlanInputs.__dataclass_fields__:
        path: Path = getattr(inputs, name)
        source = quoted(path / "*.parquet" if path.is_dir() else path)
        engine.execute(f"CREATE VIEW {name} AS {_SELECT.get(name, _ALL).format(source=source)}")
    # A tag that the audience no longer has is on nobody, whatever we hold: it is missing where it is wanted,
    # and there is nothing to take off where it is not.
    engine.execute(
        f"""
        CREATE VIEW mine AS
        SELECT subscriber_hash, tags, {_KEYS.format(tags="tags")} AS all_keys,
               list_filter(all_keys, lambda k: list_contains({array(sorted(settings.known_tags))}, k)) AS keys,
               fingerprint, filled
        FROM holds WHERE export = {quoted(settings.export)};
        CREATE VIEW protected AS
        SELECT subscriber_hash, list_distinct(flatten(list(keys))) AS keys, bool_or(held) AS held_by_others
        FROM (
            SELECT subscriber_hash, list_transform(tags, lambda t: lower(t)) AS keys, true AS held
            FROM holds WHERE export <> {quoted(settings.export)}
            UNION ALL SELECT subscriber_hash, [tag_key], false FROM foreign_tags
        ) GROUP BY subscriber_hash;
        """
    )

    _find_erased(engine, settings)


def _find_erased(engine: Engine, settings: PlanSettings) -> None:
    """A digest for everybody costs 3 s a million on two cores; so none is made when nobody was forgotten."""
    key = settings.forget_key
    if key is None:
        engine.execute("CREATE TEMP TABLE erased (subscriber_hash BLOB)")
        return
    engine.execute(
        f"""
        CREATE TEMP TABLE erased AS
        SELECT DISTINCT subscriber_hash FROM (
            SELECT subscriber_hash, customer_id FROM frame
            UNION ALL SELECT subscriber_hash, customer_id FROM members ANTI JOIN frame USING (subscriber_hash)
        )
        WHERE {key.digest_sql("address", "subscriber_hash")} IN (SELECT digest FROM forgotten WHERE kind = 'address')
           OR {key.digest_sql("customer", "encode(customer_id)")}
              IN (SELECT digest FROM forgotten WHERE kind = 'customer')
        """
    )


def narrow(engine: Engine, chosen: HashRange, *names: str) -> None:
    """Create (or replace) the views ``<name>_here``: *names*, those of the chosen range only."""
    for name in names:
        engine.execute(
            f"CREATE OR REPLACE VIEW {name}_here AS SELECT * FROM {name} WHERE {chosen.holds('subscriber_hash')}"
        )


def keys_of(tags: str) -> str:
    """SQL: the keys (lower case, sorted, each once) of a list of tags."""
    return _KEYS.format(tags=tags)


def _blob(prefix: int) -> str:
    high, low = divmod(prefix, 256)
    return f"'\\x{high:02X}\\x{low:02X}'::BLOB"
