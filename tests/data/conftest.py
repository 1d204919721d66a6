"""A web server on this machine that behaves as well or as badly as a test asks."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Server:
    """Answers `/a/b` by `answers["/a/b"](handler)`, or 404; `asked` lists the paths in order."""

    def __init__(self):
        self.answers: dict[str, Callable] = {}
        self.asked: list[str] = []
        self.stopping = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.asked.append(self.path)
                server.answers.get(self.path, server.status(404))(self)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.handle_error = lambda *_: None  # a client that hangs up early is part of the tests
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    @staticmethod
    def content(data: bytes, promised: int | None = None) -> Callable:
        """Sends `data`, and breaks off there if more was promised."""

        def answer(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(data) if promised is None else promised))
            handler.end_headers()
            handler.wfile.write(data)

        return answer

    @staticmethod
    def raw(data: bytes) -> Callable:
        return lambda handler: handler.wfile.write(data)

    @staticmethod
    def status(code: int, location: str = "") -> Callable:
        def answer(handler):
            handler.send_response(code)
            handler.send_header("Location", location)
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        return answer

    def silent(self, handler):
        self.stopping.wait(10)

    def stall(self, handler):
        """Promises 1000 bytes, sends 3, and keeps the line open."""
        self.content(b"abc", promised=1000)(handler)
        self.stopping.wait(10)

    def drip(self, handler):
        """Never silent for long, never done."""
        self.content(b"", promised=1000)(handler)
        while not self.stopping.wait(0.02):
            try:
                handler.wfile.write(b"a")
            except OSError:
                return

    def close(self):
        self.stopping.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("DLRUN_OFFLINE", raising=False)
    running = Server()
    yield running
    running.close()
