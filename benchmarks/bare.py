"""The least that a Python service can do: Starlette answers from memory, or sends a file.

`python -m benchmarks.bare uvicorn|granian PORT FOLDER`: `/NAME` is the file of that name, kept in
memory; `/files/NAME` is sent by the framework and the server as they do it by themselves.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse
from starlette.routing import Route


def application(folder: Path) -> Starlette:
    @cache
    def content(name: str) -> bytes:
        return (folder / name).read_bytes()

    async def reply(request: Request) -> PlainTextResponse:
        return PlainTextResponse(content(request.path_params["name"]))

    async def file(request: Request) -> FileResponse:
        return FileResponse(folder / request.path_params["name"])

    return Starlette(routes=[
        Route("/files/{name:path}", file),
        Route("/{name}", reply, methods=["GET", "POST"]),
    ])  # fmt: skip


def main(server: str, port: int, folder: Path) -> None:
    app = application(folder)
    if server == "uvicorn":
        import uvicorn

        # As `deployer serve` runs it: one process, one thread for the loop, no access log.
        uvicorn.run(
            app, host="127.0.0.1", port=port, http="httptools", loop="asyncio", log_config=None,
            access_log=False, proxy_headers=False, server_header=False, lifespan="off",
        )  # fmt: skip
    else:
        import asyncio

        from granian.constants import Interfaces
        from granian.server.embed import Server

        granian = Server(app, address="127.0.0.1", port=port, interface=Interfaces.ASGINL)
        asyncio.run(granian.serve())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
