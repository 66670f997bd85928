"""``explain`` says of each person what the plan says of all of them together."""

from collections import Counter

from harness import AUDIENCE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PEOPLE = 8
# What may become of a person between two runs, and of whom Mailchimp knows something before the first.
BEFORE = ("nothing", "subscribed", "unsubscribed", "cleaned", "archived", "pending", "deleted")
DURING = ("wanted", "not_consented", "malformed", "reserved", "other_segment", "refused", "shared")
AFTER = (
    "nothing",
    "unsubscribe",
    "bounce",
    "archive",
    "moved",
    "changed",
    "left",
    "gone",
    "delete_permanent",
)
STORY = st.tuples(st.sampled_from(BEFORE), st.sampled_from(DURING), st.sampled_from(AFTER))


def _written(number, during):
    local = f"refused{number}" if during == "refused" else f"person{number}"
    domain = {"malformed": "", "reserved": "@example.com"}.get(during, "@contoso-mail.internal")
    return f"{local}{domain}"


def _begin(project, stories):
    project.emulator.reset([{"id": AUDIENCE}], switches={"too_many_signups": "^refused"})
    project.people.clear()
    project.segments = {"Vip": [], "News": []}
    project.export("vip", require={"EmailSubscriber": True})
    for number, (before, during, _) in enumerate(stories):
        address = _written(number, during)
        if before != "nothing" and during not in ("malformed", "reserved"):
            status = "subscribed" if before == "deleted" else before
            project.emulator.add_member(AUDIENCE, address, status=status)
            if before == "deleted":
                project.emulator.people("delete_permanent", AUDIENCE, address)
        segment = "News" if during == "other_segment" else "Vip"
        consent = "false" if during == "not_consented" else "true"
        project.customer(f"c{number}", address, segment, EmailSubscriber=consent)
        if during == "shared":
            project.customer(f"z{number}", address.upper())


def _go_on(project, stories):
    for number, (_, during, after) in enumerate(stories):
        address, customer = _written(number, during), f"c{number}"
        if after in ("unsubscribe", "bounce", "archive", "delete_permanent"):
            if address in project.members():
                project.emulator.people(after, AUDIENCE, address)
        elif after == "moved" and "@contoso" in address:
            project.people[customer]["EMail"] = f"moved.{address}"
        elif after == "changed":
            project.people[customer]["City"] = "Bonn"
            project.people[customer]["FirstName"] = "Changed"
        elif after == "left" and customer in project.segments["Vip"]:
            project.leave(customer)
        elif after == "gone":
            del project.people[customer]


@settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(stories=st.lists(STORY, min_size=PEOPLE, max_size=PEOPLE))
def test_explain_agrees_with_the_plan(desk, stories):
    """Whatever happened to people before, the verdicts one by one add up to the counts of a dry run."""
    _begin(desk.project, stories)
    desk.run()
    _go_on(desk.project, stories)
    report = desk.run(dry_run=True)

    addresses = {row["EMail"].lower() for row in desk.project.people.values()}
    found = [desk.ask(address) for address in sorted(addresses)]

    def reasons(verdict):
        return Counter(each["reason"] for each in found if each["verdict"] == verdict)

    assert reasons("rejected") == Counter(report.rejected_reasons)
    assert reasons("suppressed") == Counter(report.suppressed_reasons)
    assert reasons("refused") == Counter(report.refused_reasons)
    settled = {None, "missing_in_mailchimp", "tag_missing"}
    assert sum(reasons("member")[reason] for reason in settled) == report.counts.unchanged
    sent = report.counts.added + report.counts.updated + report.counts.moved
    assert reasons("member")["not_sent"] == sent
