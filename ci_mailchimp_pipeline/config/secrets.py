"""References to secrets: where a key is found, never the key."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from ci_mailchimp_pipeline.config.phrases import breach
from ci_mailchimp_pipeline.config.rules import ENV_PATTERN, Text
from ci_mailchimp_pipeline.errors import FixConfigError

_FIX = "write {env: NAME} and put the value into the environment variable, or {file: PATH}"


class Model(BaseModel):
    """Base of all that is read from exports.yaml: frozen, exact about types and keys, no values in errors."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        validate_default=True,
    )


class SecretRef(Model):
    """Where a secret is: an environment variable, or a file. Exactly one of the two."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    env: Annotated[str, StringConstraints(pattern=ENV_PATTERN)] | None = Field(
        default=None,
        description="Name of the environment variable that holds the value.",
        examples=["MAILCHIMP_API_KEY"],
    )
    file: Text | None = Field(
        default=None,
        description="Path of the file that holds the value, relative to this file.",
        examples=[".ci_mailchimp/newsletter.token"],
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_inline(cls, data: Any) -> Any:
        if isinstance(data, str | int | float):
            raise breach(
                "a secret must not stand in this file; a reference to it must",
                f"{_FIX}; a key that was here is known: renew it",
            )
        return data

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise breach("a reference to a secret names either 'env' or 'file', one of them", _FIX)
        return self

    def resolve(self, *, folder: Path, environ: Mapping[str, str]) -> str:
        """Return the secret without the newline at its end, read anew each time so that a new key is seen.

        Args:
            folder: What a relative path is relative to.
            environ: The environment variables.

        Raises:
            FixConfigError: ``missing_secret``: the variable is not set, the file not readable, or blank.
        """
        if self.env is not None:
            where, value = f"environment variable {self.env}", environ.get(self.env)
            fix = f"set {self.env} where the pipeline runs (Dagster's daemon and page, too)"
        else:
            path = folder / Path(self.file or "").expanduser()
            where, value = f"file {path}", _read(path)
            fix = (
                "create the file, readable for the pipeline and nobody else, with the secret as its only line"
            )
        if value is None or not value.strip():
            state = (
                "is not set"
                if self.env is not None and value is None
                else "cannot be read"
                if value is None
                else "is empty"
            )
            raise FixConfigError(
                "missing_secret", f"the {where}, which should hold a secret, {state}", fix=fix
            )
        return value.rstrip("\r\n")


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError):  # ValueError: not UTF-8
        return None
