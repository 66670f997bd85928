"""What becomes of the files: a person's rows go, everybody else's stay as they were, and the next step can go on."""

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from forget.conftest import ANN
from harness import address, key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci_mailchimp_pipeline.engine import Engine, open_engine, quoted
from ci_mailchimp_pipeline.errors import FixConfigError
from ci_mailchimp_pipeline.frame.build import load_frame
from ci_mailchimp_pipeline.orchestration.forgetting import forget
from ci_mailchimp_pipeline.pipeline.scrubbing import Scrubbed, Scrubber
from ci_mailchimp_pipeline.pipeline.traces import Traces, found_in
from ci_mailchimp_pipeline.sources.snapshots import load_snapshot

TRACES = Traces(
    addresses=(ANN,), hashes=(key(ANN),), customers=frozenset({"ann"}), forgotten=frozenset({"ann"})
)
NAMING = [
    ANN, ANN.upper(), f"<{ANN}>", f"Ann <{ANN}>, Ben", f"'{ANN}'", f"mailto:{ANN}?subject=x", f"{ANN}.", f"{ANN};{ANN}",
    "https://contoso-mail.internal/?e=ann.lee%40contoso-mail.internal", key(ANN).hex(), key(ANN).hex().upper(),
    f"…{ANN}\n",
]  # fmt: skip
OTHERS = [
    f"jo{ANN}", f"jo.{ANN}", f"o'{ANN}", f"x_{ANN}", f"x+{ANN}", f"{ANN}.uk", f"{ANN}s", f"{ANN}-2", "ann.lee@contoso",
    "annxlee@contoso-mail.internal", "", "ann", key(f"jo{ANN}").hex(),
]  # fmt: skip


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine for whoever only asks."""
    with open_engine(tmp_path_factory.mktemp("engine")) as engine:
        yield engine


@pytest.mark.parametrize("text", NAMING)
def test_text_that_names_the_person_is_found_and_cut(engine: Engine, text: str, tmp_path: Path) -> None:
    """In any case, in brackets, quotes or links, as address or as hash; by bytes and by row, and nothing is left."""
    (tmp_path / "notes.txt").write_text(f"before\n{text}\nafter", encoding="utf-8")
    named, cut = engine.execute(f"SELECT {TRACES.named_sql(quoted(text))}, {TRACES.cut_sql(quoted(text))}")[0]

    assert found_in(tmp_path / "notes.txt", TRACES) == 1
    assert named
    assert not TRACES.names(cut.encode())
    assert "ann.lee" not in cut.lower()


@pytest.mark.parametrize("text", OTHERS)
def test_text_that_names_somebody_else_is_not_touched(engine: Engine, text: str, tmp_path: Path) -> None:
    """Longer addresses, other domains and other hashes belong to other people."""
    (tmp_path / "notes.txt").write_text(f"before\n{text}\nafter", encoding="utf-8")
    named, cut = engine.execute(f"SELECT {TRACES.named_sql(quoted(text))}, {TRACES.cut_sql(quoted(text))}")[0]

    assert found_in(tmp_path / "notes.txt", TRACES) == 0
    assert not named
    assert cut == text


@pytest.mark.parametrize("offset", [0, 1, (1 << 20) - 40, (1 << 20) - 10, (1 << 20) - 1, 1 << 20, 3 << 20])
@pytest.mark.parametrize("content", [ANN.upper().encode(), key(ANN)], ids=["address", "hash"])
def test_a_large_file_is_searched_to_its_last_byte(tmp_path: Path, offset: int, content: bytes) -> None:
    """A find may lie across the pieces in which a file is read."""
    file = tmp_path / "large.bin"
    file.write_bytes(b"\n" * offset + content)

    assert found_in(file, TRACES) == 1


def test_what_names_the_person_does_not_show_it() -> None:
    """By what a person is found is in no repr."""
    assert "ann" not in repr(TRACES).lower()


people = st.lists(
    st.tuples(
        st.sampled_from(["ann", "c1", "c2", None]),
        st.sampled_from([ANN, address(1), address(2), f"jo{ANN}"]),
        st.one_of(st.none(), st.sampled_from([*NAMING, *OTHERS]), st.text(max_size=5)),
        st.lists(st.sampled_from(["Vip", "News"]), max_size=2),
    ),
    max_size=12,
)


@given(rows=people)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_everybody_elses_rows_stay_as_they_were(
    rows: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Rows of the person go; rows of others keep their order, types and values, but for the address in their text."""
    folder = tmp_path_factory.mktemp("law")
    schema = {"row": pl.Int64, "customer_id": pl.String, "subscriber_hash": pl.Binary, "p_Note": pl.String,
              "tags": pl.List(pl.String), "filled": pl.String}  # fmt: skip
    frame = pl.DataFrame(
        [(number, who, key(mail), note, tags, "") for number, (who, mail, note, tags) in enumerate(rows)],
        schema=schema, orient="row",
    )  # fmt: skip
    file = folder / "people.parquet"
    frame.write_parquet(file)
    done = Scrubbed()

    with open_engine(folder) as engine:
        engine.execute("SET preserve_insertion_order = true")
        scrubber = Scrubber(engine=engine, traces=TRACES)
        scrubber.scrub(folder, [file], done)
        left = scrubber.left(file)

    theirs = (pl.col("customer_id") == "ann").fill_null(value=False) | (pl.col("subscriber_hash") == key(ANN))
    kept = frame.filter(~theirs)
    now = pl.read_parquet(file)
    named = [note is not None and TRACES.names(note.encode()) for note in kept["p_Note"]]
    assert left == 0
    assert done.rows == frame.height - kept.height
    assert done.cut == sum(named)
    assert now.drop("p_Note").equals(kept.drop("p_Note"))
    for was, became, cut in zip(kept["p_Note"], now["p_Note"], named, strict=True):
        assert cut or was == became


def test_snapshots_and_frames_can_be_used_afterwards(world: Any) -> None:
    """Manifests fit the files, counts add up, the order is that of the hash, and modes are private."""
    before = {
        path: load_frame(path) for path in world.home.glob("frames/*/*") if (path / "manifest.json").exists()
    }
    ages = {path: path.stat().st_mtime for path in world.home.glob("snapshots/*/manifest.json")}

    world.forget()

    for path, was in before.items():
        now = load_frame(path)
        rows = pl.read_parquet(now.frame_path)
        hers = 2 if "Vip" in was.segments else 1  # and the row with her address twice
        assert rows.height == now.accepted == was.accepted - 1
        assert now.profiles == now.accepted + now.rejected + now.merged + now.excluded == was.profiles - hers
        assert now.rejected == sum(now.rejected_reasons.values()) == pl.read_parquet(now.rejected_path).height
        assert rows["subscriber_hash"].is_sorted()
        assert now.digest != was.digest
        assert path.joinpath("frame.parquet").stat().st_mode & 0o077 == 0
    for manifest, age in ages.items():
        snapshot = load_snapshot(manifest.parent)
        assert "ann" not in pl.read_parquet(snapshot.membership_path)["customer_id"].to_list()
        assert pl.read_parquet(snapshot.customers_path).height == snapshot.customers
        assert manifest.stat().st_mtime == age, "which snapshots are kept goes by when they were used"


def test_a_note_about_the_person_in_another_ones_row_is_cut_out(world: Any) -> None:
    """The other one stays in the snapshot and in the audience; only the address is gone from the text."""
    world.project.export("vip", merge_fields={"CITY": "City"}, create_merge_fields=True)
    world.project.customer("c00002", address(2), "Vip", City=f"lives with {ANN.upper()} in Bonn")
    assert world.project.run("vip").error is None

    world.forget()

    (snapshot,) = (
        path
        for path in world.home.glob("snapshots/*/profiles.parquet")
        if "p_City" in pl.read_parquet_schema(path)
    )
    texts = dict(pl.read_parquet(snapshot).select("customer_id", "p_City").rows())
    assert texts["c00002"] == "lives with  in Bonn"
    assert world.traces() == []


@pytest.mark.parametrize(
    "name",
    ["frames/vip/*/frame.parquet", "frames/vip/*/plan/posts/*.parquet"],
)
def test_a_damaged_file_is_deleted(world: Any, name: str) -> None:
    """Nobody can say what a file holds that cannot be read, or is not the one its manifest describes."""
    damaged = next(iter(world.home.glob(name)))
    damaged.write_bytes(damaged.read_bytes()[:-8])

    world.forget()

    assert not damaged.exists()
    assert any("damaged file" in place.done for place in world.done[-1].places)
    assert world.traces() == []
    assert world.project.run("vip").error is None


def test_what_killed_runs_left_is_deleted(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drafts here, and folders of commands that died an hour ago; a young one is somebody's who is still looking."""
    temporary = tmp_path / "tmp"
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    frame = next(iter(world.home.glob("frames/vip/*/frame.parquet")))
    draft = world.home / "snapshots" / ".0123456789abcdef-01234567.0a0b0c0d.partial"
    old, young, other = (
        temporary / f"ci-mailchimp-{name}" for name in ("plan-abcd_123", "abcd_456", "demo-abcd_789")
    )
    for folder in (draft, old, young, other):
        folder.mkdir(parents=True)
        shutil.copy(frame, folder)
    for folder in (old, other):
        os.utime(folder, (time.time() - 7_200, time.time() - 7_200))

    places = world.forget()

    assert [folder.exists() for folder in (draft, old, young, other)] == [False, False, True, True]
    assert places["unfinished files"].found == 2


@pytest.mark.sqlite_only
def test_a_file_that_is_not_ours_is_named_and_left(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup in the state folder holds the person: everything else is erased, exit 2 says what to delete."""
    monkeypatch.setenv("MAILCHIMP_API_KEY", world.project.environ["MAILCHIMP_API_KEY"])
    shutil.copy(world.home / "ledger.sqlite", world.home / "ledger.backup.sqlite")
    (world.home / f"{ANN}.txt").write_text(f"asked by {ANN}")
    config = world.project.write()

    first = forget(config, ANN)
    for name in ("ledger.backup.sqlite", f"{ANN}.txt"):
        (world.home / name).unlink()
    second = forget(config, ANN)

    assert isinstance(first.error, FixConfigError)
    assert (first.error.code, first.error.exit_code) == ("person_left", 2)
    assert "ledger.backup.sqlite" in first.error.fix
    assert ANN not in json.dumps(first.as_json())
    assert ANN not in world.project.members()
    assert second.error is None
    assert second.as_json()["forgotten"] is True


def test_an_account_without_a_connection_is_told(world: Any) -> None:
    """The ledger knows her in an account that no connection leads to any more: that is for a person to do."""
    del world.project.exports["partner"], world.project.more_connections["partners"]

    world.forget()

    (far,) = (place for place in world.done[-1].places if "no connection" in place.done)
    assert far.found == 1
    assert far.left
    assert world.traces() == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (ANN.upper(), 1),
        (f"{'x ' * 9_000}{ANN}{' y' * 9_000}", 1),
        (f"jo{ANN}", 0),
        (f"{ANN}x", 0),
        (key(ANN), 1),
    ],
    ids=["address", "on several pages", "neighbour", "longer", "hash"],
)
def test_a_database_is_searched_value_by_value(tmp_path: Path, text: str | bytes, found: int) -> None:
    """In its bytes one value runs into the next, and a long one is in pieces."""
    file = tmp_path / "some.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute('CREATE TABLE "some ""people""" (before, "the text", after)')
        database.execute('INSERT INTO "some ""people""" VALUES (?, ?, ?)', ("before", text, "after"))
        database.commit()

    assert found_in(file, TRACES) == found


def test_a_damaged_database_counts_as_what_its_bytes_say(tmp_path: Path) -> None:
    """Rather too much than too little: a person looks."""
    file = tmp_path / "some.db"
    file.write_bytes(b"SQLite format 3\0" + b"\xff" * 100 + f"jo{ANN}".encode())

    assert found_in(file, TRACES) == 1
