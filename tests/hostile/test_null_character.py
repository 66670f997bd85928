"""The character U+0000, which PostgreSQL cannot store: the same over both ledgers, wherever it comes from."""

import json
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from harness import Project, address
from kept_frame import keep_frame
from promises.promised import hurried, kept

from ci_mailchimp_pipeline.cli.app import app
from ci_mailchimp_pipeline.config import load_config
from ci_mailchimp_pipeline.errors import FixConfigError
from ci_mailchimp_pipeline.pipeline.forgetting import Forgetting

ANN = "ann@contoso-mail.internal"


@pytest.fixture
def written(project: Project) -> Project:
    """Two customers whose ids hold it, and one whose name does; a segment that nobody asked for, too."""
    project.customers(range(2))
    project.customer("c00001\0", address(7))
    project.customer("a\0nn", ANN, "Vip", "Vip\0")
    project.customer("c00002", address(2), FirstName="Be\0n")
    return project


@pytest.mark.both_ledgers
def test_a_customer_id_that_holds_it_is_rejected(written: Project) -> None:
    """The row is counted and named, everybody else is sent, and the next run changes nothing."""
    report = kept(written.run())

    assert report.rejected_reasons == {"malformed_customer_id": 2}
    assert report.counts.added == 3
    assert set(written.members()) == {address(0), address(1), address(2)}
    assert written.members()[address(2)]["merge_fields"]["FNAME"] == "Ben"
    assert written.plan().writes == 0


@pytest.mark.both_ledgers
def test_a_guard_stops_a_source_that_begins_to_write_it(written: Project) -> None:
    """Whoever pads all ids with it has lost nobody: too many rows are rejected, and nothing is sent."""
    kept(written.run())
    written.export("vip", guards={"max_rejected_percent": 50})
    written.people = {key.rstrip("\0") + "\0": row for key, row in written.people.items()}
    written.segments["Vip"] = list(written.people)
    written.emulator.forget_requests()

    report = written.run()

    assert report.error is not None
    assert report.error.code == "max_rejected_percent"
    assert written.writes() == 0


@pytest.mark.both_ledgers
def test_such_a_person_is_explained_and_forgotten(written: Project) -> None:
    """Looking for an id that no ledger can hold finds nothing, and is no error."""
    kept(written.run())
    keep_frame(written)
    config = written.write()
    arguments = ["--config", str(config.path), "explain", "vip", ANN, "--json"]

    said: Any = json.loads(CliRunner().invoke(app, arguments, env=written.environ).stdout)
    forgetting = Forgetting(
        config=config,
        address=ANN,
        environ=written.environ,
        connect=lambda config, _, environ: hurried(config, config.exports["vip"], environ),
    )
    forgetting.carry_out()

    assert (said["verdict"], said["reason"]) == ("rejected", "malformed_customer_id")
    assert {place.place: place.found for place in forgetting.places}["ledger"] == 0
    assert kept(written.run()).rejected_reasons["malformed_customer_id"] >= 1


@pytest.mark.parametrize(
    "segment", ["Vip\0", {"name": "Vip", "tag": "V\0ip"}, {"name": "V\0ip", "tag": "Vip"}]
)
def test_a_segment_or_a_tag_that_holds_it_is_a_problem_of_the_file(written: Project, segment: Any) -> None:
    """Exit 2 with its place, before anything is read."""
    path = written.write().path
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["exports"]["vip"]["segments"] = [segment]
    path.write_text(yaml.safe_dump(document), encoding="utf-8")  # as an escape, "\0": YAML has no other way

    with pytest.raises(FixConfigError) as caught:
        load_config(path, environ=written.environ)

    assert "segments" in str(caught.value)
    assert "\0" not in str(caught.value)
