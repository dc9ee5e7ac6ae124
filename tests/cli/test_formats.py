"""YAML, INI and CSV say the same things; mistakes are named with their line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deployer.cli import fleet, formats
from deployer.errors import Finding, Invalid

MACS = ["52:54:00:aa:00:01", "52:54:00:aa:00:02"]
FULL: dict[str, Any] = {
    "name": "lab01", "macs": MACS, "serial": "S 1", "protected": True,
    "labels": {"group": "lab", "rack": "b1"},
}  # fmt: skip


def read(folder: Path, name: str, text: str, encoding: str = "utf-8") -> list[fleet.Item]:
    (folder / name).write_text(text, encoding=encoding)
    return fleet.read([folder / name])


def findings(folder: Path, name: str, text: str) -> list[Finding]:
    with pytest.raises(Invalid) as error:
        read(folder, name, text)
    return error.value.findings


def test_yaml_says_everything(tmp_path: Path) -> None:
    text = (
        "# nothing\n---\nkind: host\nname: lab01\nmacs: [525400aa0001, 52-54-00-AA-00-02]\n"
        "serial: S 1\nprotected: true\nlabels: {group: lab, rack: b1}\n"
    )
    assert [item.body for item in read(tmp_path, "a.yml", text)] == [FULL]


def test_an_inventory_has_groups_and_their_variables(tmp_path: Path) -> None:
    text = (
        "; an inventory\nalone mac=52:54:00:aa:00:09\n\n[lab]  # two cards\n"
        "lab01 macs=525400aa0001,5254.00aa.0002 serial='S 1' ansible_host=10.0.0.9  # here\n"
        "\n[lab:vars]\nlabel.rack = b1\nprotected=yes\n"
    )
    alone, lab01 = read(tmp_path, "a.ini", text)
    assert alone.body == {"name": "alone", "macs": ["52:54:00:aa:00:09"]}
    assert lab01.body == FULL
    assert lab01.place == f"{tmp_path}/a.ini:5"


@pytest.mark.parametrize("comma", [",", ";"])
def test_a_spreadsheet_has_one_host_per_line(tmp_path: Path, comma: str) -> None:
    rows = [
        ["name", "macs", "uuid", "serial", "protected", "label.group", "label.rack"],
        ["lab01", "525400aa0001 52-54-00-aa-00-02", "", "S 1", "yes", "lab", "b1"],
        ["", "", "", "", "", "", ""],
    ]
    text = "\r\n".join(comma.join(row) for row in rows)
    # With the mark that spreadsheets put before UTF-8.
    (item,) = read(tmp_path, "a.csv", text, encoding="utf-8-sig")
    assert item.body == FULL


def test_macs_in_a_cell_may_be_separated_by_semicolons(tmp_path: Path) -> None:
    (item,) = read(tmp_path, "a.csv", f"name,macs\nlab01,{';'.join(MACS)}\n")
    assert item.body["macs"] == MACS


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("a.yaml", "kind: host\nname: [", "a.yaml, line 2"),
        ("a.yaml", "kind: host\nname: a\nname: b\n", "a.yaml, line 3"),
        ("a.ini", "[lab:children]\nb\n", "a.ini:1"),
        ("a.ini", "[lab]\nlab01 mac\n", "a.ini:2"),
        ("a.ini", "lab01 mac='x\n", "a.ini:1"),
        ("a.ini", "lab01 colour=red\n", "a.ini:1"),
        ("a.csv", "name,macs\na,525400aa0001,b\n", "a.csv:2"),
        ("a.csv", "name,colour\na,red\n", "a.csv:2"),
        ("a.csv", 'name,macs\na,"52\n', "a.csv:2"),
    ],
)
def test_a_mistake_of_form_is_named_with_its_line(
    tmp_path: Path, name: str, text: str, place: str
) -> None:
    (found,) = findings(tmp_path, name, text)
    assert place in found.message
    assert found.remedy


@pytest.mark.parametrize(
    ("text", "line", "message", "remedy"),
    [
        ("name: Web_1\nmacs: [525400aa0001]", 2, "must be a host name", "correct it"),
        ("name: a\nmacs:\n  - 525400aa0001\n  - 52", 5, "must be a MAC address", "correct it"),
        ("name: a\nlables: {}\nmacs: [525400aa0001]", 3, "no such field", "mean labels?"),
        ("name: a\nmacs: [525400aa0001]\nlabels:\n  rack: 1", 5, "valid string", 'quotes: "1"'),
        ("name: a", 1, "is missing", "add it"),
        ("name: a\nmacs: [525400aa0001]\nvars: {a: .nan}", 4, "JSON", "text and numbers"),
        ("name: a\nmacs: [525400aa0001]\npower: {driver: x, password: '********'}", 4,
         "is a mask", "write the secret itself"),
        ("name: a\nmacs: [525400aa0001]\nlocal_boot: sideways", 4, "'sanboot'", "correct it"),
    ],
)  # fmt: skip
def test_a_broken_rule_is_named_with_line_and_remedy(
    tmp_path: Path, text: str, line: int, message: str, remedy: str
) -> None:
    (found,) = findings(tmp_path, "a.yaml", f"kind: host\n{text}\n")
    assert (found.file, found.line) == (str(tmp_path / "a.yaml"), line)
    assert message in found.message
    assert remedy in found.remedy


@pytest.mark.parametrize("text", ["kind: hosst\nname: a", "name: a", "- a", "text"])
def test_what_is_no_host_and_no_profile_is_said(tmp_path: Path, text: str) -> None:
    (found,) = findings(tmp_path, "a.yaml", text)
    assert found.line == 1
    assert "kind: host" in found.remedy


def test_the_value_of_a_password_is_not_repeated(tmp_path: Path) -> None:
    text = "kind: profile\nname: p\nos: image\nrelease: r\nroot: {password_hash: hunter2}\n"
    (found,) = findings(tmp_path, "a.yaml", text)
    assert found.line == 5
    assert "hunter2" not in found.message


def test_everything_that_is_wrong_is_found_at_once(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("kind: host\nname: B\n")
    (tmp_path / "c.csv").write_text("name,macs\nc,1\n")
    (tmp_path / "d.yaml").write_bytes(b"a: 1\n\xff")
    (tmp_path / "README.md").write_text("no fleet")
    with pytest.raises(Invalid) as error:
        fleet.read([tmp_path])
    places = [(Path(found.file or "").name, found.line) for found in error.value.findings]
    assert places == [("b.yaml", 1), ("b.yaml", 2), ("c.csv", 2), ("d.yaml", 2)]


def test_one_name_mac_or_uuid_in_two_places_names_both(tmp_path: Path) -> None:
    uuid = "4c4c4544-0044-4a10-8031-b1c04f564432"
    (tmp_path / "a.yaml").write_text(
        f"kind: host\nname: a\nuuid: {uuid}\nmacs: [525400aa0001]\n---\n"
        "kind: profile\nname: a\nos: image\nrelease: r\n"
    )
    (tmp_path / "b.csv").write_text(
        f"name,macs,uuid\na,525400aa0002,\nb,52:54:00:AA:00:01,\nc,525400aa0003,{uuid.upper()}\n"
    )
    with pytest.raises(Invalid) as error:
        fleet.read([tmp_path])
    said = {found.line: found.message for found in error.value.findings}
    assert said == {
        2: f"name: host a is described twice in {tmp_path}/a.yaml:2",
        3: f"macs: 52:54:00:aa:00:01 of b is also that of a in {tmp_path}/a.yaml:4",
        4: f"uuid: {uuid} of c is also that of a in {tmp_path}/a.yaml:3",
    }


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name,macs\na,525400aa0001\n")
    assert len(fleet.read([tmp_path, tmp_path / "a.csv"])) == 1


@pytest.mark.parametrize("name", ["nothing.yaml", "empty"])
def test_a_folder_without_files_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(Invalid):
        fleet.read([tmp_path / name])


def test_another_kind_of_file_is_refused() -> None:
    with pytest.raises(Invalid, match="not known"):
        formats.read("", "fleet.toml")
