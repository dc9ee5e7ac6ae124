"""Kernel arguments: what is accepted arrives at the kernel word for word, by either loader."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployer.boot import grub, ipxe
from deployer.core.bootspec import Initrd, InstallerBoot, KernelArgument

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._/:-]{0,20}", fullmatch=True) | st.just("---")
# Often what a loader might take for its own, and now and then anything at all.
VALUES = st.none() | st.text(alphabet="ab$;&|#{}()<>=,*?![]~%@^:/+-_.'\"\\` \t", max_size=12)
VALUES |= st.text(max_size=12)


@st.composite
def accepted(draw: st.DrawFn) -> KernelArgument:
    name, value = draw(NAMES), draw(VALUES)
    try:
        return KernelArgument(name, value)
    except ValueError:
        return KernelArgument(name)


INITRDS = (Initrd("http://s/i", "initrd0.img"),)


def installer(arguments: list[KernelArgument]) -> InstallerBoot:
    return InstallerBoot("title", "id", "http://s/k", INITRDS, tuple(arguments))


def line_of(script: str, start: str) -> str:
    (line,) = [line for line in script.split("\n") if line.strip().startswith(start)]
    return line


# --- iPXE: src/core/exec.c splits at blanks, after settings.c has expanded ${...} ---------------


def ipxe_commands(line: str) -> list[list[str]]:
    """The commands of a line, each as its words."""
    assert "${" not in line, "iPXE would expand a setting"
    commands: list[list[str]] = [[]]
    for word in line.split():
        if word in ("||", "&&"):
            commands.append([])
        elif word.startswith("#"):
            break  # the rest is a comment
        else:
            commands[-1].append(word)
    return commands


@given(st.lists(accepted(), max_size=6))
def test_ipxe_gives_the_kernel_exactly_these_arguments(arguments: list[KernelArgument]) -> None:
    script = ipxe.script(installer(arguments))
    assert script.count("\n") == ipxe.script(installer([])).count("\n")
    kernel, failed = ipxe_commands(line_of(script, "kernel "))
    assert kernel[:5] == ["kernel", "--name", "kernel", "http://s/k", "initrd=initrd0.img"]
    assert kernel[5:] == [str(argument) for argument in arguments]
    assert failed == ["goto", "failed"]


# --- GRUB: grub-core/script/yylex.l; within '...' everything but ' is plain ---------------------


def grub_words(line: str) -> Iterator[str]:
    """The words of a line of GRUB's shell, up to the first unquoted `;`."""
    word, at = None, 0
    while at < len(line) and line[at] != ";":
        if line[at] == "'":
            end = line.index("'", at + 1)
            word, at = (word or "") + line[at + 1 : end], end
        elif line[at] == "\\":
            word, at = (word or "") + line[at + 1], at + 1
        elif line[at] == " ":
            if word is not None:
                yield word
            word = None
        else:
            assert line[at] not in '{}|&$<>"', f"GRUB would take {line[at]} for its own"
            word = (word or "") + line[at]
        at += 1
    if word is not None:
        yield word


@given(st.lists(accepted(), max_size=6))
def test_grub_gives_the_kernel_exactly_these_arguments(arguments: list[KernelArgument]) -> None:
    script = grub.script(installer(arguments))
    assert script.count("\n") == grub.script(installer([])).count("\n")
    words = list(grub_words(line_of(script, "if linux").strip()))
    assert words == ["if", "linux", "(http,s)/k", *(str(argument) for argument in arguments)]


@given(st.text(alphabet=st.characters(exclude_characters="\n\r\0"), max_size=20))
def test_grub_takes_any_quoted_text_for_one_word(text: str) -> None:
    assert list(grub_words(grub.quoted(text))) == [text]


@pytest.mark.skipif(
    shutil.which("grub-script-check") is None, reason="grub-script-check is not installed"
)
@settings(max_examples=30, deadline=None)
@given(st.lists(accepted(), max_size=6), st.text(alphabet="a'\"$;&|\\{}` ", max_size=9))
def test_grub_itself_accepts_whatever_is_accepted(
    arguments: list[KernelArgument], title: str
) -> None:
    script = grub.script(InstallerBoot(title, "id", "http://s/k", INITRDS, tuple(arguments)))
    done = subprocess.run(
        ["grub-script-check"], input=script, text=True, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "characters that none has"),
        ("=x", "characters that none has"),
        ("||", "characters that none has"),
        ("#x", "characters that none has"),
        ("--", "characters that none has"),
        ("ü=x", "characters that none has"),
        ("a b=x", "characters that none has"),
        ("a\n=x", "characters that none has"),
        ("a" * 101, "characters that none has"),
        ("a=b c", "blank, quote, backslash"),
        ("a=${net0/mac}", "boot loaders cannot carry"),
        ("a=$(reboot)", "boot loaders cannot carry"),
        ("a='b'", "quote"),
        ('a="b"', "quote"),
        ("a=b\\c", "backslash"),
        ("a=`b`", "backtick"),
        ("a=b\nboot", "control or non-ASCII"),
        ("a=b\tc", "control or non-ASCII"),
        ("a=b\u2028c", "control or non-ASCII"),
        ("a=ü", "control or non-ASCII"),
        ("a=b\xa0c", "control or non-ASCII"),
    ],
    ids=ascii,
)
def test_an_argument_that_a_loader_could_not_carry_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match="kernel argument") as refusal:
        KernelArgument.parse(text)
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    "text",
    ["quiet", "console=ttyS0,115200n8", "a=", "a=b=c", "---", "ds=nocloud;s=http://h/", "a=$b"],
)
def test_an_argument_is_written_as_it_was_read(text: str) -> None:
    assert str(KernelArgument.parse(text)) == text
