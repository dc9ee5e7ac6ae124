"""The server's side of WebSocket (RFC 6455), strict about what a client has to do."""

from __future__ import annotations

import base64
import hashlib
import socket
import struct
import threading
from collections.abc import Callable
from queue import Empty, Queue

_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


class Connection:
    """One client, after the handshake. `said` are its text messages."""

    def __init__(self, peer: socket.socket, path: str) -> None:
        self.peer, self.path = peer, path
        self.said: Queue[str] = Queue()
        self.closed = threading.Event()
        self._sending = threading.Lock()

    def send(self, text: str) -> None:
        self._send(_TEXT, text.encode())

    def ping(self, payload: bytes) -> None:
        self._send(_PING, payload)

    def next(self, seconds: float = 5) -> str | None:
        try:
            return self.said.get(timeout=seconds)
        except Empty:
            return None

    def drop(self) -> None:
        """Without a word, as a network does it."""
        self.peer.shutdown(socket.SHUT_RDWR)

    def _send(self, opcode: int, payload: bytes) -> None:
        length = len(payload)
        head = bytes([0x80 | opcode]) + (
            bytes([length]) if length < 126
            else struct.pack("!BH", 126, length) if length < 65536
            else struct.pack("!BQ", 127, length)
        )  # fmt: skip
        with self._sending:
            self.peer.sendall(head + payload)

    def serve(self) -> None:
        try:
            while self._take():
                pass
        except (OSError, EOFError):
            pass
        finally:
            self.closed.set()
            self.peer.close()

    def _take(self) -> bool:
        first, second = self._read(2)
        # What a client sends is whole here, and masked (5.1).
        if not first & 0x80 or not second & 0x80:
            self._send(_CLOSE, struct.pack("!H", 1002))
            return False
        length = second & 0x7F
        if length >= 126:
            length = int.from_bytes(self._read(2 if length == 126 else 8))
        mask, masked = self._read(4), self._read(length)
        payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked))
        match first & 0x0F:
            case 1:
                self.said.put(payload.decode())
            case 9:
                self._send(_PONG, payload)
            case 8:
                return False
        return True

    def _read(self, length: int) -> bytes:
        read = b""
        while len(read) < length:
            more = self.peer.recv(length - len(read))
            if not more:
                raise EOFError
            read += more
        return read


class WebSocketServer:
    """Context manager. `allow` says whether a path may connect; `connections` are all so far."""

    def __init__(self, allow: Callable[[str], bool]) -> None:
        self.allow = allow
        self.connections: Queue[Connection] = Queue()
        self._all: list[Connection] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> WebSocketServer:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._all:
            if not connection.closed.is_set():
                connection.drop()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._greet, args=(peer,), daemon=True).start()

    def _greet(self, peer: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            more = peer.recv(1024)
            if not more:
                return
            head += more
        lines = head.decode().split("\r\n")
        method, path, _ = lines[0].split(" ")
        headers = {
            k.strip().lower(): v.strip() for k, _, v in (x.partition(":") for x in lines[1:])
        }
        key = headers.get("sec-websocket-key", "")
        good = (
            method == "GET"
            and headers.get("upgrade", "").lower() == "websocket"
            and "upgrade" in headers.get("connection", "").lower()
            and headers.get("sec-websocket-version") == "13"
            and len(base64.b64decode(key)) == 16
        )
        if not good or not self.allow(path):
            status = "408 Request Timeout" if good else "400 Bad Request"
            peer.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
            peer.close()
            return
        accepted = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        peer.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(accepted) + b"\r\n\r\n"
        )
        connection = Connection(peer, path)
        self._all.append(connection)
        self.connections.put(connection)
        connection.serve()
