"""P11: blank is not a value."""

import pytest
from harness import AUDIENCE, Project, address
from promises.promised import bodies, member, quiet, run

ADA, BEN = address(1), address(2)

FIELDS = [
    "FNAME",
    "LNAME",
    "CITY",
    {"tag": "INCOME", "name": "Income", "type": "number"},
    {"tag": "BORN", "name": "Born", "type": "date"},
    {"tag": "BDAY", "name": "Birthday", "type": "birthday"},
    {"tag": "HOME", "name": "Home", "type": "address"},
    {"tag": "ZIP", "name": "Zip", "type": "zip"},
    {"tag": "PHONE", "name": "Phone", "type": "phone"},
    {"tag": "SITE", "name": "Site", "type": "url"},
    {"tag": "TIER", "name": "Tier", "type": "dropdown", "options": {"choices": ["high", "low"]}},
]


def typed(project: Project) -> None:
    project.emulator.reset([{"id": AUDIENCE, "merge_fields": FIELDS}], switches={"record_bodies": True})


def fields(project: Project, who: str = ADA) -> dict[str, object]:
    return dict(member(project, who)["merge_fields"])


def test_a_field_that_nobody_maps_is_never_sent(project):
    """What people have in Mailchimp in fields that are not ours stays through changes and moves."""
    project.customers([1, 2])
    run(project)
    project.emulator.people("change_field", AUDIENCE, ADA, merge_fields={"CITY": "Ghent"})
    project.customer("c00001", ADA, FirstName="Changed")
    run(project)

    assert fields(project)["CITY"] == "Ghent"
    assert all("CITY" not in body["merge_fields"] for body in bodies(project))


def test_an_empty_column_never_blanks_what_mailchimp_holds(project):
    """A foreign member's own value stays when the profile has none, on the first run and after changes."""
    project.export("vip", merge_fields={"CITY": "City"})
    project.emulator.add_member(AUDIENCE, ADA, merge_fields={"CITY": "Ghent"})
    project.customer("c1", ADA, City="")
    project.customers([2])
    run(project)
    project.customer("c1", ADA, City=" \u00a0", FirstName="Changed")
    run(project)

    assert fields(project) == {"FNAME": "Changed", "LNAME": "Lastc1", "CITY": "Ghent"}


@pytest.mark.both_ledgers
def test_a_value_that_we_sent_and_that_became_empty_is_cleared_once(project):
    """It was ours and is gone from the profile: cleared in Mailchimp; after that the field is the person's."""
    project.export("vip", merge_fields={"CITY": "City"})
    project.customer("c1", ADA, City="Ghent")
    project.customers([2])
    run(project)
    project.customer("c1", ADA, City="")
    cleared = run(project)
    then = fields(project)
    project.emulator.people("change_field", AUDIENCE, ADA, merge_fields={"CITY": "Bruges"})
    project.customer("c1", ADA, City="", FirstName="Changed")

    run(project)

    assert cleared.counts.updated == 1
    assert then["CITY"] == ""
    assert fields(project) == {"FNAME": "Changed", "LNAME": "Lastc1", "CITY": "Bruges"}
    quiet(project)


def test_each_type_of_field_is_written_and_cleared(project):
    """Number, date, birthday, address, zip, phone, url and dropdown: the value arrives, and goes when it is gone."""
    typed(project)
    columns = {
        "INCOME": ("Income", "1234.50", 1234.5),
        "BORN": ("City", "1986-08-05", "1986-08-05"),
        "BDAY": ("City", "1986-08-05", "08/05"),
        "ZIP": ("City", "01234", "01234"),
        "PHONE": ("City", "+32 9 123 45 67", "+32 9 123 45 67"),
        "SITE": ("City", "https://contoso-mail.internal/a?b=c", "https://contoso-mail.internal/a?b=c"),
        "TIER": ("City", "high", "high"),
    }
    for tag, (column, text, read_back) in columns.items():
        name = f"of_{tag.lower()}"
        who = f"{tag.lower()}@contoso-mail.internal"
        project.export(name, segments=[name], first_name=None, last_name=None, merge_fields={tag: column})
        project.exports = {name: project.exports[name]}
        project.customer(name, who, name, **{column: text})
        run(project, name)
        assert fields(project, who)[tag] == read_back
        project.customer(name, who, name, **{column: ""})
        run(project, name)
        assert fields(project, who)[tag] == "", tag


def test_an_address_is_written_whole_and_cleared_whole(project):
    """All four required parts have a value, or the row is rejected; all empty clears what we had sent."""
    typed(project)
    parts = {"addr1": "FirstName", "city": "City", "state": "LastName", "zip": "Income"}
    project.export("vip", first_name=None, last_name=None, merge_fields={"HOME": parts})
    project.customer("c1", ADA, FirstName="Main Street 1", City="Ghent", LastName="East", Income="9000")
    project.customer("c2", BEN, FirstName="Side Street 2", City="", LastName="West", Income="9001")

    first = run(project)
    written = fields(project)["HOME"]
    project.customer("c1", ADA, FirstName="", City="", LastName="", Income="")
    run(project)

    assert first.rejected_reasons == {"invalid_merge_value": 1}
    assert {key: written[key] for key in parts} == {
        "addr1": "Main Street 1",
        "city": "Ghent",
        "state": "East",
        "zip": "9000",
    }
    assert fields(project)["HOME"] == ""


def test_a_mapping_that_is_removed_leaves_the_values(project):
    """No longer ours to say: what was sent stays, and later changes do not touch it."""
    project.export("vip", merge_fields={"CITY": "City"})
    project.customer("c1", ADA, City="Ghent")
    project.customers([2])
    run(project)
    project.export("vip", merge_fields={})
    run(project)
    project.customer("c1", ADA, City="Bruges", FirstName="Changed")
    run(project)

    assert fields(project) == {"FNAME": "Changed", "LNAME": "Lastc1", "CITY": "Ghent"}
    quiet(project)


def test_a_field_cleared_while_the_address_changes_is_cleared(project):
    """A move carries the clearing along."""
    project.export("vip", merge_fields={"CITY": "City"})
    project.customer("c1", ADA, City="Ghent")
    project.customers([2])
    run(project)
    project.customer("c1", "ada.new@contoso-mail.internal", City="")

    report = run(project)

    assert report.counts.moved == 1
    assert fields(project, "ada.new@contoso-mail.internal")["CITY"] == ""
