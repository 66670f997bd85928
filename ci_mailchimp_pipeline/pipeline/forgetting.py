"""Erase one person everywhere, in an order that an interruption cannot spoil: again finishes it.

First what keeps a later run from sending them again, then Mailchimp, then files, and the ledger, which knows
most about them, last. The leases of all audiences are held throughout: no run writes meanwhile.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from ci_mailchimp_pipeline.artifacts import draft
from ci_mailchimp_pipeline.config import Config, Connection
from ci_mailchimp_pipeline.engine import open_engine
from ci_mailchimp_pipeline.errors import FixConfigError, PipelineError
from ci_mailchimp_pipeline.forgotten import ForgetKey, known_key, made_key
from ci_mailchimp_pipeline.ledger import (
    AudienceRow,
    ForgottenRow,
    Lease,
    Ledger,
    open_ledger,
)
from ci_mailchimp_pipeline.mailchimp import endpoints
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.pipeline.copies import Copies, SharedFolder
from ci_mailchimp_pipeline.pipeline.forgettable import check_forgettable
from ci_mailchimp_pipeline.pipeline.person import know
from ci_mailchimp_pipeline.pipeline.planning import connect_to
from ci_mailchimp_pipeline.pipeline.traces import Traces
from ci_mailchimp_pipeline.process import this_process
from ci_mailchimp_pipeline.storage import open_store
from ci_mailchimp_pipeline.sync.forget import Place, counted, erase_in_audience

DIGITS = 8  # of a digest, as people are shown it
STEPS = ("looking", "remembering", "mailchimp", "files", "ledger", "searching")


@dataclass(slots=True, kw_only=True)
class Forgetting:
    """One erasure; ``carry_out`` is its only door.

    Attributes:
        address: In any spelling.
        foreign: Folders below the state folder that are not ours.
        shared: What machines share.
        on_step: Called with the name of each step before it begins.
        places: What was found and done so far.
        digest: Of the address, as it is remembered.
        traces: By what the person was found.
    """

    config: Config
    address: str = field(repr=False)
    foreign: Sequence[Path] = ()
    shared: Sequence[SharedFolder] = ()
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    connect: Callable[..., MailchimpClient] = connect_to
    now: Callable[[], float] = time.time
    on_step: Callable[[str], None] = lambda _step: None
    places: list[Place] = field(default_factory=list)
    digest: str = ""
    traces: Traces = field(default_factory=lambda: Traces(addresses=(), hashes=()), repr=False)

    def carry_out(self) -> None:
        """Erase the person, and remember only that they must not be sent again.

        Raises:
            FixConfigError: ``not_an_address``, ``sandbox``, ``forget_key_missing``, ``forget_key_needed``:
                nothing was done.
            RunLaterError: ``audience_busy``: nothing was done.
            PipelineError: Whatever else was in the way; again finishes it.
        """
        check_forgettable(self.config, self.address)
        config = self.config
        with open_ledger(config.home, config.ledger_url) as ledger, ExitStack() as stack:
            leases = [stack.enter_context(ledger.lease(row.id, this_process())) for row in ledger.audiences()]
            used = ledger.forgotten_keys()
            key = known_key(config.home, config.forget_key, used) or _new_key(config)
            work = stack.enter_context(draft(config.home / "forget"))
            engine = stack.enter_context(open_engine(work))
            engine.execute("SET preserve_insertion_order = true")  # files are rewritten in their order
            self.on_step("looking")
            copies = Copies(
                config=config,
                work=work,
                foreign=self.foreign,
                store=open_store(config.frames_url) if config.frames_url else None,
                shared=self.shared,
            )
            removed = copies.fetch()
            at_source, scrubber = know(self.address, ledger, copies, engine, key if used else None)
            self._tell(at_source)
            traces = self.traces = scrubber.traces
            self.on_step("remembering")
            ledger.remember_forgotten(self._digests(key, traces))
            self.on_step("mailchimp")
            self._erase_in_mailchimp(ledger, leases, traces, stack)
            self.on_step("files")
            self._tell(copies.drop_drafts(), *copies.scrub(scrubber), copies.scrub_shared(scrubber, removed))
            self.on_step("ledger")
            self._tell(self._erase_in_ledger(ledger, leases, traces))
            self.on_step("searching")
            self._tell(copies.search(scrubber, traces))

    def _digests(self, key: ForgetKey, traces: Traces) -> list[ForgottenRow]:
        addresses = [key.address(each) for each in traces.hashes]
        customers = [key.customer(each) for each in sorted(traces.customers)]
        self.digest = addresses[0].hex()[:DIGITS]
        people = f"{counted(len(addresses), 'address digest')}, {counted(len(customers), 'customer digest')}"
        told = f"remembered under {self.digest}…: {people}"
        self._tell(Place(place="forgotten", found=len(traces.customers), done=told))
        now, key_id = self.now(), key.key_id
        return [
            *(
                ForgottenRow(kind="address", digest=each, key_id=key_id, forgotten_at=now)
                for each in addresses
            ),
            *(
                ForgottenRow(kind="customer", digest=each, key_id=key_id, forgotten_at=now)
                for each in customers
            ),
        ]

    def _erase_in_mailchimp(
        self, ledger: Ledger, leases: list[Lease], traces: Traces, stack: ExitStack
    ) -> None:
        """Every audience that the file or the ledger knows; one account out of reach does not save the others."""
        failure: PipelineError | None = None
        known = ledger.audiences()
        reached: set[tuple[str, str]] = set()
        for connection in self.config.connections.values():
            try:
                with self.connect(self.config, connection, self.environ) as client:
                    account = endpoints.account(client).account_id
                    for audience in _audiences(self.config, connection, account, known):
                        if (account, audience) in reached:
                            continue
                        number = ledger.audience(account, audience)
                        if number not in {lease.audience for lease in leases}:
                            leases.append(stack.enter_context(ledger.lease(number, this_process())))
                        named = f"audience {audience} (connection {connection.id})"
                        for place in erase_in_audience(client, audience, traces.hashes, named=named):
                            self._tell(place)
                        reached.add((account, audience))
            except PipelineError as error:
                self._tell(Place(place=f"connection {connection.id}", found=0, done=f"failed ({error.code})"))
                failure = failure or error
        if failure is not None:
            raise failure
        for row in known:
            if (row.account_id, row.audience_id) not in reached:
                self._tell(_out_of_reach(ledger, row, traces))

    def _erase_in_ledger(self, ledger: Ledger, leases: Sequence[Lease], traces: Traces) -> Place:
        erased = ledger.erase(traces.hashes[0], traces.forgotten, owner=this_process(), leases=leases)
        counts = {
            "member": erased.members,
            "hold": erased.holds,
            "refusal": erased.refusals,
            "foreign tag": erased.foreign_tags,
        }
        told = ", ".join(counted(count, what) for what, count in counts.items() if count)
        return Place(
            place="ledger", found=sum(counts.values()), done=f"erased: {told}" if told else "nothing found"
        )

    def _tell(self, *places: Place | None) -> None:
        self.places.extend(place for place in places if place is not None)


def check_left(places: Sequence[Place]) -> None:
    """Fail when something is left that is not ours to erase.

    Raises:
        FixConfigError: ``person_left``.
    """
    left = [place for place in places if place.left]
    if left:
        raise FixConfigError(
            "person_left",
            f"erased, but still to be found in: {'; '.join(place.place for place in left)}",
            fix="; ".join(str(place.left) for place in left) + "; then forget the person again",
        )


def _new_key(config: Config) -> ForgetKey:
    if config.ledger_url:
        raise FixConfigError(
            "forget_key_needed",
            "the ledger is not in the state folder, so other machines may use it, and would need the key of forgotten "
            "people, too; nothing was done",
            fix="make a key (openssl rand -hex 32) and set CI_MAILCHIMP_FORGET_KEY to it wherever exports run",
        )
    return made_key(config.home)


def _audiences(
    config: Config, connection: Connection, account: str, known: Sequence[AudienceRow]
) -> Iterator[str]:
    declared = (
        export.audience_id for export in config.exports.values() if export.connection == connection.id
    )
    recorded = (row.audience_id for row in known if row.account_id == account)
    yield from dict.fromkeys([*declared, *recorded])


def _out_of_reach(ledger: Ledger, row: AudienceRow, traces: Traces) -> Place:
    people = [ledger.person(row.id, each) for each in traces.hashes]
    there = sum(person.member is not None for person in people)
    place = f"audience {row.audience_id} of account {row.account_id}"
    return Place(
        place=place,
        found=there,
        done="no connection of its account: not asked",
        left=f"permanently delete the person in {place} by hand" if there else None,
    )
