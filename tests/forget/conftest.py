"""A project over two accounts in which Ann is everywhere, and a search that knows nothing of how she is erased."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from harness import AUDIENCE, Project, address, key
from ledgers import copy_of_ledger, ledger_files
from promises.promised import Hurried

from ci_mailchimp_pipeline.config import Config, Connection
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.pipeline.forgetting import Forgetting
from ci_mailchimp_pipeline.pipeline.planning import authorization_of
from ci_mailchimp_pipeline.sync.forget import Place
from ci_mailchimp_pipeline.testing import Emulator

ANN = "ann.lee@contoso-mail.internal"
SPELLED = "  Ann.Lee@CONTOSO-Mail.internal\u00a0"
NEWS, PARTNERS = "b2c3d4e5f6", "c3d4e5f6a7"
PARTNERS_ACCOUNT = "0123456789abcdef012345678"


def hurried(config: Config, connection: Connection, environ: Any) -> MailchimpClient:
    """A client whose waiting is over at once."""
    return MailchimpClient(
        api_root=connection.api_root or "",
        authorization=authorization_of(config, connection, environ),
        clock=Hurried(),
    )


@dataclass
class World:
    """The project, and what to do about one person in it."""

    project: Project
    partners: Emulator
    done: list[Forgetting] = field(default_factory=list)

    @property
    def home(self) -> Path:
        """The state folder."""
        return self.project.folder / ".ci_mailchimp"

    def forget(self, address: str = SPELLED, **more: Any) -> dict[str, Place]:
        """Erase, and return what was done by place; the last one of a name."""
        erasure = Forgetting(
            config=self.project.write(), address=address, environ=self.project.environ,
            **{"connect": hurried, **more},
        )  # fmt: skip
        self.done.append(erasure)
        erasure.carry_out()
        return {place.place: place for place in erasure.places}

    def run_all(self) -> None:
        """Run every export, and look at the laws."""
        for export in self.project.exports:
            report = self.project.run(export)
            assert report.error is None, report.error
            assert report.counts.is_balanced()

    def traces(self, address: str = ANN) -> list[str]:
        """Every file of the state folder that holds the person, and every file of the ledger's database."""
        ledger = [path.name for path in ledger_files(self.project.environ) if named_in(path, address)]
        return [*traces_of(self.home, address), *ledger]

    def writes(self) -> list[dict[str, Any]]:
        """What was written to either account since the last ``forget_requests``, deletions too."""
        return [*self.project.emulator.writes(), *self.partners.writes()]

    def forget_requests(self) -> None:
        """Begin new recordings."""
        self.project.emulator.forget_requests()
        self.partners.forget_requests()


@dataclass(frozen=True)
class Grown:
    """The state folder and both accounts, after the first run of every export."""

    home: Path
    audiences: list[Any]
    partners: list[Any]
    environ: dict[str, str]


def declared(folder: Path, emulator: Emulator, partners: Emulator) -> Project:
    """Three exports into two accounts; Ann, nine others, a neighbour in name, and a row with her address twice."""
    project = Project(folder, emulator)
    project.more_connections["partners"] = {**project.connection, "api_root": partners.url}
    project.export("news", audience_id=NEWS, segments=["News"])
    project.export("partner", audience_id=PARTNERS, connection="partners", segments=["Vip"])
    project.customers(range(9), "Vip")
    project.customer("c00008", address(8), "Vip", "News")
    project.customer("ann", ANN, "Vip", "News", LastName="Zzyzx")
    project.customer("joann", f"jo{ANN}", "Vip")
    project.customer("twice", f"{ANN} {ANN}", "Vip")
    return project


@pytest.fixture(scope="session")
def partners_server() -> Iterator[Emulator]:
    """The second account."""
    with Emulator.start() as partners:
        yield partners


@pytest.fixture(scope="session")
def grown(
    tmp_path_factory: pytest.TempPathFactory,
    mailchimp_emulator_server: Emulator,
    partners_server: Emulator,
    ledger_kind: str,
) -> Grown:
    """What every test begins with, made once."""
    emulator, partners = mailchimp_emulator_server, partners_server
    emulator.reset()
    emulator.add_audience(AUDIENCE)
    emulator.add_audience(NEWS)
    emulator.add_member(NEWS, ANN.upper(), source="Hosted Signup Form", tags=["Club"])
    partners.reset(switches={"account_id": PARTNERS_ACCOUNT})
    partners.add_audience(PARTNERS)
    project = declared(tmp_path_factory.mktemp("grown"), emulator, partners)
    World(project, partners).run_all()
    state = project.folder / ".ci_mailchimp"
    return Grown(state, emulator.state()["audiences"], partners.state()["audiences"], dict(project.environ))


@pytest.fixture
def world(grown: Grown, tmp_path: Path, mailchimp_emulator: Emulator, partners_server: Emulator) -> World:
    """Ann is in two audiences of ours in two accounts, and in one where somebody else put her."""
    mailchimp_emulator.reset(grown.audiences, switches={"record_bodies": True})
    partners_server.reset(grown.partners, switches={"account_id": PARTNERS_ACCOUNT, "record_bodies": True})
    shutil.copytree(grown.home, tmp_path / ".ci_mailchimp")
    project = declared(tmp_path, mailchimp_emulator, partners_server)
    project.environ |= copy_of_ledger(grown.environ)
    return World(project, partners_server)


def traces_of(home: Path, address: str = ANN) -> list[str]:
    """Every file below *home* that holds the address, in any case, or its hash, raw or in hex; Parquet by value."""
    return [
        str(path.relative_to(home))
        for path in sorted(home.rglob("*"))
        if path.is_file() and named_in(path, address)
    ]


def named_in(path: Path, address: str) -> bool:
    """Whether a file holds the address or its hash; a neighbour in name does not count."""
    text, raw = address.lower(), key(address)
    content = path.read_bytes()
    rows = str(pl.read_parquet(path).rows()).lower() if path.suffix == ".parquet" else ""
    named = f"{content.decode('latin-1').lower()} {rows}".replace(f"jo{text}", "")
    return text in named or raw.hex() in named or raw in content or repr(raw).lower() in rows
