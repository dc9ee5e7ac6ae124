"""Windows, applied in Windows PE by our own script, and what it reads at its first start.

The pass windowsPE of an operator's own unattend.xml has no reader here: deployer.js does what it
would say, from the description. What of it would then be lost is a finding.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, ClassVar

from deployer.answers.checks import CORRECT, finding_at
from deployer.answers.filters import windows_names as names
from deployer.answers.grammars import windows_scripts as scripts
from deployer.answers.grammars import windows_unattend as unattend
from deployer.answers.grammars.windows_rules import Problem
from deployer.answers.grammars.windows_xml import Node, Unreadable, read
from deployer.core.families import Answer
from deployer.errors import Finding

# Findings of one file; nobody reads on after so many.
_MOST = 50


# --- filters ----------------------------------------------------------------------------------


def as_jscript(value: Any) -> str:
    """JSON in ASCII: cscript.exe reads a file without byte order mark in the code page of PE."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False)


def as_powershell(value: Any) -> str:
    """A literal: single quotes, in which nothing is expanded; base64 where it is not ASCII.

    PowerShell takes typographic quotes for quotes, and a file without byte order mark for ANSI.
    """
    if value is None or isinstance(value, bool):
        return {None: "$null", True: "$true", False: "$false"}[value]
    text = str(value)
    if all(" " <= c <= "~" or c in "\n\t" for c in text):
        return "'" + text.replace("'", "''") + "'"
    encoded = base64.b64encode(text.encode()).decode()
    return f"([Text.Encoding]::UTF8.GetString([Convert]::FromBase64String('{encoded}')))"


def _as_batch(value: Any) -> str:
    """A word of a batch file; ValueError for what cmd.exe would take for its own."""
    text = str(value)
    if not text or not all(c.isascii() and (c.isalnum() or c in "-._~:/?=@,+") for c in text):
        raise ValueError(f"{text!r} holds a character that a batch file cannot carry")
    return text


def _as_comment(value: Any) -> str:
    return "".join(c if " " <= c <= "~" else "?" for c in str(value))


def password(value: str, element: str) -> str:
    """As Windows SIM writes it for `element`, PlainText false: not encrypted, only out of sight."""
    return base64.b64encode((value + element).encode("utf-16-le")).decode()


def _bootstrap(phone_home: str) -> str:
    """A password for the minutes until deployer.ps1 sets another: the deployment's own token, with
    what Windows' rules for passwords ask for."""
    return "Aa1!" + phone_home.rstrip("/").split("/")[-2]


def _plain(value: Any) -> Any:
    if value is not None and not isinstance(value, str):
        raise ValueError(
            "a password must be {secret: NAME} in vars.admin_password and vars.passwords.USER, and"
            f" `deployer secret set NAME`; here it is {type(value).__name__}"
        )
    return value


def _wim_parts(files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """sources/install.wim, .esd, or .swm and its further parts, in their order."""
    found = [
        {"path": each["path"], "size": each["size"]}
        for each in files
        if each["path"].startswith("sources/install")
        and each["path"][-4:] in (".wim", ".esd", ".swm")
    ]
    kinds = {each["path"][-4:] for each in found}
    if len(kinds) > 1 or (len(found) > 1 and kinds != {".swm"}):
        raise ValueError("the image has several of sources/install.wim, .esd and .swm; keep one")
    return sorted(found, key=lambda each: (len(each["path"]), each["path"]))


def _drivers(files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"path": each["path"], "size": each["size"]}
        for each in files
        if each["path"].startswith("drivers/")
    ]


# --- checks -----------------------------------------------------------------------------------


class WindowsSetup:
    name = "windows_setup"
    filters: ClassVar[dict[str, Callable[..., Any]]] = {
        "js": as_jscript, "js_comment": _as_comment, "powershell": as_powershell, "cmd": _as_batch,
        "unattend_password": password, "bootstrap_password": _bootstrap, "plain_password": _plain,
        "wim_parts": _wim_parts, "drivers": _drivers, "windows_zone": names.zone,
        "windows_locale": names.locale, "windows_keyboard": names.keyboard,
        "computer_name": names.computer, "windows_user": names.user, "kms_host": names.kms_host,
        "edition_of": names.edition,
        "dashed_mac": lambda mac: str(mac).upper().replace(":", "-"),
    }  # fmt: skip

    def check(self, answer: Answer, text: str, context: dict[str, Any]) -> list[Finding]:
        if answer.format == "xml":
            problems = islice(_unattend(text, context), _MOST)
            found = [finding_at(answer.path, *problem) for problem in problems]
            return found + list(_described(context, answer.path))
        lint = scripts.LINTS.get(PurePosixPath(answer.path).suffix)
        judged = islice(lint(text) if lint else (), _MOST)
        return [finding_at(answer.path, *problem) for problem in [*judged, *_line_ends(text)]]


def _line_ends(text: str) -> Iterator[Problem]:
    # cmd.exe loses its place, and labels, in files with LF alone; the family sends CRLF.
    if "\r" in text:
        number = text.count("\n", 0, text.index("\r")) + 1
        yield number, "the line has a carriage return; every line gets its own when it is sent"


def _unattend(text: str, context: dict[str, Any]) -> Iterator[Problem]:
    try:
        root = read(text)
    except Unreadable as problem:
        yield problem.line, str(problem)
        return
    architecture = "arm64" if context["profile"]["arch"] == "arm64" else "amd64"
    yield from unattend.problems(root, architecture)
    yield from _lost(root)
    ours = _Ours(root, architecture)
    yield from _named(ours, context)
    yield from _asks(ours, context)


class _Ours:
    """The components of a file that this architecture reads."""

    def __init__(self, root: Node, architecture: str) -> None:
        self.root, self.architecture = root, architecture

    def component(self, pass_: str, name: str) -> Node | None:
        for settings in self.root.find("settings"):
            for each in settings.find("component"):
                wanted = ("Microsoft-Windows-" + name, self.architecture, pass_)
                given = each.attributes
                here = settings.attributes.get("pass")
                if (given.get("name"), given.get("processorArchitecture"), here) == wanted:
                    return each
        return None


def _lost(root: Node) -> Iterator[Problem]:
    """What Setup would do in Windows PE and deployer.js does otherwise, or not."""
    for settings in root.find("settings"):
        if settings.attributes.get("pass") != "windowsPE":
            continue
        for command in settings.find("component/RunSynchronous/RunSynchronousCommand"):
            # Checks of the hardware are Setup's own, and never made here.
            if "\\setup\\labconfig" not in (command.value("Path") or "").lower():
                yield command.line, _NOT_RUN
        for command in settings.find("component/RunAsynchronous/RunAsynchronousCommand"):
            yield command.line, _NOT_RUN
        for each in settings.find("component/ImageInstall/OSImage/InstallFrom/MetaData"):
            yield each.line, "the image is not chosen here; remove it and set vars.edition"
        for key in settings.find("component/UserData/ProductKey/Key"):
            if key.text.strip():
                yield (
                    key.line,
                    (
                        "no key is read in windowsPE, where Setup would choose the edition by it;"
                        " set vars.edition and registration.key"
                    ),
                )


_NOT_RUN = (
    "no command of windowsPE is run, for Windows PE starts deployer.js and not Setup; put it into"
    " scripts.pre"
)


def _named(ours: _Ours, context: dict[str, Any]) -> Iterator[Problem]:
    if context["profile"]["verify"] is False:
        return
    shell = ours.component("specialize", "Shell-Setup")
    found = (shell.value("ComputerName") if shell else None) or "*"
    try:
        wanted = names.computer(context["host"]["name"])
    except ValueError as problem:
        yield None, str(problem)
        return
    if found.lower() != wanted.lower():
        called = "a name that it makes up" if found == "*" else found
        line = shell.line if shell else None
        yield line, f"the computer would be called {called}, and verified as {wanted}: ComputerName"


def _asks(ours: _Ours, context: dict[str, Any]) -> Iterator[Problem]:
    """Questions of the out-of-box experience, which waits for somebody to answer."""
    core = ours.component("oobeSystem", "International-Core")
    for name in ("InputLocale", "SystemLocale", "UILanguage", "UserLocale"):
        if core is None or not core.value(name):
            yield (
                core.line if core else None,
                f"International-Core/{name} is not set in oobeSystem, so Windows would ask",
            )
    shell = ours.component("oobeSystem", "Shell-Setup")
    line = shell.line if shell else None
    oobe = (shell.child("OOBE") if shell else None) or Node("OOBE", line or 1, {})
    if oobe.value("SkipMachineOOBE") == "true":
        yield (
            oobe.line,
            "SkipMachineOOBE leaves settings undone and is deprecated; use the Hide... settings",
        )
    needed = {"HideEULAPage": ("true",), "ProtectYourPC": ("1", "2", "3")}
    if "Client" in {names.EDITIONS[each][1] for each in context["release"]["editions"]}:
        needed |= {"HideOnlineAccountScreens": ("true",), "HideWirelessSetupInOOBE": ("true",)}
    for name, values in needed.items():
        if oobe.value(name) not in values:
            yield line, f"OOBE/{name} is not {' or '.join(values)}, so Windows would ask"
    accounts = (shell.child("UserAccounts") if shell else None) or Node("", 1, {})
    local = accounts.find("LocalAccounts/LocalAccount") + accounts.find(
        "DomainAccounts/DomainAccountList"
    )
    if not local and not (
        "HideOnlineAccountScreens" not in needed and accounts.child("AdministratorPassword")
    ):
        yield (
            line,
            "UserAccounts has no account that Windows is content with, so it would ask for one",
        )


def _described(context: dict[str, Any], file: str) -> Iterator[Finding]:
    """What the description itself asks of Windows and no file shows."""
    variables, known = context["vars"], set(context["secrets"].values())
    passwords = variables.get("passwords") or {}
    users = [user["name"] for user in context["profile"]["users"]]

    def about(field: str, problem: str, remedy: str) -> Finding:
        return Finding(f"{field}: {problem}", remedy, file=file, field=field)

    given = {"vars.admin_password": variables.get("admin_password")}
    if isinstance(passwords, dict):
        given |= {f"vars.passwords.{name}": value for name, value in passwords.items()}
        for name in passwords:
            if name not in users:
                yield about(
                    f"vars.passwords.{name}",
                    "users names no such account",
                    "add it, or correct the name",
                )
    else:
        yield about(
            "vars.passwords", "it must be a mapping", "write `passwords: {USER: {secret: NAME}}`"
        )
    for field, value in given.items():
        if value is not None and (not isinstance(value, str) or value not in known):
            remedy = "write {secret: NAME} in the profile, and `deployer secret set NAME`"
            yield about(field, "it is in the clear, and must name a secret", remedy)
    pre = context["profile"]["scripts"]["pre"] or ""
    for line, problem in scripts.batch(pre):
        where = f"line {line}: " if line else ""
        yield about(
            "scripts.pre", where + problem, "correct the script, which is a batch file here"
        )
    try:
        yield from _medium(context, about)
    except ValueError as problem:  # of a filter, whose template an operator has replaced
        yield about("image", str(problem), CORRECT)


def _medium(
    context: dict[str, Any], about: Callable[[str, str, str], Finding]
) -> Iterator[Finding]:
    image, release = context["image"] or {}, context["release"]
    given = context["vars"].get("edition", release["edition"])
    wanted = names.edition(given, release["editions"])
    held = [list(each) for each in image.get("editions", [wanted])]
    if held.count(wanted) != 1:
        shown = "; ".join(", ".join(map(str, each)) for each in held)
        problem = f"{held.count(wanted)} of its images are {', '.join(wanted)}; it holds {shown}"
        yield about("vars.edition", problem, "name an edition that the medium holds once")
    if not _wim_parts(image.get("files", [])):
        remedy = "make it from the medium's whole tree, and add it again"
        yield about("image", "it has no sources/install.wim, .esd or .swm", remedy)


INSTALLER = WindowsSetup()
