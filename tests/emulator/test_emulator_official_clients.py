"""Mailchimp's own clients, unchanged, against the emulator."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import mailchimp_marketing
import pytest
from mailchimp_marketing.api_client import ApiClientError

ANN = "ann@contoso-mail.internal"
BEN = "ben@contoso-mail.internal"
HASH = hashlib.md5(ANN.encode()).hexdigest()


@pytest.fixture
def client(api: Any, api_key: str) -> Any:
    """The official Python client, pointed at the emulator the one way it allows."""
    client = mailchimp_marketing.Client({"api_key": api_key, "server": "us1"})
    client.api_client.host = api.emulator.url
    return client


def test_python_pings_and_reads_the_audience(api: Any, client: Any) -> None:
    """Account, audiences and merge fields."""
    assert client.ping.get() == {"health_status": "Everything's Chimpy!"}
    assert client.root.get_root()["account_name"] == "Emulated account"
    assert client.lists.get_all_lists()["total_items"] == 1
    assert client.lists.get_list(api.audience)["name"] == "Newsletter"
    made = client.lists.add_list_merge_field(api.audience, {"name": "City", "type": "text", "tag": "CITY"})
    fields = client.lists.get_list_merge_fields(api.audience, count=1000)["merge_fields"]
    assert [field["tag"] for field in fields] == ["FNAME", "LNAME", "AGE", made["tag"]]


def test_python_writes_many_and_reads_pages(api: Any, client: Any) -> None:
    """The 500-member call, then pages of members by status."""
    rows = [{"email_address": f"p{i}@contoso-mail.internal", "status": "subscribed"} for i in range(25)]

    answer = client.lists.batch_list_members(api.audience, {"members": rows, "update_existing": True})
    pages = [
        client.lists.get_list_members_info(api.audience, count=10, offset=offset, status="subscribed")
        for offset in (0, 10, 20)
    ]

    assert answer["total_created"] == 25
    assert [len(page["members"]) for page in pages] == [10, 10, 5]


def test_python_works_on_one_member(api: Any, client: Any) -> None:
    """PUT, PATCH, tags, archive, and the error of a second archive."""
    put = {"email_address": ANN, "status_if_new": "subscribed", "merge_fields": {"FNAME": "Ann"}}
    client.lists.set_list_member(api.audience, HASH, put)
    client.lists.update_list_member(api.audience, HASH, {"merge_fields": {"LNAME": "Lee"}})
    tags = {"tags": [{"name": "VIP", "status": "active"}]}
    client.lists.update_list_member_tags(api.audience, HASH, tags)
    assert client.lists.get_list_member(api.audience, HASH)["full_name"] == "Ann Lee"
    assert client.lists.get_list_member_tags(api.audience, HASH)["tags"][0]["name"] == "VIP"

    client.lists.delete_list_member(api.audience, HASH)

    with pytest.raises(ApiClientError) as caught:
        client.lists.delete_list_member(api.audience, HASH)
    assert caught.value.status_code == 405
    assert json.loads(caught.value.text)["title"] == "Method Not Allowed"


def test_python_works_on_tags(api: Any, client: Any) -> None:
    """Segments, their members, and the search."""
    api.emulator.add_members(api.audience, [{"email_address": ANN}, {"email_address": BEN}])
    made = client.lists.create_segment(api.audience, {"name": "VIP", "static_segment": [ANN]})

    change = {"members_to_add": [BEN], "members_to_remove": [ANN]}
    answer = client.lists.batch_segment_members(change, api.audience, str(made["id"]))
    members = client.lists.get_segment_members_list(api.audience, str(made["id"]))

    assert (answer["total_added"], answer["total_removed"]) == (1, 1)
    assert [member["email_address"] for member in members["members"]] == [BEN]
    assert client.lists.tag_search(api.audience, name="v")["total_items"] == 1
    assert client.lists.list_segments(api.audience)["total_items"] == 1


def test_python_runs_batch_operations(api: Any, client: Any) -> None:
    """Queue, wait, finished."""
    body = json.dumps({"email_address": ANN, "status": "subscribed"})
    operation = {"method": "POST", "path": f"/lists/{api.audience}/members", "body": body}

    batch = client.batches.start({"operations": [operation]})
    states = [client.batches.status(batch["id"])["status"] for _ in range(2)]

    assert states == ["started", "finished"]
    assert ANN in api.emulator.members(api.audience)


SCRIPT = """
const mc = require('@mailchimp/mailchimp_marketing');
const [url, key, list] = process.argv.slice(2);
mc.setConfig({apiKey: key, server: 'us1'});
mc.lists.apiClient.basePath = url;
(async () => {
  const members = [{email_address: 'ann@contoso-mail.internal', status: 'subscribed', tags: ['VIP']}];
  const out = {};
  out.ping = (await mc.ping.get()).health_status;
  out.lists = (await mc.lists.getAllLists()).total_items;
  out.created = (await mc.lists.batchListMembers(list, {members, update_existing: true})).total_created;
  out.members = (await mc.lists.getListMembersInfo(list, {count: 1})).members.map(m => m.email_address);
  const segments = await mc.lists.listSegments(list);
  out.tags = segments.segments.map(s => s.name);
  const batch = await mc.batches.start({operations: [{method: 'GET', path: '/ping'}]});
  out.batch = batch.status;
  try { await mc.lists.getList('ffffffffff'); } catch (e) { out.problem = [e.status, e.response.body.title]; }
  console.log(JSON.stringify(out));
})();
"""


@pytest.mark.slow
def test_node_does_the_same(
    api: Any, api_key: str, tmp_path: Path, machine_environment: dict[str, str]
) -> None:
    """The official npm client, in a process of its own."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed")
    install = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(tmp_path)]
    package = "@mailchimp/mailchimp_marketing@3.0.80"
    subprocess.run([*install, package], env=machine_environment, timeout=600, check=True)
    script = tmp_path / "script.js"
    script.write_text(SCRIPT)

    command = [node, str(script), api.emulator.url, api_key, api.audience]
    done = subprocess.run(command, env=machine_environment, timeout=60, check=True, capture_output=True)

    assert json.loads(done.stdout) == {
        "ping": "Everything's Chimpy!",
        "lists": 1,
        "created": 1,
        "members": [ANN],
        "tags": ["VIP"],
        "batch": "pending",
        "problem": [404, "Resource Not Found"],
    }
