"""``exports`` and ``connections``: what is declared, and how it went last."""

import click

from ci_mailchimp_pipeline.cli.options import config_option, json_option, read_config


@click.command(short_help="What is exported, and how it went.")
@json_option(exports=[])
@config_option
def exports(as_json: bool, config_path: str | None) -> None:  # noqa: FBT001
    """List the exports: audience, schedule, owner, and how the last run ended."""
    from ci_mailchimp_pipeline.cli.listing import list_exports
    from ci_mailchimp_pipeline.cli.output import print_json, stdout, styled, table

    listed = list_exports(read_config(config_path))
    if as_json:
        print_json({"exports": [each.as_json() for each in listed]})
        return
    columns = (
        "export",
        "display name",
        "connection",
        "status",
        "last success",
        "#members",
        "schedule",
        "owner",
        "updated by",
    )
    rows = (
        (
            each.export.id,
            each.export.display_name,
            each.export.connection or "detached",
            styled(each.history.status if each.export.enabled else "disabled"),
            each.history.last_success_told,
            f"{each.history.members:,}",
            each.schedule,
            each.export.owner.name,
            each.updated_by,
        )
        for each in listed
    )
    stdout().print(table("", columns, rows))


@click.command(short_help="The Mailchimp accounts, and how it went.")
@json_option(connections=[])
@config_option
def connections(as_json: bool, config_path: str | None) -> None:  # noqa: FBT001
    """List the connections: type, who may use them, consent, and how the last run over them ended."""
    from ci_mailchimp_pipeline.cli.listing import list_connections
    from ci_mailchimp_pipeline.cli.output import print_json, stdout, styled, table

    listed = list_connections(read_config(config_path))
    if as_json:
        print_json({"connections": [each.as_json() for each in listed]})
        return
    columns = (
        "connection",
        "display name",
        "type",
        "status",
        "last success",
        "allowed roles",
        "consent",
        "exports",
        "updated by",
    )
    rows = (
        (
            each.connection.id,
            each.connection.display_name,
            each.connection.type,
            styled(each.history.status),
            each.history.last_success_told,
            ", ".join(each.connection.allowed_roles),
            each.consent_told,
            ", ".join(each.exports),
            each.updated_by,
        )
        for each in listed
    )
    stdout().print(table("", columns, rows))
