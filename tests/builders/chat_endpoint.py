"""An endpoint on this machine that answers as a test says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, NamedTuple


class Reply(NamedTuple):
    """What the stub sends."""

    text: str = ""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    finish_reason: str = "stop"
    body: bytes | None = None
    """Instead of a chat completion."""


class Stub(NamedTuple):
    """A running stub."""

    url: str
    requests: list[dict[str, Any]]
    """Bodies, in the order in which they came."""
    headers: list[dict[str, str]]

    @property
    def prompts(self) -> list[str]:
        return [request["messages"][0]["content"] for request in self.requests]


@contextmanager
def serving(answer: Callable[[int, str], Reply | str]) -> Iterator[Stub]:
    """Serve POST /v1/chat/completions with answer(number of the request from 0, prompt)."""
    stub = Stub("", [], [])
    lock = Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                number = len(stub.requests)
                stub.requests.append(content)
                stub.headers.append(dict(self.headers))
            reply = answer(number, content["messages"][0]["content"])
            if isinstance(reply, str):
                reply = Reply(reply)
            body = reply.body if reply.body is not None else completion(reply)
            self.send_response(reply.status)
            for name, value in reply.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield stub._replace(url=f"http://127.0.0.1:{server.server_port}/v1")
    finally:
        server.shutdown()
        server.server_close()


def completion(reply: Reply) -> bytes:
    content = {
        "choices": [
            {
                "message": {"role": "assistant", "content": reply.text},
                "finish_reason": reply.finish_reason,
            }
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5},
    }
    return json.dumps(content).encode()
