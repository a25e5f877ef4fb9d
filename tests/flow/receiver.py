"""A receiver of webhooks that believes nobody: every event is unwrapped by the official OpenAI SDK, and
its journal is the truth of what came."""
import http.server
import json
import threading

import openai


class Receiver:
    """POST /hook on a port of 127.0.0.1.  `answer` is what it says: a status, or a function of the
    number of the event (from 0) that returns a status, or None to say nothing at all."""

    def __init__(self, secret, answer=200, port=0, tls=None, headers=None):
        self.answer, self.headers = answer, headers or {}
        self.client = openai.OpenAI(api_key="none", base_url="http://127.0.0.1:9", webhook_secret=secret)
        self.attempts, self.wrong, self.lock = [], [], threading.Lock()
        self.release = threading.Event()  # of those that get no answer
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                receiver.take(self)

            def do_GET(self):
                receiver.wrong.append(f"GET {self.path}")
                self.send_error(405)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def take(self, request):
        body = request.rfile.read(int(request.headers["content-length"]))
        try:
            event = self.client.webhooks.unwrap(body, dict(request.headers.items()))
            assert event.id == request.headers["webhook-id"] == json.loads(body)["id"]
            assert request.headers["content-type"] == "application/json"
            assert "authorization" not in request.headers
        except Exception as e:  # whatever it is, the test has failed
            self.wrong.append(repr(e))
        with self.lock:
            number = len(self.attempts)
            self.attempts.append({"path": request.path, "bytes": body, "event": json.loads(body),
                                  "headers": {k.lower(): v for k, v in request.headers.items()}})
        status = self.answer(number) if callable(self.answer) else self.answer
        if status is None:
            self.release.wait(60)
            status = 200
        request.send_response(status)
        for name, value in self.headers.items():
            request.send_header(name, value)
        request.send_header("content-length", "0")
        request.end_headers()

    def events(self):
        """Those that came, each once."""
        with self.lock:
            return list({a["event"]["id"]: a["event"] for a in self.attempts}.values())

    def crossings(self):
        return sorted((e["type"], e["data"]["percent"] or 0) for e in self.events())

    def stop(self):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()
        assert not self.wrong, self.wrong
