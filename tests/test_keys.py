"""The keys of tags are those that DuckDB makes of them, whatever the letters."""

from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci_mailchimp_pipeline.keys import tag_key

_CASED = st.text(st.characters(categories=["Lu", "Lt", "Ll", "Mn"]), max_size=8)
_ANY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """The engine, for single values."""
    with duckdb.connect() as opened:
        yield opened


@settings(deadline=None, max_examples=50)
@given(
    st.lists(_CASED | _ANY | st.sampled_from(["İstanbul", "ΟΔΟΣ", "ß", "Straße"]), min_size=1, max_size=50)
)
def test_a_tag_has_one_key_in_python_and_in_the_engine(
    connection: duckdb.DuckDBPyConnection, names: list[str]
) -> None:
    """Else a tag would be known by the plan and unknown to the sync, and created again."""
    found = connection.execute("SELECT list_transform(?, lambda name: lower(name))", [names]).fetchall()

    assert [tag_key(name) for name in names] == found[0][0]
