"""What tests of users of this package may import: the local Mailchimp, ready to steer."""

from ci_mailchimp_pipeline.testing.emulator import Emulator as Emulator
