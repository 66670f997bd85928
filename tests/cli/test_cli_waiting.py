"""``run`` while another run writes to the same connection."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

import dagster as dg

from ci_mailchimp_pipeline.config import load_config
from ci_mailchimp_pipeline.orchestration.jobs import export_job
from ci_mailchimp_pipeline.orchestration.launch import open_instance
from ci_mailchimp_pipeline.orchestration.pools import pool_of

Keep = Callable[[subprocess.Popen[str]], subprocess.Popen[str]]


def test_whoever_waits_is_told_for_whom(terminal: Any, background: Keep) -> None:
    """Which run of which export is ahead and since when, on stderr; stdout stays one document."""
    config = load_config(terminal.config, environ=terminal.environ)
    with open_instance(config.home) as instance:
        job = export_job(config, config.exports["vip"])
        tags = {"ci_mailchimp/export": "news"}
        ahead = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTING, tags=tags)
        begun = dg.DagsterEvent(event_type_value=dg.DagsterEventType.RUN_START.value, job_name="news")
        instance.report_dagster_event(begun, ahead.run_id)
        storage, pool = instance.event_log_storage, pool_of("main")
        storage.initialize_concurrency_limit_to_default(pool)
        assert storage.claim_concurrency_slot(pool, ahead.run_id, "news__mailchimp_sync").is_claimed

        waiting = background(terminal.start("run", "--json"))
        assert waiting.stderr is not None
        lines = iter(waiting.stderr.readline, "")
        said = next(line for line in lines if "waiting" in line)
        storage.free_concurrency_slots_for_run(ahead.run_id)
        out, _ = waiting.communicate(timeout=120)

    assert f"waiting: run {ahead.run_id[:8]} of export news writes to connection main, since " in said
    assert waiting.returncode == 0
    assert json.loads(out)["exports"][0]["status"] == "success"
