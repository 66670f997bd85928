"""What can be asked of Mailchimp, each call a function that takes the client first.

``create_*``, ``upsert_*``, ``update_*``, ``move_*``, ``archive_*`` and ``erase_*`` write, and repeating them
changes nothing more; everything else only reads.
"""

from ci_mailchimp_pipeline.mailchimp.endpoints.audiences import (
    account,
    audience,
    audiences,
    create_merge_field,
    merge_fields,
    server_time,
)
from ci_mailchimp_pipeline.mailchimp.endpoints.erasing import erase_member
from ci_mailchimp_pipeline.mailchimp.endpoints.members import (
    count_members,
    member,
    member_status,
    members,
    whole_members,
)
from ci_mailchimp_pipeline.mailchimp.endpoints.tags import create_tag, tag_members, tags, update_tag
from ci_mailchimp_pipeline.mailchimp.endpoints.writing import archive_member, move_member, upsert_members

__all__ = [
    "account",
    "archive_member",
    "audience",
    "audiences",
    "count_members",
    "create_merge_field",
    "create_tag",
    "erase_member",
    "member",
    "member_status",
    "members",
    "merge_fields",
    "move_member",
    "server_time",
    "tag_members",
    "tags",
    "update_tag",
    "upsert_members",
    "whole_members",
]
