"""The exports of one exports.yaml as a component of somebody's own Dagster project."""

import dagster as dg

from ci_mailchimp_pipeline.orchestration.loading import load_definitions
from ci_mailchimp_pipeline.orchestration.upstream import Upstream


class UpstreamAssets(dg.Model, dg.Resolvable):
    """Assets of the project, by key (``a/b``), that write what ``source`` in exports.yaml reads."""

    unified_profiles: str
    segment_membership: str


class MailchimpExports(dg.Component, dg.Model, dg.Resolvable):
    """Exports of customer segments to Mailchimp audiences, declared in exports.yaml.

    Attributes:
        config: The file, relative to the folder of defs.yaml.
        upstream: Assets to depend on instead of two of our own that read the source.
        prefix: Before the names of what all exports of the file share (upstream assets, their job and sensor),
            so that two components can stand side by side; the ids of their exports must differ.
    """

    config: str = "exports.yaml"
    upstream: UpstreamAssets | None = None
    prefix: str = ""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, checks, jobs, sensors and schedules; no executor, logger or resource, which are the project's.

        Raises:
            BrokenConfigError: Every problem in the file.
        """
        return load_definitions(context.path / self.config, self._upstream())

    def _upstream(self) -> Upstream:
        if self.upstream is None:
            return Upstream.made_here(self.prefix)
        keys = (self.upstream.unified_profiles, self.upstream.segment_membership)
        profiles, membership = (dg.AssetKey.from_user_string(key) for key in keys)
        return Upstream(keys=(profiles, membership), ours=False, prefix=self.prefix)
