"""What exports.yaml declares besides accounts; the models' descriptions are the reference in docs/exports.md."""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from ci_mailchimp_pipeline.config.connections import Role
from ci_mailchimp_pipeline.config.fields import (
    MergeSource,
    MergeSources,
    Preferences,
    Requirements,
    Schedule,
    ScheduleForm,
    Segment,
    Times,
)
from ci_mailchimp_pipeline.config.phrases import breach, first_repeated, shown
from ci_mailchimp_pipeline.config.rules import AUDIENCE_PATTERN, Id, Text, distinct
from ci_mailchimp_pipeline.config.secrets import Model, SecretRef

AlertKind = Literal["failed", "stopped", "warning", "recovered"]

MAX_PROFILES = 1_000_000  # the original connector's limit for one export

Percent = Annotated[float, Field(ge=0, le=100)]


def _without_default(schema: dict[str, Any]) -> None:
    """Leave it to the schema of the keys inside to say their defaults."""
    del schema["default"]


class Owner(Model):
    """Who answers for an export, and in which role they may use a connection."""

    name: Text = Field(description="A person or a team.", examples=["Ben"])
    role: Role = Field(
        description="The connection's `allowed_roles` must hold it.", examples=["administrator"]
    )


class Guards(Model):
    """Shares above which a run is stopped before anything is sent; null switches a guard off."""

    max_exit_percent: Percent | None = Field(
        default=20, description="Of the members that this export holds now: how many may leave in one run."
    )
    max_rejected_percent: Percent | None = Field(
        default=10, description="Of the profiles: how many may be unfit to be sent."
    )
    max_growth_percent: Annotated[float, Field(ge=0)] | None = Field(
        default=None,
        description="Of the members that this export holds now: how many may be added in one run.",
    )


class ExportKeys(Model):
    """The keys of one export in the file."""

    model_config = ConfigDict(title="Export")

    display_name: Text = Field(description="What people see; may change freely.", examples=["VIP newsletter"])
    connection: Id | None = Field(
        description="Id of a connection; null detaches the export: it stays here and never runs.",
        examples=["newsletter"],
    )
    audience_id: Annotated[str, StringConstraints(pattern=AUDIENCE_PATTERN)] = Field(
        description="The Mailchimp audience. It must exist; it is never created.", examples=["a1b2c3d4e5"]
    )
    owner: Owner = Field(
        description="Who answers for it.", examples=[{"name": "Ben", "role": "administrator"}]
    )
    email: Text = Field(description="The profile column that holds the address.", examples=["EMail"])
    first_name: Text | None = Field(
        default=None, description="The profile column for the merge field FNAME.", examples=["FirstName"]
    )
    last_name: Text | None = Field(
        default=None, description="The profile column for the merge field LNAME.", examples=["LastName"]
    )
    merge_fields: MergeSources = Field(
        default_factory=dict,
        description="More merge fields: merge tag → profile column, `{column, type}`, or an address.",
        examples=[{"CITY": "City", "BIRTHDAY": "DateOfBirth"}],
    )
    segments: Annotated[tuple[Segment, ...], Field(min_length=1)] = Field(
        description="The source's segments to export. A member of several is sent once, with all tags.",
        examples=[["HighValueSegment", {"name": "NewsletterSubscribers", "tag": "Newsletter"}]],
    )
    schedule: ScheduleForm = Field(
        default=Schedule(kind="refresh"),
        json_schema_extra={"default": "refresh"},
        description="`refresh`: after each refresh of the source; `off`: on demand only; or a cron schedule.",
        examples=[{"cron": "0 6 * * *", "timezone": "Europe/Berlin"}],
    )
    require: Requirements = Field(
        default_factory=dict,
        description="Only profiles whose columns hold these values (or one of a list) are sent.",
        examples=[{"EmailSubscriber": True}],
    )
    prefer: Preferences = Field(
        default=(),
        description="Which profile wins when several share an address: columns, each with `asc` "
        "(the default) or `desc`. Profiles that are alike in all of them: the first customer id.",
        examples=[["Income desc"]],
    )
    on_exit: Literal["keep", "remove_tag", "archive"] = Field(
        default="remove_tag", description="What happens to a member who left every segment of the export."
    )
    new_members: Literal["subscribed", "pending"] = Field(
        default="subscribed",
        description="Status of a new member; `pending` is double opt-in: Mailchimp mails each of them first.",
    )
    max_profiles: Annotated[int, Field(ge=1, le=MAX_PROFILES)] = Field(
        default=MAX_PROFILES, description="An export with more profiles is stopped, never cut."
    )
    create_merge_fields: bool = Field(
        default=False, description="Create in the audience the mapped merge fields that it lacks."
    )
    guards: Guards = Field(
        default=Guards(),
        json_schema_extra=_without_default,
        description="Shares above which a run is stopped before anything is sent.",
    )
    fresh_within_hours: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="No successful run for so many hours is a failed freshness check and an alert.",
        examples=[26],
    )
    drift: Times | None = Field(
        default=None,
        description="When to compare the audience with what was written to it; without it only "
        "`ci-mailchimp reconcile` does.",
        examples=[{"cron": "0 4 * * 1", "timezone": "Europe/Berlin"}],
    )
    opt_outs: Times | None = Field(
        default=None,
        description="When to list who may no longer be mailed, for the source to leave out; without it only "
        "`ci-mailchimp optouts` does.",
        examples=[{"cron": "0 5 * * *", "timezone": "Europe/Berlin"}],
    )
    enabled: bool = Field(default=True, description="false: the export never runs.")

    @field_validator("merge_fields")
    @classmethod
    def _names_once(
        cls, merge_fields: dict[str, MergeSource], info: ValidationInfo
    ) -> dict[str, MergeSource]:
        for key, tag in (("first_name", "FNAME"), ("last_name", "LNAME")):
            if tag in merge_fields and info.data.get(key) is not None:
                raise breach(
                    f"'{tag}' is mapped twice: here and by '{key}'", "remove one of the two", at=(tag,)
                )
        return merge_fields

    @field_validator("segments")
    @classmethod
    def _segments_once(cls, segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
        repeated = first_repeated([segment.name for segment in segments])
        if repeated is not None:
            raise breach(
                f"the segment {shown(segments[repeated].name)} is given twice",
                "remove one of the two",
                at=(repeated,),
            )
        return segments


class Export(ExportKeys):
    """One declaration of what goes to which audience under which tags."""

    id: str

    @property
    def fields(self) -> dict[str, MergeSource]:
        """Every mapped merge field: FNAME, LNAME, then the others in the order of their merge tags."""
        named = {"FNAME": self.first_name, "LNAME": self.last_name}
        first = {
            tag: MergeSource(tag=tag, column=column) for tag, column in named.items() if column is not None
        }
        rest = {tag: source for tag, source in sorted(self.merge_fields.items()) if tag not in named}
        return {
            tag: source for tag in named if (source := first.get(tag) or self.merge_fields.get(tag))
        } | rest

    @property
    def columns(self) -> tuple[str, ...]:
        """Every profile column that this export reads, distinct and sorted."""
        mapped = [column for source in self.fields.values() for column in source.columns]
        return tuple(sorted({self.email, *mapped, *self.require, *(one.column for one in self.prefer)}))

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags of this export, distinct, in the order of its segments."""
        return tuple(dict.fromkeys(segment.tag for segment in self.segments))


class Alert(Model):
    """Where a message goes, and about what."""

    to: SecretRef = Field(
        description="Where the address of the receiver is.", examples=[{"env": "ALERT_URL"}]
    )
    on: Annotated[tuple[AlertKind, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=("failed", "stopped", "warning", "recovered"),
        description="What to report. One message per incident.",
    )


class File(Model):
    """Exports of segments to Mailchimp audiences."""

    model_config = ConfigDict(title="exports.yaml")

    version: Literal[1] = Field(description="Of this format.", examples=[1])
    source: dict[str, Any] = Field(
        description="Where profiles and segment membership come from.",
        examples=[
            {
                "type": "files",
                "profiles": "data/unified_profiles.parquet",
                "membership": "data/segment_membership.parquet",
            }
        ],
    )
    connections: dict[Id, dict[str, Any]] = Field(
        default_factory=dict, description="Mailchimp accounts, by id. Administrators own this block."
    )
    defaults: dict[str, Any] = Field(
        default_factory=dict,
        description="Keys of an export, for all exports. What an export says itself wins, key by key; "
        "`guards` also guard by guard.",
    )
    exports: dict[Id, dict[str, Any]] = Field(
        description="Exports, by id. Contributors own this block.", examples=[{"vip_newsletter": {}}]
    )
    alerts: tuple[Alert, ...] = Field(
        default=(), description="Who hears of failed, stopped and doubtful runs."
    )
    sandbox: bool = Field(default=False, description="true: every run is a dry run, whoever starts it.")

    @field_validator("version", mode="before")
    @classmethod
    def _is_a_number(cls, version: object) -> object:
        if version == 1 and type(version) is not int:  # true and 1.0 are equal to 1, too
            raise breach(f"must be 1, not {shown(version)}", "write 1")
        return version
