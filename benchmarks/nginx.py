"""nginx with a configuration of its own, on loopback, in the foreground."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.peers import Peer

SITES = Path(__file__).parent.parent / "deploy" / "nginx"
# One process, as ours is one. Its own folders: it must not touch those of the machine's nginx.
_MAIN = """
daemon off; worker_processes 1; pid $work/pid; error_log $work/error.log;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 100000000; types { } default_type application/octet-stream;
  client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/fastcgi;
  uwsgi_temp_path $work/uwsgi; scgi_temp_path $work/scgi;
"""
_STATIC = "server { listen 127.0.0.1:$port; sendfile on; tcp_nopush on; root ROOT; }"


def peer(name: str, folder: Path, site: str, urls: dict[str, str]) -> Peer:
    """nginx with `site`, what stands in `http`."""
    folder.mkdir(parents=True, exist_ok=True)
    # As root its worker would run as an account that may not read our folders.
    user = "user root;\n" if os.geteuid() == 0 else ""
    config = folder / "nginx.conf.in"
    config.write_text(f"{user}{_MAIN}{site}\n}}\n")
    start = (
        f'sed "s|[$]port|$port|g; s|[$]work|$work|g" {config} > $work/nginx.conf'
        " && exec nginx -e $work/error.log -c $work/nginx.conf"
    )
    return Peer(name, ["sh", "-c", start], "http://127.0.0.1:$port/", urls)


def static(folder: Path, root: Path, urls: dict[str, str]) -> Peer:
    """Serves the files below `root`."""
    return peer("nginx", folder, _STATIC.replace("ROOT", str(root)), urls)


def in_front(folder: Path, backend: int, images: Path, urls: dict[str, str]) -> Peer:
    """The site that we ship, in front of the machine side on port `backend`."""
    site = changed(
        SITES / "deployer.conf",
        {
            "listen 8081": "listen 127.0.0.1:$port", "127.0.0.1:8181": f"127.0.0.1:{backend}",
            "/var/lib/deployer/images": str(images),
        },
    )  # fmt: skip
    return peer("Deployer behind nginx", folder, site, urls)


def changed(file: Path, other: dict[str, str]) -> str:
    """A configuration that we ship, with other addresses and folders; each must be in it."""
    text = file.read_text(encoding="utf-8")
    for old, new in other.items():
        assert old in text, f"{file.name} has no {old}"
        text = text.replace(old, new)
    return text
