"""Who is let in: keys, data centres, permissions, and how many at once."""

import base64
import binascii
import re

from ci_mailchimp_pipeline.emulator import problems
from ci_mailchimp_pipeline.emulator.problems import Problem
from ci_mailchimp_pipeline.emulator.switches import Switches

_KEY = re.compile(r"[0-9a-f]{32}-[a-z]+[0-9]+")
_TOKEN = re.compile(r"[0-9A-Za-z]{16,}(-[a-z]+[0-9]+)?")


def credentials(authorization: str) -> str:
    """The key or token of an ``Authorization`` header, Basic, Bearer or OAuth; ``""`` without one."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() in ("bearer", "oauth"):
        return value.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        pair = base64.b64decode(value.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return "?"
    return pair.partition(":")[2] or "?"


def refusal(method: str, authorization: str, open_connections: int, switches: Switches) -> Problem | None:
    """Why a request is not let in, or None; ``open_connections`` of its key include its own."""
    key = credentials(authorization)
    if not key:
        return problems.key_missing()
    if switches.accepted_keys:
        known = key in switches.accepted_keys
    else:
        basic = authorization[:5].lower() == "basic"
        known = bool((_KEY if basic else _TOKEN).fullmatch(key))
    if not known:
        return problems.key_invalid()
    own = key.partition("-")[2]
    if switches.data_center and own and own != switches.data_center:
        return problems.wrong_data_center(own)
    if open_connections > switches.connection_limit:
        limit = switches.connection_limit
        return problems.too_many_requests(f"You have exceeded the limit of {limit} simultaneous connections.")
    writes = method != "GET"
    if switches.permission == "none" or (switches.permission == "read" and writes):
        return problems.not_permitted()
    return None
