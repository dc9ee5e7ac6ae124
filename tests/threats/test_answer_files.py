"""What answer files hold stays where it belongs. THREATS T014, T019, T022."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from deployer.answers import prepare
from deployer.answers.families import Catalogue, FoundFamily
from deployer.answers.render import environment, render_file, render_string
from deployer.app import create_machine_app
from deployer.errors import Invalid
from deployer.services import inventory
from deployer.services.people import Role
from tests import golden
from tests.support.server import RunningServer, statuses
from tests.support.service import MAC, Service

on_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


# --- secrets ----------------------------------------------------------------------------------

USER_HASH = "$6$markeduser$MARKEDuserHASH0000000000000000000000000000"
ROOT_HASH = "$6$markedroot$MARKEDrootHASH0000000000000000000000000000"


def forms(secret: str) -> list[bytes]:
    """How a secret may look in what we produce: plain, URL-encoded, hex, base64 at any offset."""
    raw = secret.encode()
    found = [raw, quote(secret, safe="").encode(), raw.hex().encode(), raw.hex().upper().encode()]
    for shift in range(3):
        # What comes before and after changes the first and last characters.
        found.append(base64.b64encode(b"x" * shift + raw)[4:-4])
        found.append(base64.urlsafe_b64encode(b"x" * shift + raw)[4:-4])
    return found


def leaks(secrets: dict[str, str], produced: dict[str, bytes]) -> list[str]:
    return [
        f"{name} in {where}"
        for name, secret in secrets.items()
        for where, content in produced.items()
        if any(form in content for form in forms(secret))
    ]


def plays_a_whole_deployment(service: Service) -> str:
    """With everything that may go wrong on the way: thieves, broken bodies, unknown events."""
    service.knows(
        users=[{"name": "ops", "password_hash": USER_HASH}], root={"password_hash": ROOT_HASH}
    )
    id_ = service.deploys()
    machine, thief = service.machine(), service.machine(address="10.0.0.66")
    machine.asks(), machine.asks(loader="grub"), thief.asks()
    thief.http.get(str(machine.plan_url))
    assert USER_HASH in machine.fetches_plan().text
    machine.http.get(str(machine.plan_url).replace("plan.json", "nothing"))
    machine.http.get(str(machine.plan_url).replace("/d/", "/d//"))
    machine.http.get("/images/x" + str(machine.plan_url))
    machine.http.post(machine.url("progress"), content=b"{", headers=JSON)
    machine.http.post(machine.url("progress"), content=b"x" * 70_000)
    machine.phones_home("nonsense"), machine.phones_home("installer_started")
    machine.reports_disks(), machine.progresses("writing", 50, "half"), machine.fetches_plan()
    machine.sends_log(b"log"), machine.phones_home("installer_finished")
    machine.phones_home("first_boot")
    assert service.state(id_) == "ready"
    return id_


JSON = {"Content-Type": "application/json"}


def answers_to_people(service: Service, id_: str) -> Iterator[tuple[str, bytes]]:
    gets = ["hosts", "hosts/web01", "profiles", "profiles/debian-12-image", "audit", "tokens",
            "images", "deployments", f"deployments/{id_}", f"deployments/{id_}/events",
            f"deployments/{id_}/explain", f"deployments/{id_}/logs/agent.log"]  # fmt: skip
    for path in gets:
        yield path, service.api.get(f"/api/v1/{path}").content
    body = {"host": "web01", "profile": "debian-12-image"}
    yield "dry run", service.api.post("/api/v1/deployments?dry_run=true", json=body).content
    yield "check", service.api.post("/api/v1/profiles/debian-12-image/check", json={}).content
    yield "retry", service.api.post(f"/api/v1/deployments/{id_}/retry").content
    for path in ("metrics", "readyz", "openapi.json", "nothing"):
        yield path, service.api.get(f"/{path}").content


@pytest.mark.slow
def test_t014_a_secret_is_in_the_one_answer_that_carries_it_and_nowhere_else(
    service: Service, capfd: pytest.CaptureFixture[str], backend: str
) -> None:
    id_ = plays_a_whole_deployment(service)
    tokens = service.parts.tokens(id_)
    api_token = service.token(Role.ADMIN)
    service.api.get("/api/v1/hosts", headers={"Authorization": f"Bearer {api_token}"})
    service.api.get(f"/api/v1/hosts?q={api_token[:190]}", headers={"Authorization": api_token})
    secrets = {
        **{str(purpose): token for purpose, token in tokens.items()},
        "API token": api_token,
        "server key": service.parts.key.hex(),
        "SSH key": service.parts.ssh_key_file.read_text().split("\n")[1],
    }
    hashes = {"user's hash": USER_HASH, "root's hash": ROOT_HASH}
    produced = dict(answers_to_people(service, id_))
    out, err = capfd.readouterr()
    assert id_ in err, "the log is what we think it is"
    produced |= {"log": (out + err).encode()}
    assert leaks(secrets | hashes, produced) == []
    # The database must keep the hashes, as it renders from them; it keeps nothing else.
    assert leaks(secrets, stored_bytes(service, backend)) == []


def stored_bytes(service: Service, backend: str) -> dict[str, bytes]:
    """All that the database wrote, the write-ahead log included."""
    if backend == "sqlite":
        files = list(service.parts.settings.data_dir.glob("*.db*"))
        assert any(file.name.endswith("-wal") for file in files)
        return {file.name: file.read_bytes() for file in files}
    with service.parts.database.engine.connect() as connection:
        names = connection.exec_driver_sql(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).scalars()
        return {
            name: b"\n".join(
                row.encode()
                for row in connection.exec_driver_sql(f'SELECT t::text FROM "{name}" t').scalars()
            )
            for name in names.all()
        }


@pytest.mark.slow
@on_sqlite
def test_t014_the_search_for_secrets_would_find_them(service: Service) -> None:
    id_ = plays_a_whole_deployment(service)
    token = next(iter(service.parts.tokens(id_).values()))
    for hidden in (token, token.encode().hex(), base64.b64encode(f"a {token} b".encode()).decode()):
        assert leaks({"token": token}, {"log": f"... {hidden} ...".encode()}) == ["token in log"]


WITH_PASSWORDS: list[dict[str, object]] = [
    {"network": {"interfaces": [{"mac": "52:54:00:00:00:99"}]}},
    {"power": {"driver": "manual", "password": "MARKED-password"}},
    {"power": {"driver": "nonsense", "password": "MARKED-password"}},
    {"ssh": {"password": "MARKED-password"}},
]


@on_sqlite
def test_t014_an_error_repeats_no_password(service: Service) -> None:
    service.knows()
    # As a driver with a password stores it.
    with service.parts.database.writing() as session:
        host = inventory.find_host(session, "web01")
        host.spec = {**host.spec, "power": {"driver": "manual", "password": "MARKED-password"}}
        session.add(host)
    for changes in WITH_PASSWORDS:
        answer = service.api.patch("/api/v1/hosts/web01", json=changes)
        assert answer.status_code == 422
        assert "MARKED" not in answer.text, changes
    assert "MARKED" not in service.api.get("/api/v1/hosts/web01").text


@on_sqlite
def test_t014_a_password_typed_where_a_hash_belongs_is_not_repeated(service: Service) -> None:
    body = {"name": "p", "os": "image", "release": "debian-12"}
    for users in ([{"name": "ops", "password_hash": "hunter2"}],
                  [{"name": "ops", "password": "hunter2"}]):  # fmt: skip
        answer = service.api.post("/api/v1/profiles", json={**body, "users": users})
        assert answer.status_code == 422
        assert "hunter2" not in answer.text


# --- templates --------------------------------------------------------------------------------

HOSTILE = [
    "{{ ''.__class__ }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ host.__class__.__base__ }}",
    "{{ host | attr('__class__') }}",
    "{{ host.items.__func__ }}",
    "{{ '{0.__class__}'.format(host) }}",
    "{{ '{a.__class__}'.format_map({'a': host}) }}",
    "{{ ('{0.__class__}' | attr('format'))(host) }}",
    "{{ '%s' | format(host.__class__) }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ self.__init__.__globals__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ range.__self__ }}",
    "{{ config }}",
    "{{ host.update({'name': 'x'}) }}",
    "{{ profile.users.append(1) }}",
    "{{ ().__class__.__bases__[0].__subclasses__() | list }}",
    "{% include '/etc/passwd' %}",
    "{% include '../../pyproject.toml' %}",
    "{% include '../image/family.yaml' %}",
    "{% import '/etc/passwd' as x %}{{ x }}",
    "{% extends '/proc/self/environ' %}",
    "{% from 'os' import path %}",
    "{{ joiner.__init__.__builtins__ }}",
    "{% for x in host.__dict__ %}{{ x }}{% endfor %}",
    "{{ (1).__class__.__name__ }}",
    "{{ 'x'.encode().__class__ }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ dict.__subclasses__() }}",
]


@pytest.fixture
def family() -> FoundFamily:
    found = Catalogue([golden.ANSWERFILES]).get("image")
    assert found is not None
    return found


@pytest.mark.parametrize("template", HOSTILE)
def test_t019_a_hostile_template_is_an_error_for_its_author(
    family: FoundFamily, tmp_path: Path, template: str
) -> None:
    (tmp_path / "own.j2").write_text(f"\n{template}\n")
    own = FoundFamily(family.family, (tmp_path, *family.folders))
    values = golden.context_of(
        golden.snapshot(own, {"name": "web01", "macs": [MAC]}, {"name": "web"})
    )
    with pytest.raises(Invalid) as refusal:
        render_file(environment(own), "own.j2", values)
    assert refusal.value.findings[0].message
    with pytest.raises(Invalid):
        render_string(environment(own), template, values, "family.yaml", "boot.args")


def plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and plain(inner) for key, inner in value.items())
    if isinstance(value, list):
        return all(map(plain, value))
    return value is None or type(value) in (str, int, float, bool)


def test_t019_a_template_sees_plain_values_only(family: FoundFamily) -> None:
    host = {"name": "web01", "macs": [MAC], "vars": {"a": [1, {"b": None}]}}
    assert plain(golden.context_of(golden.snapshot(family, host, {"name": "web"})))


def test_t019_text_of_a_profile_is_never_a_template(family: FoundFamily) -> None:
    profile = {"name": "web", "scripts": {"post": "echo {{ 7 * 7 }} {% include 'x' %}"}}
    snapshot = golden.snapshot(family, {"name": "web01", "macs": [MAC]}, profile)
    plan = prepare.answers(family, golden.context_of(snapshot))["plan.json"]
    assert "echo {{ 7 * 7 }} {% include 'x' %}" in plan


# --- names of files ---------------------------------------------------------------------------

TRICKS = [
    "../deployer.db", "..%2fdeployer.db", "%2e%2e/deployer.db", "%2e%2e%2fdeployer.db",
    "..%5cdeployer.db", "..\\deployer.db", "....//deployer.db", "%252e%252e%252fdeployer.db",
    "/etc/passwd", "%2fetc%2fpasswd", "//etc/passwd", "vmlinuz%00", "vmlinuz%00.txt", "%00",
    "./vmlinuz", "vmlinuz/", "vmlinuz/.", "vmlinuz/../../../deployer.db", "unlisted", "link",
    "a" * 5000, "file:///etc/passwd", "/proc/self/environ", "VMLINUZ", "",
    "~/.ssh/id_ed25519", "C:%5cWindows", "keys/server.key", "%c0%ae%c0%ae/deployer.db",
]  # fmt: skip
PLACES = [
    "/images/live-x86_64/{}", "/images/{}", "/images/{}/vmlinuz", "/images/live-x86_64/../{}",
    "/d/TOKEN/answers/{}", "/{}",
]  # fmt: skip


@pytest.mark.slow
def test_t022_no_name_leads_to_a_file_that_was_not_meant(service: Service) -> None:
    folder = service.parts.settings.images_dir / "live-x86_64"
    (folder / "unlisted").write_text("unlisted")
    (folder / "link").symlink_to("/etc/passwd")
    service.knows()
    id_ = service.deploys()
    service.machine().asks()
    token = next(iter(service.parts.tokens(id_).values()))
    with RunningServer(create_machine_app(service.parts)) as server:
        for place in PLACES:
            for trick in TRICKS:
                path = place.format(trick).replace("TOKEN", token)
                request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
                answer = server.says(request.encode())
                assert statuses(answer)[0] in (307, 400, 404), path
                assert b"root:" not in answer and b"SQLite" not in answer, path
    assert service.state(id_) == "booting"


@on_sqlite
def test_t022_a_listed_file_that_is_a_link_out_of_its_folder_is_not_served(
    service: Service,
) -> None:
    kernel = service.parts.settings.images_dir / "live-x86_64" / "vmlinuz"
    assert service.machine().http.get("/images/live-x86_64/vmlinuz").status_code == 200
    kernel.unlink()
    kernel.symlink_to("/etc/passwd")
    assert service.machine().http.get("/images/live-x86_64/vmlinuz").status_code == 404


def test_t022_a_name_in_the_api_is_a_name_and_no_path(service: Service) -> None:
    service.knows()
    id_ = service.queues()
    places = ["hosts", "profiles", "images", "deployments", f"deployments/{id_}/logs"]
    for trick in ("..%2f..%2fetc", "%2e%2e", "x%00", "%00", "a" * 300, "x%0ay"):
        for place in places:
            answer = service.api.get(f"/api/v1/{place}/{trick}")
            assert answer.status_code in (404, 422), (place, trick)


@on_sqlite
def test_t022_a_profile_names_no_path(service: Service) -> None:
    body = {"name": "p", "os": "image", "release": "debian-12"}
    for name in ("../x", "..", ".", "a/b", "a\\b", "-x", "a\n", "a" * 101, "/x"):
        for field in ("name", "os", "workflow"):
            answer = service.api.post("/api/v1/profiles", json={**body, field: name})
            assert answer.status_code == 422, (field, name)
    for url in ("file:///etc/passwd", "/etc/passwd", "gopher://x", "http://a b/", "http://"):
        answer = service.api.post("/api/v1/profiles", json={**body, "mirror": url})
        assert answer.status_code == 422
