"""What tests of users of this package may import: the local Mailchimp, ready to steer."""

from ci_mailchimp_pipeline.testing.emulator import API_KEY, Emulator, EmulatorError
from ci_mailchimp_pipeline.testing.openapi import openapi_errors

__all__ = ["API_KEY", "Emulator", "EmulatorError", "openapi_errors"]
