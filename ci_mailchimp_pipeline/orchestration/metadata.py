"""What Dagster stores and shows of a step: numbers, links and a summary; never a row."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from ci_mailchimp_pipeline.config import Config, Export
from ci_mailchimp_pipeline.frame.build import Frame
from ci_mailchimp_pipeline.frame.fields import MergeField
from ci_mailchimp_pipeline.frame.schema import frame_schema
from ci_mailchimp_pipeline.orchestration.rejected import rejected_rows
from ci_mailchimp_pipeline.orchestration.summary import numbers_table, told
from ci_mailchimp_pipeline.pipeline.planning import FACTS, authorization_of, connection_of
from ci_mailchimp_pipeline.pipeline.report import Report
from ci_mailchimp_pipeline.sources.snapshots import Snapshot
from ci_mailchimp_pipeline.sync.preflight import AudienceFacts

SHOWN_REJECTED = 20
SHORT = (
    16  # letters of a hash: the page is as wide as its longest value, and the tag of the run has all of it
)
SEGMENTS_READ = "segments_read"  # whose members a snapshot holds
COLUMNS_READ = "columns"  # of the profiles that a snapshot holds

_COLUMNS = {
    "subscriber_hash": "MD5 of the lower-cased address: Mailchimp's key of a member",
    "customer_id": "of the profile that was kept for this address",
    "email_address": "as it is sent: trimmed, in the case it was written",
    "tags": "of every chosen segment that the person is in",
    "fingerprint": "MD5 of all merge fields: another one means that they are sent again",
    "filled": "the merge tags that have a value",
}


def snapshot_metadata(config: Config, snapshot: Snapshot, needed: tuple[str, ...]) -> dict[str, Any]:
    """Of both upstream assets."""
    return {
        "version": snapshot.version,
        "path": dg.MetadataValue.path(str(snapshot.folder.relative_to(config.home))),
        SEGMENTS_READ: dg.MetadataValue.json(list(needed)),
    }


def profiles_metadata(snapshot: Snapshot) -> dict[str, Any]:
    """Of ``unified_profiles``."""
    return {
        "dagster/row_count": snapshot.profiles,
        "customers_upstream": snapshot.customers,
        COLUMNS_READ: dg.MetadataValue.json(list(snapshot.columns)),
    }


def reads_segments(made: Mapping[str, dg.MetadataValue], export: Export) -> bool:
    """Whether the snapshot of which these are the metadata was read for every segment of *export*."""
    return {segment.name for segment in export.segments} <= _names(made, SEGMENTS_READ)


def reads_all(made: Mapping[str, dg.MetadataValue], export: Export) -> bool:
    """Whether it was read for every segment of *export* and holds every column that it names."""
    return reads_segments(made, export) and set(export.columns) <= _names(made, COLUMNS_READ)


def _names(made: Mapping[str, dg.MetadataValue], key: str) -> set[str]:
    listed = made[key].value if key in made else ()
    return set(listed if isinstance(listed, list) else ())


def membership_metadata(snapshot: Snapshot, needed: tuple[str, ...]) -> dict[str, Any]:
    """Of ``segment_membership``: the customers of each segment that some export chose."""
    chosen = {name: snapshot.segments.get(name, 0) for name in needed}
    return {
        "dagster/row_count": sum(chosen.values()),
        "segments_upstream": len(snapshot.segments),
        "segments": dg.MetadataValue.md(numbers_table(("segment", "customers"), chosen)),
    }


def frame_metadata(
    config: Config, export: Export, frame: Frame, fields: Mapping[str, MergeField], snapshot: Snapshot
) -> dict[str, Any]:
    """Of ``export_frame``."""
    return {
        "dagster/row_count": frame.accepted,
        "dagster/column_schema": _column_schema(export, fields),
        "profiles": frame.profiles,
        "excluded": frame.excluded,
        "rejected": frame.rejected,
        "merged": frame.merged,
        "accepted": frame.accepted,
        "no_profile": frame.no_profile,
        "cut_values": frame.cut_values,
        "segments": dg.MetadataValue.md(numbers_table(("segment", "profiles found"), frame.segments)),
        "rejected_reasons": dg.MetadataValue.md(
            numbers_table(("reason", "profiles"), frame.rejected_reasons)
        ),
        "version": snapshot.version,
        "path": dg.MetadataValue.path(str(frame.folder.relative_to(config.home))),
    }


def sync_metadata(config: Config, export: Export, report: Report, frame: Frame) -> dict[str, Any]:
    """Of ``mailchimp_sync``: every count as a number, so that Dagster plots it."""
    facts = AudienceFacts.load(frame.folder / FACTS)
    audience = _audience(config, export, facts)
    found: dict[str, Any] = {
        **{name: dg.MetadataValue.md(text) for name, text in told(report, export).items()},
        "dry_run": report.dry_run,
        "audience": f"{facts.audience_name} ({facts.audience_id})",
        **report.counts.as_json(),
        "members": report.members,
        "requests": report.requests,
        "writes": report.writes,
        "seconds": round(report.seconds, 3),
        **{f"seconds_{name}": round(seconds, 3) for name, seconds in report.steps.items()},
        "plan_id": report.plan_id or "",
        "config_hash": config.digest[:SHORT],
    }
    if audience:
        found["audience_in_mailchimp"] = dg.MetadataValue.url(audience)
    if frame.rejected:
        found["rejected_rows"] = _rejected(frame.rejected_path)
    return found


def _audience(config: Config, export: Export, facts: AudienceFacts) -> str | None:
    """The page of the audience in Mailchimp; None for the local Mailchimp, which has none."""
    connection = connection_of(config, export)
    center = None if connection.api_root else authorization_of(config, connection).data_center
    return f"https://{center}.admin.mailchimp.com/lists/members/?id={facts.web_id}" if center else None


def _rejected(path: Path) -> dg.TableMetadataValue:
    rows = rejected_rows(path, limit=SHOWN_REJECTED)
    return dg.MetadataValue.table(
        records=[
            dg.TableRecord({"row": row.row or 0, "reason": row.reason, "field": row.field or ""})
            for row in rows
        ],
        schema=dg.TableSchema(
            columns=[dg.TableColumn("row", "int"), dg.TableColumn("reason"), dg.TableColumn("field")]
        ),
    )


def _column_schema(export: Export, fields: Mapping[str, MergeField]) -> dg.TableSchema:
    schema = frame_schema(export, fields)
    says = _COLUMNS | {
        f"mf_{tag}": f"{fields[tag].type} merge field {tag}, from {', '.join(source.columns)}"
        for tag, source in export.fields.items()
    }
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name,
                str(column.dtype),
                description=says.get(name, column.description),
                constraints=dg.TableColumnConstraints(
                    nullable=column.nullable,
                    unique=column.unique,
                    other=[str(check.name) for check in column.checks if check.name],
                ),
            )
            for name, column in schema.columns.items()
        ]
    )
