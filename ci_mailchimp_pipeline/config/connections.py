"""Mailchimp accounts as exports.yaml declares them; their descriptions are the reference in docs/exports.md."""

import re
from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from ci_mailchimp_pipeline.config.phrases import breach, shown
from ci_mailchimp_pipeline.config.rules import Text, check_api_root, distinct
from ci_mailchimp_pipeline.config.secrets import Model, SecretRef

Role = Literal["administrator", "contributor"]

MAX_CONNECTIONS = 10  # Mailchimp: simultaneous connections of one account


def _as_date(value: object) -> date:
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(
            value if isinstance(value, str) and re.fullmatch(r"[0-9-]{10}", value) else ""
        )
    except ValueError:
        raise breach(f"must be a date, not {shown(value)}", "write year-month-day, like 2026-11-23") from None


class Consent(Model):
    """Who agreed, for the organisation, that personal data go to Mailchimp, and when."""

    agreed_by: Text = Field(description="Who agreed.", examples=["Ana, data protection"])
    agreed_on: Annotated[date, BeforeValidator(_as_date)] = Field(
        description="The day on which they agreed: year-month-day.", examples=["2026-11-23"]
    )


class ConnectionKeys(Model):
    """The keys of one connection in the file."""

    model_config = ConfigDict(title="Connection")

    type: Literal["mailchimp"] = Field(description="The kind of account.", examples=["mailchimp"])
    display_name: Text = Field(
        description="What people see; may change freely.", examples=["Contoso newsletter account"]
    )
    api_key: SecretRef | None = Field(
        default=None,
        description="Where the API key is. Either this or `token`.",
        examples=[{"env": "MAILCHIMP_API_KEY"}],
    )
    token: SecretRef | None = Field(
        default=None,
        validate_default=True,
        description="Where `ci-mailchimp connect` stored the OAuth token, instead of `api_key`.",
        examples=[{"file": ".ci_mailchimp/newsletter.token"}],
    )
    allowed_roles: Annotated[tuple[Role, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=("administrator",), description="Whose exports may use it."
    )
    consent: Consent | None = Field(
        default=None,
        description="Data privacy and compliance. Without it nothing is ever sent over this connection.",
    )
    contact_limit: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="How many contacts the Mailchimp plan allows. A run that would pass it is stopped.",
        examples=[50000],
    )
    max_connections: Annotated[int, Field(ge=1, le=MAX_CONNECTIONS)] = Field(
        default=8, description="Requests at once. Mailchimp allows 10 for one account; leave room for others."
    )
    api_root: Annotated[Text, AfterValidator(check_api_root)] | None = Field(
        default=None,
        description="Another address of the API: https, or http to this machine for the emulator.",
        examples=["http://127.0.0.1:8899/3.0"],
    )

    @field_validator("token")
    @classmethod
    def _one_credential(cls, token: SecretRef | None, info: ValidationInfo) -> SecretRef | None:
        if "api_key" in info.data and (token is None) == (info.data["api_key"] is None):
            both = (
                "both 'api_key' and 'token' are given" if token else "neither 'api_key' nor 'token' is given"
            )
            raise breach(
                f"{both}; a connection has one of them",
                "write api_key: {env: MAILCHIMP_API_KEY}, or the token that `ci-mailchimp connect` stored",
            )
        return token


class Connection(ConnectionKeys):
    """One Mailchimp account, and who may use it."""

    id: str
