"""What requests say, and about whom."""

from collections.abc import Mapping, Sequence
from typing import Any

from properties.machine.world import World

Request = Mapping[str, Any]


def bodies(request: Request) -> list[Mapping[str, Any]]:
    """The member objects of a request."""
    body = request["body"] or {}
    return [*(body.get("members") or ()), *([body] if "email_address" in body else ())]


def named(world: World, request: Request) -> set[str]:
    """Everybody whom a request would change."""
    body = request["body"] or {}
    found = {each["email_address"] for each in bodies(request)}
    found |= {*(body.get("members_to_add") or ()), *(body.get("members_to_remove") or ())}
    if "/members/" in request["path"]:
        found.add(world.keys[bytes.fromhex(request["path"].rpartition("/")[2])])
    return {each.strip().lower() for each in found}


def moved_by(world: World, writes: Sequence[Request]) -> dict[str, str]:
    """The old address of each member whose address a request changed, by the new one."""
    return {
        bodies(request)[0]["email_address"].lower(): old
        for request in writes
        if request["method"] == "PUT"
        for old in named(world, {**request, "body": None})
    }
