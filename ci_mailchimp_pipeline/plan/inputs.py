"""The plan's inputs as views of the engine."""

from pathlib import Path

from ci_mailchimp_pipeline.engine import Engine, quoted
from ci_mailchimp_pipeline.plan.model import PlanInputs

_ALL = "SELECT * FROM read_parquet({source})"
# A member that changed while the pages were read may be there twice: the status that forbids most counts.
_SELECT = {
    "seen": """
        SELECT subscriber_hash,
               arg_max(status, list_position(['subscribed', 'pending', 'transactional', 'archived', 'cleaned',
                                              'unsubscribed'], status)) AS status,
               max(last_changed) AS last_changed
        FROM read_parquet({source}) GROUP BY subscriber_hash
    """
}


def open_inputs(engine: Engine, inputs: PlanInputs) -> None:
    """Create one view per input."""
    for name in PlanInputs.__dataclass_fields__:
        path: Path = getattr(inputs, name)
        source = quoted(path / "*.parquet" if path.is_dir() else path)
        engine.execute(f"CREATE VIEW {name} AS {_SELECT.get(name, _ALL).format(source=source)}")
