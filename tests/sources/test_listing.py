"""Paths: which files are meant, and the errors of those that mean none."""

from pathlib import Path

import pytest

from ci_mailchimp_pipeline.errors import FixConfigError, FixDataError, PipelineError
from ci_mailchimp_pipeline.sources.listing import list_files


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with files of all sorts."""
    for name in (
        "b.csv",
        "a.CSV",
        "_SUCCESS",
        ".a.csv.crc",
        ".hidden.csv",
        "_temporary.csv",
        "notes.txt",
        "old/x.csv",
        "p.parquet/part-1.parquet",
        "z/1.csv.gz",
        "z/2.csv.gz",
        "only_folders/x/y.csv",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


@pytest.mark.parametrize(
    ("text", "names", "kind"),
    [
        pytest.param("b.csv", ["b.csv"], "csv", id="file"),
        pytest.param(".hidden.csv", [".hidden.csv"], "csv", id="a hidden file that is named"),
        pytest.param("old", ["old/x.csv"], "csv", id="folder"),
        pytest.param("p.parquet", ["p.parquet/part-1.parquet"], "parquet", id="folder named like a file"),
        pytest.param("z", ["z/1.csv.gz", "z/2.csv.gz"], "csv.gz", id="compressed"),
        pytest.param("*.csv", ["b.csv"], "csv", id="glob"),
        pytest.param("[ab].*", ["a.CSV", "b.csv"], "csv", id="glob without an ending"),
        pytest.param(
            "**/*.csv", ["b.csv", "old/x.csv", "only_folders/x/y.csv"], "csv", id="glob into sub-folders"
        ),
        pytest.param("old/../z/./1*", ["z/1.csv.gz"], "csv.gz", id="a way round"),
    ],
)
def test_paths_mean_files(tree: Path, text: str, names: list[str], kind: str) -> None:
    """A file, a folder or a glob gives its files in order; markers and hidden files are none of them."""
    listing = list_files("profiles", text, tree)

    assert [str(file.relative_to(tree)) for file in listing.files] == names
    assert listing.kind == kind


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        pytest.param("gone.csv", "path_not_found", "does not exist", id="no file"),
        pytest.param("gone", "path_not_found", "does not exist", id="no folder"),
        pytest.param("*.orc", "path_not_found", "file matches", id="no match"),
        pytest.param("only_folders", "path_not_found", "file directly in it", id="only sub-folders"),
        pytest.param("notes.txt", "unknown_file_kind", "neither .parquet nor .csv", id="another kind"),
        pytest.param("**/*.*", "mixed_files", "holds csv and csv.gz and parquet files", id="mixed kinds"),
        pytest.param("s3://bucket/profiles", "remote_path", "s3:// paths need an extra", id="S3"),
        pytest.param(
            "abfss://c@a.dfs.core.windows.net/x", "remote_path", "abfss:// paths need an extra", id="Azure"
        ),
    ],
)
def test_paths_that_mean_nothing_are_configuration_errors(
    tree: Path, text: str, code: str, said: str
) -> None:
    """A path without files says which key it is, what is wrong and what to do."""
    with pytest.raises(FixConfigError) as caught:
        list_files("membership", text, tree)

    assert (caught.value.code, caught.value.exit_code) == (code, 2)
    assert said in caught.value.message
    assert "membership" in caught.value.message
    assert caught.value.fix


def test_the_name_of_a_remote_place_is_not_repeated(tree: Path) -> None:
    """A URL may hold a signature, so only its scheme is shown."""
    with pytest.raises(PipelineError) as caught:
        list_files("profiles", "https://host/x?sig=SECRET", tree)

    assert "SECRET" not in str(caught.value)


def test_unreadable_folder_is_a_data_error(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that the system does not let us list is not a missing one."""

    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(
        Path, "iterdir", refuse
    )  # root may list everything, so the system cannot be asked to refuse

    with pytest.raises(FixDataError, match="Permission denied") as caught:
        list_files("profiles", "old", tree)

    assert (caught.value.code, caught.value.exit_code) == ("source_unreadable", 3)
