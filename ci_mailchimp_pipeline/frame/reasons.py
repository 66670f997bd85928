"""Why a row is not sent: the closed list."""

from typing import Final

MALFORMED_CUSTOMER_ID: Final = "malformed_customer_id"
NO_EMAIL: Final = "no_email"
MALFORMED_EMAIL: Final = "malformed_email"
RESERVED_DOMAIN: Final = "reserved_domain"
MISSING_REQUIRED_FIELD: Final = "missing_required_field"
INVALID_MERGE_VALUE: Final = "invalid_merge_value"
NO_PROFILE: Final = "no_profile"

REASONS: Final[dict[str, str]] = {
    MALFORMED_CUSTOMER_ID: "the customer id holds the character U+0000",
    NO_EMAIL: "the address is blank",
    MALFORMED_EMAIL: "the address is not one that Mailchimp takes",
    RESERVED_DOMAIN: "the address is in a domain that is reserved for examples and tests",
    MISSING_REQUIRED_FIELD: "a merge field that the audience requires has no value",
    INVALID_MERGE_VALUE: "a value does not fit the type of its merge field",
    NO_PROFILE: "the customer is in a segment but not among the profiles",
}
