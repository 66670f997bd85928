"""The refusals: each compares one number with one limit, and names the key that changes the limit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ci_mailchimp_pipeline.config import Connection, Export
from ci_mailchimp_pipeline.errors import SafetyStopError
from ci_mailchimp_pipeline.keys import tag_key
from ci_mailchimp_pipeline.plan.model import Counts, Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """One guard's verdict. ``value`` and ``limit`` are people or percent, as the guard's name says."""

    guard: str
    value: float
    limit: float | None
    stopped: bool
    message: str = ""
    fix: str = ""

    def as_json(self) -> dict[str, object]:
        """The entry of ``guards`` in ``plan --json``."""
        return {"guard": self.guard, "value": self.value, "limit": self.limit, "stopped": self.stopped}


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowances:
    """What a person allowed for this one run."""

    exit_percent: float | None = None
    empty_segments: frozenset[str] = frozenset()


NO_ALLOWANCES = Allowances()


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """What the refresh holds: all profiles, rows per segment that exists, chosen segments' profiles found."""

    customers: int
    segments: Mapping[str, int]
    found: Mapping[str, int]


def permission_guards(export: Export, connection: Connection) -> list[Guard]:
    """Consent and role: without them nothing is ever sent over the connection."""
    agreed = connection.consent is not None
    allowed = export.owner.role in connection.allowed_roles
    return [
        Guard(
            guard="consent",
            value=int(agreed),
            limit=1,
            stopped=not agreed,
            message=f"connection '{connection.id}' has no consent: nobody agreed to send personal data over it",
            fix=f"an administrator adds consent: {{agreed_by, agreed_on}} to connections.{connection.id}",
        ),
        Guard(
            guard="allowed_roles",
            value=int(allowed),
            limit=1,
            stopped=not allowed,
            message=(
                f"export '{export.id}' is owned by a {export.owner.role}, and connection '{connection.id}' "
                f"allows only: {', '.join(connection.allowed_roles)}"
            ),
            fix=f"an administrator adds {export.owner.role} to connections.{connection.id}.allowed_roles",
        ),
    ]


def frame_guards(export: Export, counts: Counts) -> list[Guard]:
    """Profile limit and rejection rate: judged on the frame alone."""
    limit = export.guards.max_rejected_percent
    rejected = _percent(counts.rejected, counts.profiles)
    return [
        Guard(
            guard="max_profiles",
            value=counts.profiles,
            limit=export.max_profiles,
            stopped=counts.profiles > export.max_profiles,
            message=(
                f"{counts.profiles:,} profiles are in the segments of export '{export.id}', "
                f"the limit is {export.max_profiles:,} (max_profiles). Nothing is cut off, nothing was sent"
            ),
            fix=f"choose smaller segments, or raise exports.{export.id}.max_profiles (at most 1,000,000)",
        ),
        Guard(
            guard="max_rejected_percent",
            value=round(rejected, 2),
            limit=limit,
            stopped=_over(rejected, limit),
            message=(
                f"{counts.rejected:,} of {counts.profiles:,} profiles of export '{export.id}' are rejected "
                f"({rejected:.1f} %), the limit is {_plain(limit)} % (max_rejected_percent)"
            ),
            fix=f"see ci-mailchimp rejected {export.id}, or raise exports.{export.id}.guards.max_rejected_percent",
        ),
    ]


def source_guards(export: Export, upstream: Upstream, plan: Plan, allowances: Allowances) -> list[Guard]:
    """An empty source, or a segment that emptied or vanished: something broke, people did not leave."""
    guards = [
        Guard(
            guard="empty_source",
            value=upstream.customers,
            limit=1,
            stopped=upstream.customers == 0,
            message=f"the source holds no profiles at all, and export '{export.id}' needs some",
            fix="look at the refresh upstream, then run again",
        )
    ]
    for segment in export.segments:
        held = plan.held_by_tag.get(tag_key(segment.tag), 0)
        found = upstream.found.get(segment.name, 0)
        exists = segment.name in upstream.segments
        name = "empty_segment" if exists else "missing_segment"
        guards.append(
            Guard(
                guard=name,
                value=found,
                limit=1 if held else 0,
                stopped=found == 0 and held > 0 and segment.name not in allowances.empty_segments,
                message=(
                    f"segment '{segment.name}' {'has no profiles' if exists else 'is not in the source any more'}, "
                    f"and export '{export.id}' holds {held:,} members under its tag"
                ),
                fix=(
                    "look at the segment upstream; if it is meant, run once with "
                    f"--allow-empty {segment.name}"
                ),
            )
        )
    return guards


def plan_guards(
    export: Export, connection: Connection, plan: Plan, allowances: Allowances, *, contacts: int | None
) -> list[Guard]:
    """Mass exit, growth and the contact limit: judged on what the plan would change.

    Args:
        contacts: What Mailchimp bills the account for now; None when no limit is declared.
    """
    counts = plan.counts
    exit_limit = (
        allowances.exit_percent if allowances.exit_percent is not None else export.guards.max_exit_percent
    )
    exits = _percent(counts.exited, plan.held)
    growth_limit = export.guards.max_growth_percent
    growth = _percent(plan.growing, plan.held)
    guards = [
        Guard(
            guard="max_exit_percent",
            value=round(exits, 2),
            limit=exit_limit,
            stopped=_over(exits, exit_limit),
            message=(
                f"{counts.exited:,} of the {plan.held:,} members that export '{export.id}' holds would leave "
                f"({exits:.1f} %), the limit is {_plain(exit_limit)} % (max_exit_percent)"
            ),
            fix=(
                f"check the source; if it is meant, run once with --allow-exit-percent {_ceil(exits)}, "
                f"or raise exports.{export.id}.guards.max_exit_percent"
            ),
        ),
        Guard(
            guard="max_growth_percent",
            value=round(growth, 2),
            limit=growth_limit,
            stopped=_over(growth, growth_limit),
            message=(
                f"{plan.growing:,} members would join the {plan.held:,} that export '{export.id}' holds "
                f"({growth:.1f} %), the limit is {_plain(growth_limit)} % (max_growth_percent)"
            ),
            fix=f"check the source, or raise exports.{export.id}.guards.max_growth_percent",
        ),
    ]
    if connection.contact_limit is not None and contacts is not None:
        after = contacts + counts.added - counts.archived
        guards.append(
            Guard(
                guard="contact_limit",
                value=after,
                limit=connection.contact_limit,
                stopped=after > connection.contact_limit,
                message=(
                    f"the account has {contacts:,} contacts and would have {after:,}, "
                    f"connection '{connection.id}' allows {connection.contact_limit:,} (contact_limit)"
                ),
                fix=f"raise the Mailchimp plan and connections.{connection.id}.contact_limit, or export fewer people",
            )
        )
    return guards


def all_guards(
    export: Export,
    connection: Connection,
    upstream: Upstream,
    plan: Plan,
    allowances: Allowances,
    *,
    contacts: int | None,
) -> tuple[Guard, ...]:
    """Every verdict on a run, in the order in which they are shown; *contacts* as in ``plan_guards``."""
    return (
        *permission_guards(export, connection),
        *frame_guards(export, plan.counts),
        *source_guards(export, upstream, plan, allowances),
        *plan_guards(export, connection, plan, allowances, contacts=contacts),
    )


def stop_if_any(guards: Sequence[Guard]) -> None:
    """Raise what `stop_of` finds.

    Raises:
        SafetyStopError: With the first stopped guard as its code.
    """
    if stop := stop_of(guards):
        raise stop


def stop_of(guards: Sequence[Guard]) -> SafetyStopError | None:
    """The first stopped guard as an error that lists all of them; None when all passed."""
    stopped = [guard for guard in guards if guard.stopped]
    if not stopped:
        return None
    message = "; ".join(guard.message for guard in stopped)
    return SafetyStopError(stopped[0].guard, f"{message}. Nothing was sent.", fix=stopped[0].fix)


def expect_plan(plan: Plan, wanted: str | None, *, again: str) -> None:
    """Stop when somebody asked for another plan than *plan*; *again* is the command that shows it.

    Raises:
        SafetyStopError: ``plan_changed``.
    """
    if wanted is not None and wanted != plan.plan_id:
        raise SafetyStopError(
            "plan_changed",
            f"the plan is {plan.plan_id} now, not {wanted}: the source, Mailchimp or the ledger changed since. "
            "Nothing was sent.",
            fix=f"look at it again: ci-mailchimp {again}",
        )


def _over(value: float, limit: float | None) -> bool:
    return limit is not None and value > limit


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else 0.0


def _plain(limit: float | None) -> str:
    return "off" if limit is None else f"{limit:g}"


def _ceil(percent: float) -> int:
    return min(100, int(-(-percent // 1)))
