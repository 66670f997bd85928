"""Each guard compares one number with one limit, and its message names the key to change."""

from datetime import date
from pathlib import Path

import pytest

from ci_mailchimp_pipeline.config import Connection, Consent, Export, Guards, Owner, SecretRef, Segment
from ci_mailchimp_pipeline.errors import SafetyStopError
from ci_mailchimp_pipeline.plan.guards import (
    Allowances,
    Upstream,
    frame_guards,
    permission_guards,
    plan_guards,
    source_guards,
    stop_if_any,
)
from ci_mailchimp_pipeline.plan.model import Calls, Counts, Plan


def connection(**changes):
    keys = {
        "id": "main", "type": "mailchimp", "display_name": "Main", "api_key": SecretRef(env="KEY"), "token": None,
        "allowed_roles": ("administrator",), "contact_limit": None, "max_connections": 8, "api_root": None,
        "consent": Consent(agreed_by="ana", agreed_on=date(2026, 11, 23)),
    }  # fmt: skip
    return Connection(**{**keys, **changes})


def export(role="administrator", **changes):
    keys = {
        "id": "vip", "display_name": "VIP", "connection": "main", "audience_id": "a1b2c3d4e5",
        "owner": Owner(name="ben", role=role), "email": "EMail", "segments": (Segment(name="Vip", tag="Vip"),),
    }  # fmt: skip
    return Export(**{**keys, **changes})


def plan(*, held=0, growing=0, held_by_tag=None, **counts):
    return Plan(
        folder=Path("/nowhere"), plan_id="x", counts=Counts(**counts), calls=Calls(), held=held, growing=growing,
        held_by_tag=held_by_tag or {},
    )  # fmt: skip


def stopped(guards):
    return [guard.guard for guard in guards if guard.stopped]


def test_without_consent_nothing_is_sent():
    """The connection's consent is a guard of its own."""
    assert stopped(permission_guards(export(), connection(consent=None))) == ["consent"]
    assert stopped(permission_guards(export(), connection())) == []


def test_a_role_that_the_connection_does_not_allow_is_stopped():
    """A contributor needs the administrator's leave."""
    assert stopped(permission_guards(export(role="contributor"), connection())) == ["allowed_roles"]


def test_over_the_profile_limit_is_stopped_not_cut_off():
    """One more than the limit stops; the limit itself does not."""
    assert stopped(frame_guards(export(max_profiles=5), Counts(profiles=6))) == ["max_profiles"]
    assert stopped(frame_guards(export(max_profiles=5), Counts(profiles=5))) == []


def test_a_rejection_rate_at_the_limit_is_fine_and_over_it_is_not():
    """10 % of 100 is allowed, 11 % is not."""
    assert stopped(frame_guards(export(), Counts(profiles=100, rejected=10))) == []
    assert stopped(frame_guards(export(), Counts(profiles=100, rejected=11))) == ["max_rejected_percent"]


def test_a_mass_exit_is_stopped_unless_allowed_for_once():
    """21 of 100 leave; the limit is 20; --allow-exit-percent 21 lets it pass."""
    leaving = plan(held=100, exited=21)

    assert stopped(plan_guards(export(), connection(), leaving, Allowances(), contacts=None)) == [
        "max_exit_percent"
    ]
    allowed = Allowances(exit_percent=21)
    assert stopped(plan_guards(export(), connection(), leaving, allowed, contacts=None)) == []


def test_the_first_run_has_no_exits_and_no_growth():
    """With nobody held there is no percentage."""
    first = plan(held=0, growing=50, added=50)
    strict = export(guards=Guards(max_exit_percent=0, max_growth_percent=0))

    assert stopped(plan_guards(strict, connection(), first, Allowances(), contacts=None)) == []


def test_growth_over_its_limit_is_stopped():
    """6 join 10, the limit is 50 %."""
    growing = plan(held=10, growing=6, added=6)
    strict = export(guards=Guards(max_growth_percent=50))

    assert stopped(plan_guards(strict, connection(), growing, Allowances(), contacts=None)) == [
        "max_growth_percent"
    ]


def test_passing_the_contact_limit_is_stopped():
    """90 contacts and 11 new ones pass a limit of 100."""
    limited = connection(contact_limit=100)

    assert stopped(plan_guards(export(), limited, plan(added=11), Allowances(), contacts=90)) == [
        "contact_limit"
    ]
    assert stopped(plan_guards(export(), limited, plan(added=10), Allowances(), contacts=90)) == []


def test_an_empty_source_is_stopped():
    """No profiles at all is a broken refresh, also on the first run."""
    nothing = Upstream(customers=0, segments={}, found={})

    assert "empty_source" in stopped(source_guards(export(), nothing, plan(), Allowances()))


@pytest.mark.parametrize(("segments", "guard"), [({"Vip": 3}, "empty_segment"), ({}, "missing_segment")])
def test_a_segment_that_emptied_or_vanished_is_stopped_unless_allowed(segments, guard):
    """People did not leave, something broke: only --allow-empty lets it pass."""
    upstream = Upstream(customers=9, segments=segments, found={"Vip": 0})
    holding = plan(held=9, held_by_tag={"vip": 9})

    assert stopped(source_guards(export(), upstream, holding, Allowances())) == [guard]
    assert (
        stopped(source_guards(export(), upstream, holding, Allowances(empty_segments=frozenset({"Vip"}))))
        == []
    )


def test_a_segment_that_was_always_empty_is_not_stopped():
    """Nobody is held under its tag, so nobody can be lost."""
    upstream = Upstream(customers=9, segments={"Vip": 0}, found={"Vip": 0})

    assert stopped(source_guards(export(), upstream, plan(), Allowances())) == []


def test_the_error_names_the_number_and_the_key():
    """The first stopped guard is the code; its fix is the key to change."""
    guards = frame_guards(export(max_profiles=5), Counts(profiles=6))

    with pytest.raises(SafetyStopError) as caught:
        stop_if_any(guards)

    assert caught.value.code == "max_profiles"
    assert "the limit is 5 (max_profiles)" in caught.value.message
    assert "exports.vip.max_profiles" in caught.value.fix
