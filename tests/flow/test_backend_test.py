"""`maasgate backend test`: each step of a probe is told, on backends that work and on those that do not,
for every signer; nobody pays for it and no secret is told."""
import http.server
import json
import signal
import threading
import time
import urllib.parse

import pytest
from certs import Authority
from gate import CATALOG as WORKER_CATALOG
from gate import Worker, free_port

SECRET = "sk-vendor/canary+0123456789"
BASES = """
models:
  base/chat:
    capabilities: [chat]
    price: {{requests: 0.001, input_uncached_tokens: 0.10/1M, output_text_tokens: 0.40/1M}}
    routes: [{{backend: vendor, model: its/own name}}]
"""
BACKEND = """
backends:
  vendor:
    transport: http
    address: {base}
    {options}
"""
CHAT = {"choices": [{"message": {"role": "assistant", "content": "OK"}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}}
SIGNERS = {  # options beside secret_file -> what the request must carry
    "bearer": ("", lambda path, headers: headers.get("authorization") == f"Bearer {SECRET}"),
    "header-key": ("signer: header-key\n    signer_name: api-key\n    headers: {{x-version: '2026-11-24'}}",
                   lambda path, headers: headers.get("api-key") == SECRET and "authorization" not in headers
                   and headers.get("x-version") == "2026-11-24"),
    "query-key": ("signer: query-key",
                  lambda path, headers: urllib.parse.parse_qs(path.partition("?")[2]) == {"key": [SECRET]}
                  and "authorization" not in headers),
}


class Vendor:
    """A server that believes nobody: `signed(path, headers)` or 401; then `answer(path, headers, body)`, which
    gives (status, content type, bytes)."""

    def __init__(self, answer, signed=lambda path, headers: True, context=None):
        self.seen, self.release = [], threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                headers = {k.lower(): v for k, v in self.headers.items()}
                body = self.rfile.read(int(headers["content-length"]))
                outer.seen.append((self.path, headers, body))
                if signed(self.path, headers):
                    status, kind, text = answer(self.path.partition("?")[0], headers, body)
                else:
                    status, kind, text = 401, "application/json", json.dumps(
                        {"error": {"message": f"bad key in {self.path} {headers}"}}).encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                     do_handshake_on_connect=False)
        self.base = f"http{'s' if context else ''}://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()


def of_json(value, status=200):
    return status, "application/json", json.dumps(value).encode()


def asks_chat(path, headers, body):
    assert path == "/v1/chat/completions" and headers["content-type"] == "application/json"
    assert json.loads(body) == {"model": "its/own name", "max_tokens": 1,
                                "messages": [{"role": "user", "content": "Say OK."}]}
    return of_json(CHAT)


@pytest.fixture
def front(make_gate):
    """Makes (gate, test), where test(*words) gives (exit code, steps by name, the whole answer)."""
    vendors = []

    def make(base, options="", catalog=BASES, secret=None, vendor=None, **settings):
        vendors.append(vendor)
        g = make_gate(start=False, catalog=BACKEND + catalog, worker=False, settings=settings,
                      fields={"base": base, "options": options.format(dir="{dir}")})
        g.fields["options"] = options.replace("{dir}", str(g.dir)).replace("{{", "{").replace("}}", "}")
        if secret:
            path = g.dir / "secret"
            path.touch(0o600)
            path.write_text(secret)
            g.fields["options"] += f"\n    secret_file: {path}"
        g.start()
        return g, lambda *words: probe(g, *words)
    yield make
    for v in vendors:
        if v:
            v.stop()


def probe(g, *words):
    done = g.cli("backend", "test", *words, "--json", check=False)
    report = json.loads(done.stdout) if done.stdout else {}
    return done.returncode, {s["step"]: s for s in report.get("steps", [])}, report or done.stderr


def assert_failed_at(result, step, *texts):
    code, steps, report = result
    assert code == 1 and not report["ok"]
    assert [name for name, s in steps.items() if not s["ok"]] == [step], steps
    assert list(steps)[-1] == step, "nothing follows what failed"
    for text in texts:
        assert text in steps[step]["text"] or text in steps[step]["hint"], steps[step]


@pytest.mark.short
@pytest.mark.parametrize("signer", SIGNERS)
def test_it_works(front, signer):
    options, signed = SIGNERS[signer]
    vendor = Vendor(asks_chat, signed)
    g, test = front(vendor.base, options, secret=SECRET, vendor=vendor, log_level="debug")
    code, steps, report = test("vendor")
    assert code == 0 and report["ok"], report
    assert list(steps) == ["resolve", "connect", "sign", "answer", "usage"]
    assert steps["sign"]["text"].startswith(signer)
    assert steps["answer"]["text"].startswith("200 application/json, first byte after ")
    assert report["usage"] == {"input_uncached_tokens": 9, "output_text_tokens": 1}
    assert (report["model"], report["backend_model"]) == ("base/chat", "its/own name")
    text = g.cli("backend", "test", "vendor")
    assert "it works" in text.stdout and "usage      ok      input_uncached_tokens 9" in text.stdout
    assert_nobody_paid(g, 2)
    assert_no_secret(g, text.stdout, json.dumps(report), g.cli("status").stdout)


def assert_nobody_paid(g, calls):
    """The backend has counted them; the ledger has no row."""
    (b,) = [b for b in g.status()["backends"] if b["name"] == "vendor"]
    assert (b["started"], b["running"]) == (calls, 0)
    with g.ledger() as db:
        for table in ("request_open", "settlement"):
            assert db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 0


def assert_no_secret(g, *outputs):
    configuration = g.cli("backend", "test", "vendor", "--model", "nothing", check=False).stderr
    for text in (*outputs, configuration, g.daemon.text()):
        for secret in (SECRET, urllib.parse.quote(SECRET, safe=""), urllib.parse.quote(SECRET)):
            assert secret.lower() not in text.lower()


@pytest.mark.parametrize("signer", SIGNERS)
def test_wrong_secret(front, signer):
    options, signed = SIGNERS[signer]
    vendor = Vendor(asks_chat, signed)
    g, test = front(vendor.base, options, secret=SECRET[:-1] + "X", vendor=vendor)
    result = test("vendor")
    assert_failed_at(result, "answer", "401 application/json", "refused the gateway's credentials",
                     "check 'secret_file', 'signer'")
    assert SECRET[:-1] not in json.dumps(result[2]) + g.daemon.text()
    assert_nobody_paid(g, 1)


@pytest.mark.parametrize("answer,texts", [
    (lambda *_: (200, "text/html", b"<html>hello</html>"), ("200 text/html", "not what 'dialect' says")),
    (lambda *_: (200, "application/json", b"{"), ("200 application/json", "not valid")),
    (lambda *_: of_json({"error": {"message": "no such thing"}}, 404), ("404", "no such thing", "ends in /v1")),
    (lambda *_: of_json({"error": {"message": "slow down"}}, 429), ("429", "overloaded", "try again later")),
    (lambda *_: of_json({"error": {"message": "bug"}}, 500), ("500", "look into the backend's log")),
    (lambda *_: (302, "text/plain", b""), ("302", "redirects are not followed")),
    (lambda *_: of_json({"error": {"message": "max_tokens is not supported"}}, 400),
     ("400", "max_tokens is not supported", "check 'dialect'")),
])
def test_answers_that_are_none(front, answer, texts):
    vendor = Vendor(answer)
    g, test = front(vendor.base, vendor=vendor)
    assert_failed_at(test("vendor"), "answer", *texts)
    assert "what to do: " in g.cli("backend", "test", "vendor", check=False).stdout


def test_no_usage(front):
    vendor = Vendor(lambda *_: of_json({"choices": []}))
    _, test = front(vendor.base, vendor=vendor)
    assert_failed_at(test("vendor"), "usage", "nothing was reported", "usage_map")


def test_nobody_there(front):
    g, test = front(f"http://127.0.0.1:{free_port()}/v1")
    assert_failed_at(test("vendor"), "connect", "connect", "check that the server runs")
    assert_nobody_paid(g, 1)


def test_no_such_name(front):
    g, test = front("http://no-such-host.invalid/v1")
    assert_failed_at(test("vendor"), "resolve", "no-such-host.invalid cannot be looked up", "getent hosts")
    assert_nobody_paid(g, 0)


def test_tls(front, tmp_path):
    authority = Authority(tmp_path / "pki")
    vendor = Vendor(asks_chat, context=authority.server_context())
    g, test = front(vendor.base, f"ca_file: {authority.ca}", vendor=vendor)
    code, steps, _ = test("vendor")
    assert code == 0 and list(steps) == ["resolve", "connect", "tls", "sign", "answer", "usage"]
    assert steps["tls"]["text"].startswith("TLSv1.3, certificate of /CN=server by /CN=root: verified")


def test_tls_that_nobody_trusts(front, tmp_path):
    authority = Authority(tmp_path / "pki")
    vendor = Vendor(asks_chat, context=authority.server_context())
    _, test = front(vendor.base, vendor=vendor)
    assert_failed_at(test("vendor"), "tls", "certificate", "'ca_file'")
    assert not vendor.seen


def test_it_takes_too_long(front):
    def wait(*_):
        vendor.release.wait(60)
        return of_json(CHAT)
    vendor = Vendor(wait)
    g, test = front(vendor.base, vendor=vendor)
    assert_failed_at(test("vendor", "--timeout-ms", "300"), "answer", "deadline", "more time")


def test_a_daemon_that_ends_waits_for_no_probe(front):
    vendor = Vendor(lambda *_: (vendor.release.wait(60), of_json(CHAT))[1])
    g, test = front(vendor.base, vendor=vendor)
    result = []
    asking = threading.Thread(target=lambda: result.append(test("vendor", "--timeout-ms", "60000")))
    asking.start()
    while not vendor.seen:
        time.sleep(0.01)
    begun = time.monotonic()
    g.terminate()
    asking.join()
    assert time.monotonic() - begun < 20, "it did not wait for the probe's own end"
    assert result[0][0] != 0


def test_a_stream(front):
    def stream(path, headers, body):
        asked = json.loads(body)
        assert asked["stream"] is True and asked["stream_options"] == {"include_usage": True}
        events = [{"choices": [{"delta": {"content": "OK"}, "finish_reason": "stop"}]},
                  {"choices": [], "usage": CHAT["usage"]}]
        return 200, "application/x-ndjson", b"".join(json.dumps(e).encode() + b"\n" for e in events)
    vendor = Vendor(stream)
    g, test = front(vendor.base, "framer: ndjson", vendor=vendor)
    code, steps, report = test("vendor", "--stream")
    assert code == 0 and report["stream"] and "in events" in steps["answer"]["text"], report
    assert report["usage"]["output_text_tokens"] == 1


OTHERS = """
models:
  base/say:
    capabilities: [speech]
    price: {{characters: 0.01/1k}}
    routes: [{{backend: vendor, model: say}}]
  base/hear:
    capabilities: [transcription]
    price: {{audio_ms: 0.01/1M}}
    routes: [{{backend: vendor, model: hear}}]
  base/vectors:
    capabilities: [embeddings]
    price: {{input_uncached_tokens: 0.01/1M}}
    routes: [{{backend: vendor, model: vectors}}]
"""


def test_other_kinds(front):
    """The cheapest is asked unless one is named; what is sent is of its kind."""
    def answer(path, headers, body):
        if path == "/v1/embeddings":
            assert json.loads(body) == {"model": "vectors", "input": "OK"}
            return of_json({"data": [], "usage": {"prompt_tokens": 2, "total_tokens": 2}})
        if path == "/v1/audio/speech":
            assert json.loads(body) == {"model": "say", "input": "OK", "voice": "alloy"}
            return 200, "audio/mpeg", b"ID3" * 100
        assert path == "/v1/audio/transcriptions"
        boundary = headers["content-type"].partition("boundary=")[2].encode()
        parts = body.split(b"--" + boundary)
        assert b'name="model"\r\n\r\nhear\r\n' in parts[1]
        assert b"RIFF" in parts[2] and len(parts[2]) > 1600 and parts[3] == b"--\r\n"
        return of_json({"text": "", "duration": 0.1})
    vendor = Vendor(answer)
    g, test = front(vendor.base, catalog=OTHERS, vendor=vendor)
    code, steps, report = test("vendor")
    assert code == 0 and report["model"] == "base/vectors" and report["usage"] == {"input_uncached_tokens": 2}
    code, steps, report = test("vendor", "--model", "base/hear")
    assert code == 0 and report["usage"] == {"audio_ms": 100}, report
    code, steps, report = test("vendor", "--model", "say")
    assert steps["answer"]["text"].startswith("200 audio/mpeg, "), report
    assert "300 bytes" in steps["answer"]["text"]


def test_tensors_over_http(front):
    catalog = """
models:
  base/simple:
    capabilities: [infer]
    price: {{tensor_elements: 0.01/1k}}
    routes: [{{backend: vendor, model: simple}}]
    tensor:
      inputs: [{{name: A, datatype: FP32, shape: [-1, 3]}}, {{name: B, datatype: BYTES, shape: [2]}}]
      outputs: [{{name: C, datatype: FP32, shape: [1]}}]
"""
    def answer(path, headers, body):
        assert path == "/v2/models/simple/infer"
        assert json.loads(body) == {"inputs": [
            {"name": "A", "shape": [1, 3], "datatype": "FP32", "data": [0, 0, 0]},
            {"name": "B", "shape": [2], "datatype": "BYTES", "data": ["", ""]}]}
        return of_json({"model_name": "simple", "outputs": []})
    vendor = Vendor(answer)
    g, test = front(vendor.base.removesuffix("/v1"), "dialect: oip2", catalog=catalog, vendor=vendor)
    code, _, report = test("vendor")
    assert code == 0 and report["usage"] == {"tensor_elements": 5}, report


def test_mistakes(front):
    vendor = Vendor(asks_chat)
    g, _ = front(vendor.base, vendor=vendor)
    for words, text in ((("nobody",), "there is no such backend; there are: vendor"),
                        (("vendor", "--model", "base/x"), "these have: base/chat"),
                        (("vendor", "--timeout-ms", "0"), "timeout_ms")):
        done = g.cli("backend", "test", *words, check=False)
        assert done.returncode == 1 and text in done.stderr, done.stderr
    assert not vendor.seen


@pytest.mark.parametrize("transport", ["shm", "unix", "tcp"])
def test_workers(make_gate, transport):
    g = make_gate(transport=transport)
    code, steps, report = probe(g, "worker")
    assert code == 0 and list(steps) == ["connect", "handshake", "answer", "usage"], report
    assert "refworker" in steps["handshake"]["text"] and "calls at once" in steps["handshake"]["text"]
    assert report["model"] == "base/chat" and report["usage"]["output_text_tokens"] == 1
    for model in ("base/simple", "base/embed", "base/image"):
        assert probe(g, "worker", "--model", model)[0] == 0
    assert probe(g, "worker", "--stream")[0] == 0
    with g.ledger() as db:
        assert db.execute("SELECT count(*) FROM request_open").fetchone()[0] == 0
    g.workers[0].signal(signal.SIGSTOP)
    result = probe(g, "worker", "--timeout-ms", "1000")
    assert result[0] == 1 and not (result[1].get("answer") or result[1]["handshake"])["ok"], result
    g.workers[0].kill()
    g.wait_backend(up=0)
    code, steps, report = probe(g, "worker")
    assert code == 1 and list(steps) == ["connect"], steps
    assert "check that the worker runs" in steps["connect"]["hint"]


def test_not_a_worker(make_gate):
    """Something listens there that does not say HELLO."""
    import socket
    with socket.create_server(("127.0.0.1", 0)) as server:
        def hang_up():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)
        threading.Thread(target=hang_up, daemon=True).start()
        catalog = WORKER_CATALOG.replace("{address}", f"127.0.0.1:{server.getsockname()[1]}")
        g = make_gate(start=False, transport="tcp", worker=False, catalog=catalog)
        g.start()
        assert_failed_at(probe(g, "worker"), "handshake", "not as a worker of this gateway")
        server.close()


def test_why_a_workers_socket_cannot_be_had(make_gate):
    """Each of them is mended elsewhere, so they are told apart; in the log, too."""
    g = make_gate(worker=False)
    assert_failed_at(probe(g, "worker"), "connect", "there is no socket of that name")
    other = Worker(g.dir, f"unix:{g.dir}/worker.sock")
    g.daemon.wait_line("the worker listens there for the other transport: shm or socket")
    other.kill()  # its socket stays
    g.daemon.wait_line("nobody listens on the worker's socket")
