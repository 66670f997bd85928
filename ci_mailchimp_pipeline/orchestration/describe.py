"""What the page says about an export before it ever ran; Markdown."""

import re

from ci_mailchimp_pipeline.config import Config, Export
from ci_mailchimp_pipeline.pipeline.planning import connection_of

# Narrower than Dagster's own idea of an address, which refuses top-level domains of more than 7 letters.
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}")


def owners(export: Export) -> list[str]:
    """The owner as Dagster takes it: an e-mail address, or nobody."""
    return [export.owner.name] if _EMAIL.fullmatch(export.owner.name) else []


def frame_description(export: Export) -> str:
    """What the frame holds, and from where."""
    mapped = [f"| {tag} | {_plain(', '.join(source.columns))} |" for tag, source in export.fields.items()]
    lines = [
        f"Who of **{_plain(export.display_name)}** is to be in the audience, validated: one row an address.",
        "Rows that are unfit are kept beside it, each with its reason.",
    ]
    if export.require:
        told = ", ".join(f"{column} = {_value(value)}" for column, value in export.require.items())
        lines.append(f"Only profiles with {_plain(told)}.")
    lines += ["", "| merge field | column |", "|---|---|", f"| EMAIL | {_plain(export.email)} |", *mapped]
    return "\n".join(lines)


def sync_description(config: Config, export: Export) -> str:
    """What a run does to the audience."""
    connection = connection_of(config, export)
    tags = [f"| {_plain(segment.name)} | {_plain(segment.tag)} |" for segment in export.segments]
    return "\n".join(
        [
            f"Brings audience `{export.audience_id}` of **{_plain(connection.display_name)}** in line with the frame:",
            "plan, guards, then as few requests as possible.",
            f"Who left every segment: `on_exit: {export.on_exit}`.",
            "`dry_run: true` in the launchpad decides and sends nothing.",
            "",
            "| segment | tag |",
            "|---|---|",
            *tags,
        ]
    )


def _value(value: object) -> str:
    """A value of ``require`` as it stands in the file."""
    if isinstance(value, tuple):
        return " or ".join(_value(each) for each in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _plain(text: str) -> str:
    return re.sub(r"([|*_`\[\]<>\\])", r"\\\1", text)
