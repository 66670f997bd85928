"""What the tests of the configuration share: one valid file, a source that needs no module, a loader."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from ci_mailchimp_pipeline.config import Config, SecretRef, load_config

VALID = """\
version: 1
source: {type: memory, rows: 5}
connections:
  mc:
    type: mailchimp
    display_name: Account
    api_key: {env: MAILCHIMP_API_KEY}
exports:
  vip:
    display_name: VIP
    connection: mc
    audience_id: a1b2c3d4e5
    owner: {name: Ben, role: administrator}
    email: EMail
    segments: [High]
"""

LoadText = Callable[..., Config]


class MemoryOptions(BaseModel):
    """Options as a source plugin of somebody else would declare them."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    rows: int = Field(ge=0)
    url: SecretRef | None = None
    label: str = Field(default="-", min_length=1)


class MemorySource:
    """A source plugin: all that the configuration needs of it is its options."""

    Options = MemoryOptions


@pytest.fixture
def plugins() -> dict[str, type]:
    """The source types that are installed."""
    return {"memory": MemorySource}


@pytest.fixture
def valid() -> str:
    """The smallest file that is right."""
    return VALID


@pytest.fixture
def load_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugins: dict[str, type]) -> LoadText:
    """Return a function that writes its text to exports.yaml in the current folder and reads it."""
    monkeypatch.chdir(tmp_path)

    def load(text: str | bytes, environ: dict[str, str] | None = None, **more: Any) -> Config:
        Path("exports.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_config(environ=environ or {}, **{"plugins": plugins, **more})

    return load
