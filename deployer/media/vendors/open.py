"""SOURCE as the operator named it: a file, a folder or a URL; and what vouches for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from deployer.core.families import Family
from deployer.core.text import is_plain_line, printable
from deployer.media.build.fetch import client, download, shown
from deployer.media.build.workshop import BuildError, Log
from deployer.media.vendors import vouch
from deployer.media.vendors.archives import Archive, descriptors, is_tar
from deployer.media.vendors.contents import Source
from deployer.media.vendors.folders import BesideFile, Folder
from deployer.media.vendors.recognise import texts
from deployer.media.vendors.udf import Udf
from deployer.media.vendors.web import WebFolder


@dataclass(frozen=True)
class Opened:
    """`file`: the medium itself, where it is one. `verified`: what vouches for that file.

    `beside`: for a folder, whose files can be checked only when they are taken.
    """

    source: Source
    file: Path | None = None
    fetched: bool = False
    verified: str | None = None
    beside: vouch.Beside | None = None


def is_url(source: str) -> bool:
    return "://" in source


def is_medium(file: Path) -> bool:
    """Whether a file is an ISO or a tar archive; a disk's image is neither."""
    return bool(descriptors(file)) or is_tar(file.name)


def opened(source: str, families: list[Family], terms: vouch.Terms, log: Log) -> Opened:
    """BuildError when it cannot be read, or is another than it should be."""
    if is_url(source):
        return _from_web(source, families, terms, log)
    path = Path(source)
    if path.is_dir():
        folder = Folder(path)
        return Opened(folder, beside=folder)
    return _file(path, "", BesideFile(path), families, terms, log)


def _from_web(url: str, families: list[Family], terms: vouch.Terms, log: Log) -> Opened:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not is_plain_line(url):
        raise BuildError(f"{printable(url)} cannot be fetched", "give a URL of http or https")
    last = unquote(parts.path.rpartition("/")[2])
    above = f"{parts.scheme}://{parts.netloc}{parts.path.rpartition('/')[0]}"
    if last.lower().endswith(".iso") or is_tar(last):
        file = terms.work / "medium" / last.replace("/", "_")
        file.parent.mkdir()
        with client() as http:
            download(http, url, file, log)
        web = WebFolder(above, url, log)
        return _file(file, shown(url), web, families, terms, log, fetched=True)
    # Of a file that is one of several the operator means all.
    base = above if last in _names(families) else url.rstrip("/")
    web = WebFolder(base, url, log)
    return Opened(web, beside=web)


def _names(families: Iterable[Family]) -> set[str]:
    media = [medium for family in families for medium in family.media]
    files = [taken for medium in media for taken in medium.files]
    return {path.rpartition("/")[2] for taken in files for path in taken.paths()}


def _file(
    file: Path, place: str, beside: vouch.Beside, families: list[Family], terms: vouch.Terms,
    log: Log, *, fetched: bool = False,
) -> Opened:  # fmt: skip
    # Before anything reads it that could be led astray by what is in it.
    verified = vouch.for_file(file, beside, terms)
    kinds = descriptors(file)
    log(f"looking into {file.name}")
    if kinds & {b"NSR02", b"NSR03"}:
        return Opened(Udf(file, place), file, fetched, verified)
    if kinds or is_tar(file.name):
        return Opened(Archive(file, texts(families), place), file, fetched, verified)
    raise BuildError(
        f"{place or file} is neither an ISO nor a tar archive", "name a medium that is, or a folder"
    )
