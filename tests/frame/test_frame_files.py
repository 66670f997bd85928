"""The files of a frame: private, complete, and none but those that were checked."""

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from frame.ada import ADA

from ci_mailchimp_pipeline.config import Export
from ci_mailchimp_pipeline.errors import FixConfigError, FixDataError
from ci_mailchimp_pipeline.frame.build import build_frame, load_frame

Build = Callable[..., Any]


def test_frame_is_private_and_complete(build: Build) -> None:
    """Only the owner can read it, and nothing but the three files is there."""
    folder = build([ADA]).frame.folder

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {(path.name, stat.S_IMODE(path.stat().st_mode)) for path in folder.iterdir()} == {
        ("frame.parquet", 0o600),
        ("rejected.parquet", 0o600),
        ("manifest.json", 0o600),
    }


def test_a_frame_is_loaded_as_it_was_built(build: Build) -> None:
    """The counts come back from the manifest."""
    frame = build([ADA, {"id": "c2", "EMail": ""}]).frame

    assert load_frame(frame.folder) == frame


@pytest.mark.parametrize("name", ["frame.parquet", "rejected.parquet"])
def test_a_frame_that_changed_is_not_good(build: Build, name: str) -> None:
    """A file that is not the one that was checked is never sent."""
    path = build([ADA]).frame.folder / name
    path.write_bytes(path.read_bytes() + b"x")

    with pytest.raises(FixDataError, match=f"{name} changed after it was written") as caught:
        load_frame(path.parent)

    assert caught.value.code == "frame_not_good"


@pytest.mark.parametrize("name", ["frame.parquet", "manifest.json"])
def test_a_frame_that_is_not_complete_is_not_good(build: Build, name: str) -> None:
    """Without its manifest or a file it counts as absent."""
    folder = build([ADA]).frame.folder
    (folder / name).unlink()

    with pytest.raises(FixDataError, match="is not complete") as caught:
        load_frame(folder)

    assert caught.value.code == "frame_not_good"


def test_building_again_replaces_the_frame(
    export: Callable[..., Export], snapshot: Callable[..., Any], tmp_path: Path
) -> None:
    """A retry of the same run writes over its own files and leaves others alone."""
    into = tmp_path / "run"
    first = build_frame(export(), snapshot(tmp_path, [ADA]), {}, into)
    (into / "audience.json").write_text("{}")

    second = build_frame(
        export(), snapshot(tmp_path, [ADA, ADA | {"id": "c2", "EMail": "b@contoso-mail.internal"}]), {}, into
    )

    assert (first.accepted, second.accepted) == (1, 2)
    assert (into / "audience.json").exists()


def test_a_column_that_the_snapshot_lacks_is_named(
    export: Callable[..., Export], snapshot: Callable[..., Any], tmp_path: Path
) -> None:
    """A snapshot that was taken for other needs is a clear error, and nothing is written."""
    upstream = snapshot(tmp_path, [ADA])

    with pytest.raises(FixConfigError, match="export 'vip': the snapshot has no column 'Shoe'") as caught:
        build_frame(export(prefer=("Shoe",)), upstream, {}, tmp_path / "run")

    assert caught.value.code == "unknown_column"
    assert not (tmp_path / "run").exists()
