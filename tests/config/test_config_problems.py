"""Every way of writing exports.yaml wrong: what is said, and where."""

from collections.abc import Callable

import pytest

from ci_mailchimp_pipeline.config import Config
from ci_mailchimp_pipeline.errors import FixConfigError

LoadText = Callable[..., Config]

# (line of the valid file that is replaced, what stands there instead, what is said, where)
Row = tuple[str, str, str, str]

TOP = "version: 1"
SOURCE = "source: {type: memory, rows: 5}"
KEY = "    api_key: {env: MAILCHIMP_API_KEY}"
TYPE = "    type: mailchimp"
NAME = "    display_name: Account"
CONNECTION = "    connection: mc"
AUDIENCE = "    audience_id: a1b2c3d4e5"
OWNER = "    owner: {name: Ben, role: administrator}"
EMAIL = "    email: EMail"
SEGMENTS = "    segments: [High]"
TITLE = "    display_name: VIP"

ROWS: list[Row] = [
    # the top
    (TOP, "version: 2", "version: must be 1, not 2", "1:10"),
    (TOP, 'version: "1"', "version: must be 1, not '1'", "1:10"),
    (TOP, "version: true", "version: must be 1, not true", "1:10"),
    (TOP, "version: 1.5", "version: must be 1, not 1.5", "1:10"),
    (TOP, "# no version", "'version' is missing", "2:1"),
    (TOP, "version: 1\nversion: 1", "the key 'version' is given twice, first at line 1", "2:1"),
    (TOP, "version: 1\nexport: {}", "unknown key 'export'. Did you mean 'exports'?", "2:1"),
    (TOP, "version: 1\nzebra: {}", "unknown key 'zebra'", "2:1"),
    (TOP, "version: 1\nsandbox: sometimes", "sandbox: must be true or false, not 'sometimes'", "2:10"),
    (TOP, "version: 1\n<<: {sandbox: true}", "merge keys (<<) are not read", "2:1"),
    (TOP, "version: 1\n? [a, b]\n: c", "a key must be text", "2:3"),
    (TOP, "version: !!int 1\nsandbox: !env X", "YAML tags (a word after !) are not read", "2:10"),
    # the source
    (
        SOURCE,
        "source: {type: memroy, rows: 5}",
        "there is no source type 'memroy'. Did you mean 'memory'?",
        "2:16",
    ),
    (
        SOURCE,
        "source: {type: delta, rows: 5}",
        "source.type: the source type 'delta' is not installed",
        "2:16",
    ),
    (SOURCE, "source: {type: 7}", "source.type: there is no source type 7", "2:16"),
    (SOURCE, "source: {rows: 5}", "source: 'type' is missing", "2:1"),
    (SOURCE, "source: {type: memory}", "source: 'rows' is missing", "2:1"),
    (SOURCE, "source: {type: memory, rows: 5, row: 5}", "unknown key 'row'. Did you mean 'rows'?", "2:33"),
    (SOURCE, "source: {type: memory, rows: -1}", "source.rows: must be at least 0, not -1", "2:30"),
    (SOURCE, "source: {type: memory, rows: '5'}", "source.rows: must be a whole number, not '5'", "2:30"),
    (
        SOURCE,
        "source: {type: memory, rows: 5, url: 'sqlite://'}",
        "source.url: a secret must not stand",
        "2:38",
    ),
    (SOURCE, "source: {type: memory, rows: 5, label: ''}", "source.label: is empty", "2:40"),
    (SOURCE, "source: memory", "source: must be a mapping, not 'memory'", "2:9"),
    (SOURCE, "# none", "'source' is missing", "1:1"),
    # a connection
    (TYPE, "    type: mailchump", "must be 'mailchimp', not 'mailchump'. Did you mean 'mailchimp'?", "5:11"),
    (TYPE, "    max_connections: 8", "connections.mc: 'type' is missing", "4:3"),
    (TYPE, f"{TYPE}\n    max_connections: 11", "max_connections: must be at most 10, not 11", "6:22"),
    (TYPE, f"{TYPE}\n    max_connections: 0", "max_connections: must be at least 1, not 0", "6:22"),
    (TYPE, f"{TYPE}\n    contact_limit: 50k", "contact_limit: must be a whole number, not '50k'", "6:20"),
    (TYPE, f"{TYPE}\n    contact_limit: 1.5", "contact_limit: must be a whole number, not 1.5", "6:20"),
    (TYPE, f"{TYPE}\n    allowed_roles: []", "connections.mc.allowed_roles: is empty", "6:20"),
    (
        TYPE,
        f"{TYPE}\n    allowed_roles: [owner]",
        "[0]: must be 'administrator' or 'contributor', not",
        "6:21",
    ),
    (TYPE, f"{TYPE}\n    allowed_roles: administrator", "allowed_roles: must be a list, not 'admin", "6:20"),
    (
        TYPE,
        f"{TYPE}\n    allowed_roles: [contributor, contributor]",
        "allowed_roles[1]: 'contributor' is given twice",
        "6:34",
    ),
    (TYPE, f"{TYPE}\n    consent: true", "connections.mc.consent: must be a mapping, not true", "6:14"),
    (TYPE, f"{TYPE}\n    consent: {{agreed_by: A}}", "consent: 'agreed_on' is missing", "6:5"),
    (
        TYPE,
        f"{TYPE}\n    consent: {{agreed_by: A, agreed_on: 2026-02-30}}",
        "consent.agreed_on: must be a date, not '2026-02-30'",
        "6:40",
    ),
    (
        TYPE,
        f"{TYPE}\n    consent: {{agreed_by: A, agreed_on: 20260223}}",
        "consent.agreed_on: must be a date, not 20,260,223",
        "6:40",
    ),
    (TYPE, f"{TYPE}\n    api_root: http://mailchimp.internal/3.0", "would send the key unencrypted", "6:15"),
    (
        TYPE,
        f"{TYPE}\n    api_root: ftp://127.0.0.1/3.0",
        "'ftp://127.0.0.1/3.0' is not a web address",
        "6:15",
    ),
    (TYPE, f"{TYPE}\n    api_root: https://", "'https://' is not a web address", "6:15"),
    (TYPE, f"{TYPE}\n    api_root: https://[::1", "'https://[::1' is not a web address", "6:15"),
    (TYPE, f"{TYPE}\n    api_root: https://a:99999/", "'https://a:99999/' is not a web address", "6:15"),
    (TYPE, f"{TYPE}\n    api_root: https://u:p@host/3.0", "an API root has no user name, password", "6:15"),
    (TYPE, f"{TYPE}\n    api_root: https://host/3.0?a=b", "an API root has no user name, password", "6:15"),
    (KEY, "    # none", "neither 'api_key' nor 'token' is given", "4:3"),
    (KEY, f"{KEY}\n    token: {{file: t}}", "both 'api_key' and 'token' are given", "8:12"),
    (KEY, "    api_key: hunter2", "a secret must not stand in this file", "7:14"),
    (KEY, "    api_key: {}", "names either 'env' or 'file', one of them", "7:14"),
    (KEY, "    api_key: {env: A, file: B}", "names either 'env' or 'file', one of them", "7:14"),
    (KEY, "    api_key: {env: MY KEY}", "must be the name of an environment variable, not the value", "7:20"),
    (KEY, "    api_key: {enw: A}", "api_key: unknown key 'enw'. Did you mean 'env'?", "7:15"),
    (NAME, "    display_name: 2026", "must be a text; YAML reads 2026 as a number", "6:19"),
    (NAME, '    display_name: ""', "display_name: must be one line of text, not ''", "6:19"),
    (NAME, '    display_name: "a\\nb"', "display_name: must be one line of text, not 'a\\nb'", "6:19"),
    (NAME, f"    display_name: {'x' * 501}", "display_name: has 501 characters; at most 500", "6:19"),
    (TOP, "version: 1\ndefaults: {connection: mc-1}", "defaults.connection: must be a letter, then", "2:24"),
    ("  vip:", "  v-ip:", "exports.'v-ip': must be a letter, then letters, digits", "9:3"),
    (
        "connections:",
        "connections:\n  m-c: {type: mailchimp, display_name: A, token: {file: t}}",
        "connections.'m-c': must be a letter, then letters, digits and underscores",
        "4:3",
    ),
    # an export
    ("  vip:", "  1vip:", "exports.1vip: must be a letter, then letters, digits and underscores, not", "9:3"),
    ("  vip:", f"  {'v' * 61}:", "has 61 characters; at most 60 are allowed", "9:3"),
    (TITLE, "    # none", "exports.vip: 'display_name' is missing", "9:3"),
    (TITLE, "    display_name: Yes", "must be a text; YAML reads Yes as true", "10:19"),
    (TITLE, "    display_name:", "exports.vip.display_name: must be a text, not null", "10:18"),
    (CONNECTION, "    connection: mcc", "there is no connection 'mcc'. Did you mean 'mc'?", "11:17"),
    (CONNECTION, "    # none", "exports.vip: 'connection' is missing", "9:3"),
    (AUDIENCE, "    audience: a1b2c3d4e5", "unknown key 'audience'. Did you mean 'audience_id'?", "12:5"),
    (AUDIENCE, "    audience_id: A1B2C3D4E5", "audience_id: must be an audience's id of 6 to 20", "12:18"),
    (AUDIENCE, "    audience_id: a1b2", "audience_id: must be an audience's id of 6 to 20", "12:18"),
    (AUDIENCE, "    audience_id: 1234567890", "must be a text; YAML reads 1234567890 as a number", "12:18"),
    (OWNER, "    owner: Ben", "exports.vip.owner: must be a mapping, not 'Ben'", "13:12"),
    (OWNER, "    owner: {name: Ben}", "exports.vip.owner: 'role' is missing", "13:5"),
    (OWNER, "    owner: {name: Ben, role: admin}", "role: must be 'administrator' or 'contributor'", "13:30"),
    (EMAIL, "    email: null", "exports.vip.email: must be a text, not null", "14:12"),
    (EMAIL, "    email: [EMail]", "exports.vip.email: must be a text, not a list", "14:12"),
    (EMAIL, f"{EMAIL}\n    emial: EMail", "unknown key 'emial'. Did you mean 'email'?", "15:5"),
    (EMAIL, f"{EMAIL}\n    id: other", "exports.vip: unknown key 'id'", "15:5"),
    (EMAIL, f"{EMAIL}\n    email: Other", "the key 'email' is given twice, first at line 14", "15:5"),
    (SEGMENTS, "    segments: []", "exports.vip.segments: is empty", "15:15"),
    (SEGMENTS, "    segments: High", "exports.vip.segments: must be a list, not 'High'", "15:15"),
    (SEGMENTS, "    segments: [2024]", "segments[0]: must be a segment's name, not 2,024", "15:16"),
    (SEGMENTS, "    segments: [No]", "segments[0]: must be a segment's name, not false", "15:16"),
    (SEGMENTS, "    segments: ['']", "segments[0]: must be one line of text, not ''", "15:16"),
    (SEGMENTS, "    segments: [High, High]", "segments[1]: the segment 'High' is given twice", "15:22"),
    (SEGMENTS, "    segments: [{tag: High}]", "segments[0]: 'name' is missing", "15:16"),
    (SEGMENTS, "    segments: [{name: A, tga: B}]", "unknown key 'tga'. Did you mean 'tag'?", "15:26"),
    (SEGMENTS, "    segments: [{name: A, tag: ''}]", "tag: must be one line of text, not ''", "15:31"),
    (SEGMENTS, "    segments: [{name: A, tag: ' B'}]", "the tag ' B' starts or ends with a blank", "15:31"),
    (SEGMENTS, f"    segments: [{'s' * 101}]", "the tag has 101 characters; Mailchimp allows 100", "15:16"),
    (
        SEGMENTS,
        "    segments: [High, {name: B, tag: high}]",
        "the tag 'high' differs from 'High' at",
        "15:22",
    ),
    # more keys of an export
    (EMAIL, f"{EMAIL}\n    merge_fields: {{city: City}}", "of 1 to 10 upper-case letters, dig", "15:20"),
    (EMAIL, f"{EMAIL}\n    merge_fields: {{city: City}}", "Did you mean 'CITY'?", "15:20"),
    (EMAIL, f"{EMAIL}\n    merge_fields: {{ELEVENCHARS: C}}", "'ELEVENCHARS' is not a merge tag", "15:20"),
    (EMAIL, f"{EMAIL}\n    merge_fields: {{EMAIL: EMail}}", "'EMAIL' is the address itself", "15:20"),
    (EMAIL, f"{EMAIL}\n    merge_fields: {{CITY: 5}}", "merge_fields.CITY: must be a column, not 5", "15:26"),
    (EMAIL, f"{EMAIL}\n    merge_fields: {{CITY: null}}", "CITY: must be a column, not null", "15:26"),
    (EMAIL, f"{EMAIL}\n    merge_fields: null", "merge_fields: must be a mapping, not null", "15:19"),
    (EMAIL, f"{EMAIL}\n    merge_fields: {{A: {{colum: C}}}}", "'colum'. Did you mean 'column'?", "15:24"),
    (EMAIL, f"{EMAIL}\n    merge_fields: {{A: {{type: text}}}}", "neither 'column' nor the parts", "15:23"),
    (
        EMAIL,
        f"{EMAIL}\n    merge_fields: {{A: {{addr1: S, city: C}}}}",
        "the address lacks state, zip",
        "15:23",
    ),
    (
        EMAIL,
        f"{EMAIL}\n    merge_fields: {{A: {{addr1: S, city: C, state: T, zip: Z, land: L}}}}",
        "A: unknown key 'land'",
        "15:61",
    ),
    (
        EMAIL,
        f"{EMAIL}\n    merge_fields: {{A: {{addr1: S, city: C, state: T, zip: Z, type: text}}}}",
        "parts of an address cannot become a merge field of type 'text'",
        "15:67",
    ),
    (
        EMAIL,
        f"{EMAIL}\n    merge_fields: {{A: {{column: C, type: address}}}}",
        "one column cannot fill a merge field of type 'address'",
        "15:41",
    ),
    (
        EMAIL,
        f"{EMAIL}\n    merge_fields: {{A: {{column: C, type: dropdown}}}}",
        "A.type: must be 'text', 'number', 'address', 'phone', 'date', 'url', 'imageurl', 'birthday' or 'zip'",
        "15:41",
    ),
    (
        EMAIL,
        f"{EMAIL}\n    first_name: F\n    merge_fields: {{FNAME: G}}",
        "'FNAME' is mapped twice: here and by 'first_name'",
        "16:27",
    ),
    (
        EMAIL,
        f"{EMAIL}\n    last_name: F\n    merge_fields: {{LNAME: F}}",
        "'LNAME' is mapped twice: here and by 'last_name'",
        "16:27",
    ),
    (
        EMAIL,
        f"{EMAIL}\n    first_name: Email",
        "the column 'Email' is written 'EMail' in export 'vip'",
        "9:3",
    ),
    (
        EMAIL,
        f"{EMAIL}\n    schedule: refesh",
        "must be a schedule, not 'refesh'. Did you mean 'refresh'?",
        "15:15",
    ),
    (EMAIL, f"{EMAIL}\n    schedule: on", "schedule: must be a schedule, not true", "15:15"),
    (EMAIL, f"{EMAIL}\n    schedule: {{cron: '0 6 * *'}}", "'0 6 * *' has 4 fields", "15:22"),
    (EMAIL, f"{EMAIL}\n    schedule: {{timezone: UTC}}", "the schedule lacks 'cron'", "15:15"),
    (
        EMAIL,
        f"{EMAIL}\n    schedule: {{kron: '0 6 * * *'}}",
        "unknown key 'kron'. Did you mean 'cron'?",
        "15:16",
    ),
    (
        EMAIL,
        f"{EMAIL}\n    schedule: {{cron: '0 6 * * *', timezone: Europe/Berln}}",
        "'Europe/Berln' is not an IANA time zone. Did you mean 'Europe/Berlin'?",
        "15:45",
    ),
    (EMAIL, f"{EMAIL}\n    require: {{Consent: null}}", "must be a value to compare with, not null", "15:24"),
    (
        EMAIL,
        f"{EMAIL}\n    require: {{Consent: []}}",
        "must be a value to compare with, not an empty list",
        "15:24",
    ),
    (
        EMAIL,
        f"{EMAIL}\n    require: {{Consent: [[1]]}}",
        "must be a value to compare with, not a list",
        "15:24",
    ),
    (EMAIL, f"{EMAIL}\n    require: {{Consent: 1.0e999}}", "must be a value to compare with", "15:24"),
    (
        EMAIL,
        f"{EMAIL}\n    require: [Consent]",
        "exports.vip.require: must be a mapping, not a list",
        "15:14",
    ),
    (EMAIL, f"{EMAIL}\n    prefer: Income", "exports.vip.prefer: must be a list, not 'Income'", "15:13"),
    (EMAIL, f"{EMAIL}\n    prefer: [desc]", "prefer[0]: must be a column, not 'desc'", "15:14"),
    (
        EMAIL,
        f"{EMAIL}\n    prefer: [{{Income: desc}}]",
        "prefer[0]: must be a column, not a mapping",
        "15:14",
    ),
    (EMAIL, f"{EMAIL}\n    prefer: [A, A desc]", "prefer[1]: the column 'A' is given twice", "15:17"),
    (
        EMAIL,
        f"{EMAIL}\n    on_exit: remove",
        "must be 'keep', 'remove_tag' or 'archive', not 'remove'",
        "15:14",
    ),
    (EMAIL, f"{EMAIL}\n    new_members: Pending", "'Pending'. Did you mean 'pending'?", "15:18"),
    (EMAIL, f"{EMAIL}\n    max_profiles: 1000001", "must be at most 1,000,000, not 1,000,001", "15:19"),
    (EMAIL, f"{EMAIL}\n    max_profiles: 0", "max_profiles: must be at least 1, not 0", "15:19"),
    (EMAIL, f"{EMAIL}\n    max_profiles: '5'", "max_profiles: must be a whole number, not '5'", "15:19"),
    (EMAIL, f"{EMAIL}\n    max_profiles: true", "max_profiles: must be a whole number, not true", "15:19"),
    (EMAIL, f"{EMAIL}\n    enabled: 1", "exports.vip.enabled: must be true or false, not 1", "15:14"),
    (EMAIL, f"{EMAIL}\n    enabled: 'false'", "enabled: must be true or false, not 'false'", "15:14"),
    (EMAIL, f"{EMAIL}\n    guards: {{max_exit_percent: 101}}", "must be at most 100, not 101", "15:32"),
    (EMAIL, f"{EMAIL}\n    guards: {{max_exit_percent: -1}}", "must be at least 0, not -1", "15:32"),
    (EMAIL, f"{EMAIL}\n    guards: {{max_exit_percent: 20%}}", "must be a number, not '20%'", "15:32"),
    (EMAIL, f"{EMAIL}\n    guards: {{max_exits: 20}}", "Did you mean 'max_exit_percent'?", "15:14"),
    (EMAIL, f"{EMAIL}\n    fresh_within_hours: 0", "fresh_within_hours: must be more than 0, not 0", "15:25"),
    (EMAIL, f"{EMAIL}\n    drift: {{cron: '61 4 * * *'}}", "the minute '61' is outside 0 to 59", "15:19"),
    (EMAIL, f"{EMAIL}\n    drift: {{timezone: UTC}}", "exports.vip.drift: 'cron' is missing", "15:5"),
    (
        EMAIL,
        f"{EMAIL}\n    drift: {{cron: '0 4 * * *', timezone: Berlin}}",
        "is not an IANA time zone",
        "15:42",
    ),
    (EMAIL, f"{EMAIL}\n    drift: weekly", "exports.vip.drift: must be a mapping", "15:12"),
    # alerts and defaults
    (TOP, "version: 1\nalerts: {to: {env: A}}", "alerts: must be a list, not a mapping", "2:9"),
    (TOP, "version: 1\nalerts: [{on: [failed]}]", "alerts[0]: 'to' is missing", "2:10"),
    (TOP, "version: 1\nalerts: [{to: {env: A}, on: [fail]}]", "'fail'. Did you mean 'failed'?", "2:30"),
    (TOP, "version: 1\nalerts: [{to: {env: A}, on: []}]", "alerts[0].on: is empty", "2:29"),
    (TOP, "version: 1\nalerts: [{to: 'https://hook/x'}]", "alerts[0].to: a secret must not stand", "2:15"),
    (TOP, "version: 1\ndefaults: {on_exit: stay}", "defaults.on_exit: must be 'keep'", "2:21"),
    (TOP, "version: 1\ndefaults: {audience: x}", "defaults: unknown key 'audience'", "2:12"),
    (TOP, "version: 1\ndefaults: null", "defaults: must be a mapping, not null", "2:11"),
]


@pytest.mark.parametrize(
    ("line", "instead", "said", "where"), ROWS, ids=[f"{row[3]} {row[2][:40]}" for row in ROWS]
)
def test_a_wrong_line_is_one_problem_with_its_place_and_a_fix(
    load_text: LoadText, valid: str, *, line: str, instead: str, said: str, where: str
) -> None:
    """A wrong line is one problem: what is wrong, where it is, and what to do."""
    text = valid.replace(f"{line}\n", f"{instead}\n", 1)

    with pytest.raises(FixConfigError) as caught:
        load_text(text)

    (problem,) = caught.value.problems
    assert caught.value.code == "invalid_config"
    assert said in problem.message
    assert str(problem.place) == f"exports.yaml:{where}"
    assert problem.fix


def test_a_required_part_of_an_address_may_not_be_null(load_text: LoadText, valid: str) -> None:
    """A part of an address that is null has its own place."""
    text = valid + "    merge_fields: {A: {addr1: null, city: C, state: T, zip: Z}}\n"

    with pytest.raises(FixConfigError, match=r"merge_fields\.A\.addr1: must be a text, not null") as caught:
        load_text(text)

    assert str(caught.value.problems[0].place) == "exports.yaml:16:31"
