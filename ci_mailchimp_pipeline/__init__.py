"""Segments of unified customer profiles to Mailchimp audiences: declared in YAML, run by Dagster."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ci_mailchimp_pipeline.component import MailchimpExports

__all__ = ["MailchimpExports"]


def __getattr__(name: str) -> Any:
    """The component, which brings Dagster with it, when somebody asks for it."""
    if name == "MailchimpExports":
        from ci_mailchimp_pipeline.component import MailchimpExports

        return MailchimpExports
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """What Dagster's registry of components looks through."""
    return [*globals(), *__all__]
