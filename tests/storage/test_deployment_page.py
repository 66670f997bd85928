"""docs/deployment.md: what people copy from it can be used as it stands."""

import configparser
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from house.pages import ROOT, blocks

PAGE = ROOT / "docs" / "deployment.md"
UNITS = blocks(PAGE, "ini")
BIN = "/opt/ci-mailchimp/bin/"


def _command(unit: str) -> list[str]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[method-assign,assignment]  # systemd minds the case
    parser.read_string(unit)
    return shlex.split(parser["Service"]["ExecStart"])


def _yaml(word: str) -> Any:
    (shown,) = (block.text for block in blocks(PAGE, "yaml") if word in block.text)
    return yaml.safe_load(shown)


@pytest.mark.parametrize("block", UNITS, ids=str)
def test_units_are_right(block: Any, tmp_path: Path) -> None:
    """Systemd itself finds nothing wrong with a unit, once its programs are where they are here."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd here")
    names = re.findall(r"^`(ci-mailchimp-\w+\.service)`", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    for name, unit in zip(names, UNITS, strict=True):
        text = unit.text.replace(BIN, f"{Path(sys.executable).parent}/")
        (tmp_path / name).write_text(text.replace("User=ci-mailchimp", "User=root"), encoding="utf-8")
    name = names[UNITS.index(block)]

    done = subprocess.run(
        [program, "verify", "--man=no", name], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip

    assert [line for line in done.stderr.splitlines() if name in line] == []


@pytest.mark.parametrize("block", UNITS, ids=str)
def test_units_start_programs_that_are_installed(block: Any) -> None:
    """Each command is one that the package brings, with private files, and starts again when it ends."""
    command = _command(block.text)

    assert command[0].startswith(BIN)
    assert Path(sys.executable).with_name(command[0].removeprefix(BIN)).exists()
    assert "UMask=0077" in block.text
    assert "Restart=always" in block.text


def test_page_and_daemon_look_where_the_code_server_is() -> None:
    """One address, and the name under which sensors remember, as in the repository's workspace.yaml."""
    (server,) = (each["grpc_server"] for each in _yaml("grpc_server")["load_from"])
    code = next(command for block in UNITS if "code-server" in (command := _command(block.text)))
    ours = yaml.safe_load((ROOT / "workspace.yaml").read_bytes())["load_from"][0]["python_module"]

    assert code[code.index("-h") + 1] == server["host"]
    assert code[code.index("-p") + 1] == str(server["port"])
    assert code[code.index("-m") + 1] == ours["module_name"]
    assert server["location_name"] == ours["location_name"]


def test_component_is_the_one_of_the_example() -> None:
    """The defs.yaml shown is that of examples/project, word for word."""
    there = ROOT / "examples" / "project" / "contoso" / "defs" / "newsletter" / "defs.yaml"

    assert _yaml("MailchimpExports") == yaml.safe_load(there.read_bytes())


def test_pod_is_alone_with_its_ledger() -> None:
    """One replica, ended before the next one starts, as the container's user, on a volume that stays."""
    shown = _yaml("kind: Deployment")["spec"]
    pod = shown["template"]["spec"]
    (container,) = pod["containers"]
    (dockerfile,) = blocks(PAGE, "dockerfile")

    assert (shown["replicas"], shown["strategy"]["type"]) == (1, "Recreate")
    assert shown["selector"]["matchLabels"] == shown["template"]["metadata"]["labels"]
    assert f"--uid {pod['securityContext']['runAsUser']} " in dockerfile.text
    assert container["volumeMounts"][0]["name"] == pod["volumes"][0]["name"]
    assert f"VOLUME {container['volumeMounts'][0]['mountPath']}\n" in dockerfile.text
    assert f"CMD {container['args']}\n".replace("'", '"') in dockerfile.text


def test_container_installs_extras_that_exist_and_is_not_root() -> None:
    """The extras are the package's own; known instructions only; the last user is not root."""
    (dockerfile,) = blocks(PAGE, "dockerfile")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    lines = dockerfile.text.replace("\\\n", " ").splitlines()

    named = re.findall(r"ci-mailchimp-pipeline\[([\w,]+)\]", PAGE.read_text(encoding="utf-8"))

    assert {extra for group in named for extra in group.split(",")} <= set(extras)
    assert {line.split()[0] for line in lines} <= {
        "FROM", "RUN", "COPY", "ENV", "USER", "VOLUME", "EXPOSE", "CMD",
    }  # fmt: skip
    assert [line for line in lines if line.startswith("USER")] == ["USER exports"]
