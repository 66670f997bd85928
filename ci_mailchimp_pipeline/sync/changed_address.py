"""Find whose address was changed in Mailchimp, among those who are gone."""

from collections.abc import Mapping

from ci_mailchimp_pipeline.engine import Engine, identifier
from ci_mailchimp_pipeline.frame.fields import MergeField
from ci_mailchimp_pipeline.sync.values import comparable_sql
from ci_mailchimp_pipeline.sync.whole import there_sql


def find_changed_addresses(engine: Engine, fields: Mapping[str, MergeField]) -> None:
    """Make ``changed``: people who are gone, and there again under an address that nobody of us wrote.

    The ledger keeps no id of Mailchimp's that would outlive an address. What tells a person then: the values of
    all merge fields, which nobody else in the frame has, on somebody unknown who carries all of their tags,
    which nobody but us gives. Whatever the status: an opt-out under the new address must not come back under
    the old one.

    Args:
        engine: Has ``found``, ``mine``, ``protected``, ``frame``, ``members``, ``whole`` and ``tagged``.
        fields: The mapped merge fields; those of type address are not compared.
    """
    plain = {tag: field for tag, field in fields.items() if field.type != "address"}
    engine.execute("CREATE TEMP TABLE changed (subscriber_hash BLOB)")
    if not plain or not engine.one("SELECT count(*) FROM found WHERE missing"):
        return
    filled = " OR ".join(f"f.{_column(tag)} IS NOT NULL" for tag in plain)
    strangers = "(FROM whole ANTI JOIN members USING (subscriber_hash) WHERE len(tags) > 0 OR NOT all_tags)"
    engine.execute(
        f"""
        CREATE TEMP TABLE gone AS
        SELECT n.subscriber_hash, h.keys, {_content("f", plain)} AS content
        FROM found n JOIN mine h USING (subscriber_hash) JOIN frame f USING (subscriber_hash)
        WHERE n.missing AND f.fingerprint = h.fingerprint AND len(h.keys) > 0 AND ({filled});
        CREATE TEMP TABLE twice AS
        SELECT content FROM (SELECT {_content("f", plain)} AS content FROM frame f)
        SEMI JOIN gone USING (content) GROUP BY content HAVING count(*) > 1;
        CREATE TEMP TABLE strangers AS
        SELECT content, any_value(given) AS given FROM (
            SELECT {_content("s", plain)} AS content,
                   list_filter(s.carried, lambda k: NOT list_contains(coalesce(p.keys, []), k)) AS given
            FROM ({there_sql(strangers, "tagged")}) s LEFT JOIN protected p USING (subscriber_hash)
        ) GROUP BY content HAVING count(*) = 1;
        INSERT INTO changed
        SELECT g.subscriber_hash FROM gone g ANTI JOIN twice USING (content) JOIN strangers s USING (content)
        WHERE list_has_all(s.given, g.keys)
        """
    )


def _content(alias: str, fields: Mapping[str, MergeField]) -> str:
    """SQL: all values of a row as one text."""
    values = (comparable_sql(field, f"{alias}.{_column(tag)}") for tag, field in fields.items())
    texts = ", ".join(f"coalesce({value}, '')" for value in values)
    return f"CAST(to_json([{texts}]) AS VARCHAR)"


def _column(tag: str) -> str:
    return identifier(f"mf_{tag}")
