"""What a plan starts from: what the ledger knows of an audience, and what Mailchimp shows of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ci_mailchimp_pipeline.ledger import LedgerFiles
from ci_mailchimp_pipeline.mailchimp import endpoints
from ci_mailchimp_pipeline.mailchimp.answers import Tag
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.plan.build import count_strangers
from ci_mailchimp_pipeline.sync.seen import Seen, read_seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The ledger's files, the audience's tags by key, and who is in the audience."""

    state: LedgerFiles
    tags: Mapping[str, Tag]
    seen: Seen


def look(
    client: MailchimpClient,
    audience_id: str,
    state: LedgerFiles,
    *,
    frame: Path,
    into: Path,
    needs_count: bool,
) -> Known:
    """Read as much of the audience as a plan for *frame* needs; writes below *into*.

    Args:
        client: The account.
        audience_id: The audience.
        state: What the ledger knows of it.
        frame: The accepted rows.
        into: A private folder.
        needs_count: Whether it matters how many are subscribed.
    """
    strangers, members = count_strangers(frame, state.members, state.refusals, into)
    tags = endpoints.tags(client, audience_id)
    seen = read_seen(
        client,
        audience_id,
        into / "seen",
        first_contact=members == 0,
        needs_subscribed=strangers > 0 or needs_count,
    )
    return Known(state=state, tags=tags, seen=seen)
