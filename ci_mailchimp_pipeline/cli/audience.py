"""The local Mailchimp that the sample declarations fit."""

AUDIENCE = "a1b2c3d4e5"
FIELDS: tuple[dict[str, str], ...] = (
    {"tag": "FNAME", "name": "First name", "type": "text"},
    {"tag": "LNAME", "name": "Last name", "type": "text"},
    {"tag": "CITY", "name": "City", "type": "text"},
    {"tag": "BIRTHDAY", "name": "Birthday", "type": "birthday"},
)
KEY = "0123456789abcdef0123456789abcdef-us1"  # the emulator takes any key of this shape
