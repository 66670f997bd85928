"""One named job per export, and everything that Dagster is told."""

from typing import Any

import dagster as dg

from ci_mailchimp_pipeline.config import Config, Export
from ci_mailchimp_pipeline.orchestration.assets import UPSTREAM, export_assets, runnable, upstream_assets

EXPORT = "ci_mailchimp/export"
CONFIG_HASH = "ci_mailchimp/config_hash"


def export_job(config: Config, export: Export) -> Any:
    """The job that does all of *export*: a fresh snapshot, its frame, its sync."""
    keys = [*UPSTREAM, dg.AssetKey([export.id, "export_frame"]), dg.AssetKey([export.id, "mailchimp_sync"])]
    return dg.define_asset_job(
        export.id,
        selection=dg.AssetSelection.assets(*keys),
        description=f"{export.display_name}: reads the source, validates, and brings the audience in line.",
        tags={EXPORT: export.id, CONFIG_HASH: config.digest},
    )


def build_definitions(config: Config) -> dg.Definitions:
    """Assets, checks and jobs of every export that runs; a disabled or detached one has none."""
    exports = runnable(config)
    return dg.Definitions(
        assets=[
            upstream_assets(config),
            *(asset for export in exports for asset in export_assets(config, export)),
        ],
        jobs=[export_job(config, export) for export in exports],
        executor=dg.in_process_executor,
    )
