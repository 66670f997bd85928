"""What the user declared: exports.yaml as frozen models, or every problem in it with its place."""

from ci_mailchimp_pipeline.config.config import Config
from ci_mailchimp_pipeline.config.connections import Connection, Consent
from ci_mailchimp_pipeline.config.fields import MergeSource, Prefer, Schedule, Segment
from ci_mailchimp_pipeline.config.load import find_config, find_home, load_config
from ci_mailchimp_pipeline.config.models import Alert, Export, Guards, Owner
from ci_mailchimp_pipeline.config.schema import json_schema
from ci_mailchimp_pipeline.config.secrets import SecretRef

__all__ = [
    "Alert",
    "Config",
    "Connection",
    "Consent",
    "Export",
    "Guards",
    "MergeSource",
    "Owner",
    "Prefer",
    "Schedule",
    "SecretRef",
    "Segment",
    "find_config",
    "find_home",
    "json_schema",
    "load_config",
]
