"""What must be known of Mailchimp before anything is decided (P12): account, audience, fields, tags."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from ci_mailchimp_pipeline.config import Config, Export
from ci_mailchimp_pipeline.errors import FixConfigError, Problem
from ci_mailchimp_pipeline.frame.fields import MergeField, field_problems
from ci_mailchimp_pipeline.mailchimp import endpoints
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceFacts:
    """What the audience is like; holds no personal data, so it may lie beside the frame.

    Attributes:
        fields: The audience's merge fields, and those that this export may create.
        missing_fields: Merge tags to create first, with their type (``create_merge_fields``).
        requests: What it cost to find out.
    """

    account_id: str
    account_name: str
    audience_id: str
    audience_name: str
    web_id: int
    double_optin: bool
    marketing_permissions: bool
    subscribed: int
    fields: tuple[MergeField, ...]
    missing_fields: Mapping[str, str]
    requests: int

    @property
    def by_tag(self) -> dict[str, MergeField]:
        """The merge fields by their merge tag."""
        return {field.tag: field for field in self.fields}

    def matter_to(self, export: Export) -> tuple[str, str, list[MergeField]]:
        """What a frame of *export* is validated against: whose audience it is, and the fields sent or required."""
        fields = [field for field in self.fields if field.tag in export.fields or field.required]
        return self.account_id, self.audience_id, fields

    def warnings(self, export: Export) -> list[str]:
        """What a person should know although nothing is wrong."""
        found = []
        if self.marketing_permissions:
            found.append(
                "the audience has GDPR marketing permissions on: new members get none, because Mailchimp's "
                "500-member call cannot set them"
            )
        if self.double_optin and export.new_members == "subscribed":
            found.append(
                "the audience asks for double opt-in, and new_members is 'subscribed': they are added without "
                "confirming; 'pending' would make Mailchimp mail each new member once"
            )
        return found

    def save(self, path: Path) -> None:
        """Write it as JSON, private to the owner."""
        path.touch(mode=0o600)
        path.write_bytes(msgspec.json.encode(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> "AudienceFacts":
        """Read what ``save`` wrote."""
        raw: dict[str, Any] = msgspec.json.decode(path.read_bytes())
        raw["fields"] = tuple(
            MergeField(**{**each, "choices": tuple(each["choices"])}) for each in raw["fields"]
        )
        return cls(**raw)


def read_audience(client: MailchimpClient, config: Config, export: Export) -> AudienceFacts:
    """Read account, audience and merge fields, and compare them with the declaration; writes nothing.

    Raises:
        FixConfigError: The audience does not exist, or lacks a merge field, or one has another type.
    """
    before = client.requests
    account = endpoints.account(client)
    audience = endpoints.audience(client, export.audience_id)
    listed = endpoints.merge_fields(client, export.audience_id)
    fields = {
        field.tag: MergeField(
            tag=field.tag,
            type=field.type,
            name=field.name,
            required=field.required,
            choices=field.choices,
            date_format=field.date_format,
        )
        for field in listed.fields
    }
    missing: dict[str, str] = {}
    if export.create_merge_fields:
        for tag, source in export.fields.items():
            if tag not in fields:
                missing[tag] = source.type or ("address" if source.address else "text")
                fields[tag] = MergeField(tag=tag, type=missing[tag], name=tag)
    problems = field_problems(export, fields, config.place)
    if listed.limit is not None and missing and len(fields) > listed.limit:
        problems.append(
            Problem(
                f"export '{export.id}' would create {len(missing)} merge fields, and the audience may hold "
                f"{listed.limit} in all ({len(listed.fields)} are there)",
                "map fewer merge fields, or delete unused ones in Mailchimp",
                config.place("exports", export.id, "create_merge_fields"),
            )
        )
    if problems:
        raise FixConfigError("merge_fields", problems[0].message, problems=problems)
    return AudienceFacts(
        account_id=account.account_id,
        account_name=account.account_name,
        audience_id=audience.id,
        audience_name=audience.name,
        web_id=audience.web_id,
        double_optin=audience.double_optin,
        marketing_permissions=audience.marketing_permissions,
        subscribed=audience.member_count,
        fields=tuple(fields.values()),
        missing_fields=missing,
        requests=client.requests - before,
    )


def count_contacts(client: MailchimpClient, audience_id: str, billed_here: int) -> int:
    """Count the contacts that Mailchimp bills: subscribed, unsubscribed and pending, of all audiences.

    The numbers of the other audiences may be five minutes old (Mailchimp caches list statistics).
    """
    others = (each for each in endpoints.audiences(client) if each.id != audience_id)
    return billed_here + sum(each.member_count + each.unsubscribe_count for each in others)
