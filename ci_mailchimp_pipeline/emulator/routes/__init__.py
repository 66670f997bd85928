"""Which endpoint answers which path below ``/3.0``; the endpoints are in this package's modules."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from ci_mailchimp_pipeline.emulator.exchange import PROBLEM_JSON, Answer, Endpoint, Request
from ci_mailchimp_pipeline.emulator.problems import Problem, method_not_allowed, not_found
from ci_mailchimp_pipeline.emulator.routes import account, batch, member, segment, upsert

UNKNOWN = ""
"""The template of a path that no endpoint answers."""

_MEMBER = "/lists/{id}/members/{id}"
_SEGMENT = "/lists/{id}/segments/{id}"
_TABLE: dict[str, dict[str, Endpoint]] = {
    "/": {"GET": account.root},
    "/ping": {"GET": account.ping},
    "/lists": {"GET": account.audiences},
    "/lists/{id}": {"GET": account.audience, "POST": upsert.upsert_members},
    "/lists/{id}/merge-fields": {"GET": account.merge_fields, "POST": account.create_merge_field},
    "/lists/{id}/webhooks": {"GET": account.webhooks, "POST": account.create_webhook},
    "/lists/{id}/members": {"GET": member.read_members, "POST": member.create_member},
    _MEMBER: {
        "GET": member.read_member,
        "PUT": member.put_member,
        "PATCH": member.patch_member,
        "DELETE": member.archive_member,
    },
    f"{_MEMBER}/actions/delete-permanent": {"POST": member.delete_permanently},
    f"{_MEMBER}/tags": {"GET": member.read_member_tags, "POST": member.change_member_tags},
    "/lists/{id}/segments": {"GET": segment.read_segments, "POST": segment.create_segment},
    _SEGMENT: {
        "GET": segment.read_segment,
        "POST": segment.change_segment_members,
        "PATCH": segment.update_segment,
        "DELETE": segment.delete_segment,
    },
    f"{_SEGMENT}/members": {"GET": segment.read_segment_members},
    "/lists/{id}/tag-search": {"GET": segment.search_tags},
    "/batches": {"GET": batch.read_batches, "POST": batch.create_batch},
    "/batches/{id}": {
        "GET": lambda request, batch_id: batch.read_batch(request, batch_id, run=answer),
        "DELETE": batch.delete_batch,
    },
}
_PATTERNS = [
    (re.compile(re.escape(template).replace(r"\{id\}", "([^/]+)") + "/?"), template) for template in _TABLE
]


def endpoints() -> Iterator[tuple[str, str]]:
    """Every (method, path template) that is answered."""
    for template, methods in _TABLE.items():
        yield from ((method, template) for method in methods)


def find(path: str) -> tuple[str, tuple[str, ...]]:
    """The template of a path and the ids in it; `UNKNOWN` if no endpoint answers it."""
    for pattern, template in _PATTERNS:
        if found := pattern.fullmatch(path):
            return template, found.groups()
    return UNKNOWN, ()


def answer(request: Request, *, instance: str = "") -> Answer:
    """Carry out one call; a refusal becomes a problem document with ``instance`` as its request id."""
    try:
        value = _call(request)
    except Problem as problem:
        document = problem.document(instance=instance, with_type=request.switches.problem_type)
        return Answer(
            status=problem.status,
            body=msgspec.json.encode(document),
            content_type=PROBLEM_JSON,
            headers={"X-Request-Id": instance, **problem.headers},
        )
    return value if isinstance(value, Answer) else Answer(body=msgspec.json.encode(value))


def _call(request: Request) -> Any:
    template, ids = find(request.path)
    if template == UNKNOWN:
        raise not_found()
    methods = _TABLE[template]
    endpoint = methods.get(request.method)
    if endpoint is None:
        raise method_not_allowed(sorted(methods))
    return endpoint(request, *ids)
