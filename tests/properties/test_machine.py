"""Whatever happens, in any order: the audience ends as the source asks, and no promise is broken on the way."""

import os
import random
import time

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from properties.machine.rules import Machine
from properties.machine.runs import BATCH
from properties.machine.world import Tally


@pytest.fixture
def machine(mailchimp_emulator, monkeypatch):
    """The machine over a local Mailchimp, with small requests and small ranges, so that there are many."""
    monkeypatch.setattr("ci_mailchimp_pipeline.plan.economy.BATCH", BATCH)
    monkeypatch.setattr("ci_mailchimp_pipeline.sync.batches.batches_of.__defaults__", (BATCH,))
    monkeypatch.setattr("ci_mailchimp_pipeline.plan.inputs.RANGE_ROWS", 5)

    class Bound(Machine):
        emulator = mailchimp_emulator
        tally = Tally()

    return Bound


CALM = settings(
    derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True,
    phases=[Phase.generate],  # to shrink would take an hour
)  # fmt: skip


@pytest.mark.slow
def test_the_promises_hold_in_any_order_of_events(machine):
    """A few fixed stories of the machine; ``make soak`` plays new ones for as long as you like."""
    run_state_machine_as_test(machine, settings=settings(CALM, max_examples=4, stateful_step_count=25))
    assert machine.tally.counts["runs"] > 10


@pytest.mark.slow
@pytest.mark.parametrize("ledger_kind", ["postgresql"], indirect=True)
def test_they_hold_over_postgresql(machine):
    """A short story; ``make soak LEDGER=postgresql`` plays more."""
    run_state_machine_as_test(machine, settings=settings(CALM, max_examples=1, stateful_step_count=15))
    assert machine.tally.counts["runs"] > 1


@pytest.mark.soak
def test_the_promises_hold_for_as_long_as_you_like(machine, capsys):
    """Fresh stories until the time is up; a failure says how to play it again, step by step."""
    began, minutes = time.monotonic(), float(os.environ.get("SOAK_MINUTES", "15"))
    while (spent := time.monotonic() - began) < 60 * minutes:
        number = random.SystemRandom().getrandbits(32)
        with capsys.disabled():
            print(f"{spent / 60:6.1f} min, seed {number}: {machine.tally}", flush=True)
        run_state_machine_as_test(
            seed(number)(machine),
            settings=settings(CALM, max_examples=4, stateful_step_count=50, derandomize=False),
        )
    with capsys.disabled():
        print(
            f"{spent / 60:6.1f} min: {machine.tally}, {machine.tally.counts['steps'] / spent:.1f} steps a second"
        )
