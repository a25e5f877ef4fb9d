"""The request to an upstream is made anew, and so is the answer to the client: at every endpoint, nothing
of one side's header lines comes out on the other."""
import contextlib
import json
import pathlib
import re
import socket
import threading

import pytest
from gate import ROOT, SLOW, Gate
from upstream import Form

CATALOG = """
backends:
  openai: {{transport: http, address: "http://127.0.0.1:{port}/v1", secret_file: {secret}, eject_after: 1000}}
  oip2: {{transport: http, address: "http://127.0.0.1:{port}", dialect: oip2, secret_file: {secret},
         signer: header-key, signer_name: x-up-key, eject_after: 1000}}
models:
  base/all:
    capabilities: [chat, completions, embeddings, images, rerank, moderation, speech, transcription, translation]
    default_output_tokens: 16
    price: {{requests: 0.001, input_uncached_tokens: 0, output_text_tokens: 0, images: 0, characters: 0, audio_ms: 0}}
    routes: [{{backend: openai, model: up-model}}]
  base/simple:
    capabilities: [infer]
    price: {{requests: 0.0005}}
    routes: [{{backend: oip2, model: up-simple}}]
    tensor:
      inputs: [{{name: X, datatype: INT32, shape: [1]}}]
      outputs: [{{name: Y, datatype: INT32, shape: [1]}}]
"""
M = {"model": "base/all"}
TENSOR = {"inputs": [{"name": "X", "datatype": "INT32", "shape": [1], "data": [1]}]}
FORM_TYPE = "multipart/form-data; boundary=b"


def form(**more):
    """A file and the model; each part has lines of a client's own that are nobody else's business."""
    parts = {'name="file"; filename="/home/canary/a.wav"; x=canary': "sound", 'name="model"': M["model"],
             **{f'name="{name}"': value for name, value in more.items()}}
    return "".join(f"--b\r\nX-Canary: canary\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n"
                   for head, value in parts.items()).encode() + b"--b--\r\n"


# path, body (an object of JSON or a form), path at the upstream, answer (an object of JSON or sound)
ENDPOINTS = {
    "/v1/chat/completions": ({**M, "messages": [{"role": "user", "content": "x"}]}, "/v1/chat/completions",
                             {"id": "a", "object": "chat.completion", "choices": []}),
    "/v1/completions": ({**M, "prompt": "x"}, "/v1/completions", {"id": "a", "choices": []}),
    "/v1/embeddings": ({**M, "input": "x"}, "/v1/embeddings", {"object": "list", "data": []}),
    "/v1/images/generations": ({**M, "prompt": "x"}, "/v1/images/generations", {"created": 1, "data": []}),
    "/v1/rerank": ({**M, "query": "x", "documents": ["a"]}, "/v1/rerank", {"results": []}),
    "/v2/rerank": ({**M, "query": "x", "documents": ["a"]}, "/v1/rerank", {"results": []}),
    "/rerank": ({**M, "query": "x", "documents": ["a"]}, "/v1/rerank", {"results": []}),
    "/v1/moderations": ({**M, "input": "x"}, "/v1/moderations", {"id": "a", "results": []}),
    "/v1/audio/speech": ({**M, "input": "x", "voice": "a"}, "/v1/audio/speech", b"sound"),
    "/v1/audio/transcriptions": (form(), "/v1/audio/transcriptions", {"text": "x"}),
    "/v1/audio/translations": (form(), "/v1/audio/translations", {"text": "x"}),
    "/v2/models/base/simple/infer": (TENSOR, "/v2/models/up-simple/infer", {"model_name": "a", "outputs": []}),
    "/v2/models/base/simple/versions/1/infer": (TENSOR, "/v2/models/up-simple/infer", {"model_name": "a", "outputs": []}),
}
SENT = {"host", "user-agent", "x-request-id", "cdn-loop", "content-type", "accept", "accept-encoding", "authorization",
        "x-up-key", "content-length"}
FROM_CLIENT = {
    # hop by hop (RFC 9110 7.6.1) and what proxies say
    "Connection": "keep-alive, X-Canary-Hop", "X-Canary-Hop": "canary", "Keep-Alive": "timeout=canary",
    "Proxy-Connection": "canary", "TE": "trailers, canary", "Trailer": "X-Canary", "Upgrade": "canary",
    "Proxy-Authorization": "Basic canary", "Via": "1.1 canary", "Forwarded": "for=canary", "X-Real-IP": "192.0.2.7",
    "X-Forwarded-For": "192.0.2.7", "X-Forwarded-Host": "canary", "X-Forwarded-Proto": "canary", "CDN-Loop": "canary",
    "X-Forwarded-Authorization": "canary", "Max-Forwards": "7",
    # who the client is
    "Cookie": "session=canary", "Cookie2": "canary", "Origin": "http://canary", "Referer": "http://canary/",
    "OpenAI-Organization": "canary", "OpenAI-Project": "canary", "anthropic-workspace-id": "canary",
    "x-stainless-lang": "canary", "User-Agent": "canary/1", "X-Client-Request-Id": "canary", "traceparent": "canary",
    # what it would like to choose
    "x-request-id": "req_canary", "Accept": "canary/x", "Accept-Encoding": "gzip, canary", "Accept-Language": "canary",
    "X-HTTP-Method-Override": "DELETE", "X-Original-URL": "/canary", "x-up-key": "canary", "api-version": "canary",
    "cache_salt": "canary", "priority": "canary", "x-priority": "canary", "Host": "canary.example:80",
    "X-Injected": "a%0d%0aX-Canary: b", "If-None-Match": "canary", "Range": "bytes=0-1",
    "Expect": "100-continue", "Authorization-Upstream": "canary", "Content-Language": "canary",
}
FROM_UPSTREAM = {
    "Set-Cookie": "canary=1", "Set-Cookie2": "canary", "Authorization": "canary", "x-api-key": "canary",
    "Proxy-Authenticate": "Basic realm=canary", "WWW-Authenticate": "Bearer canary", "Authentication-Info": "canary",
    "Server": "canary", "X-Powered-By": "canary", "Via": "1.1 canary", "Alt-Svc": 'h2="canary:1"', "Link": "<canary>",
    "Location": "http://canary/", "Content-Location": "/canary", "Refresh": "0; url=http://canary/",
    "x-request-id": "canary", "request-id": "canary", "openai-organization": "canary", "cf-ray": "canary",
    "x-ratelimit-limit-requests": "canary", "x-ratelimit-remaining-tokens": "canary", "x-should-retry": "canary",
    "Access-Control-Allow-Origin": "canary", "Strict-Transport-Security": "canary", "Cache-Control": "public, canary",
    "ETag": "canary", "Vary": "canary", "x-maas-model": "canary", "x-maas-cost-atoms": "canary", "Connection": "canary",
    "Keep-Alive": "timeout=canary", "Upgrade": "canary", "CDN-Loop": "canary", "Content-Disposition": "canary",
    "X-Accel-Buffering": "canary",
}


class Recorder:
    """Keeps the exact bytes of each request; answers with what the path is to be answered with."""

    def __init__(self):
        self.heads, self.bodies = [], []
        self.extra, self.status = {}, 200
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.serve, args=(self.socket.accept()[0],), daemon=True).start()

    def serve(self, c):
        data = b""
        with contextlib.suppress(OSError), c:
            while True:
                while b"\r\n\r\n" not in data:
                    more = c.recv(65536)
                    if not more:
                        return
                    data += more
                head, _, data = data.partition(b"\r\n\r\n")
                length = int(re.search(rb"(?im)^content-length: *(\d+)\r?$", head)[1])
                while len(data) < length:
                    data += c.recv(65536)
                self.heads.append(head.decode("latin-1"))
                self.bodies.append(data[:length])
                data = data[length:]
                path = head.split(b" ")[1].decode()
                body = next(a for _, p, a in ENDPOINTS.values() if p == path)
                kind = "audio/mpeg" if isinstance(body, bytes) else "application/json"
                body = body if isinstance(body, bytes) else json.dumps(body).encode()
                lines = {"Content-Type": kind, "Content-Length": str(len(body)), **self.extra}
                text = "".join(f"{k}: {v}\r\n" for k, v in lines.items())
                c.sendall(f"HTTP/1.1 {self.status} X\r\n{text}\r\n".encode() + body)

    def last(self):
        """(request line, [(name, value)]) of the last request."""
        first, *lines = self.heads[-1].split("\r\n")
        return first, [tuple(re.fullmatch(r"([^:\s]+): ?([^\r\n]*)", line).groups()) for line in lines]

    def stop(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


@pytest.fixture(scope="module")
def rig():
    up = Recorder()
    g = Gate(catalog=CATALOG, worker=False, fields={"port": up.port})
    secret = g.dir / "secret"
    secret.touch(0o600)
    secret.write_text("sk-upstream-secret\n")
    g.fields["secret"] = secret
    try:
        g.start()
        yield g, g.key(), up
        g.stop()
    finally:
        up.stop()
        g.abandon()


def post(g, path, key=None, headers=None, body=None):
    """The body of that endpoint, or another one, as what it is."""
    body = body or ENDPOINTS[path][0]
    kind = {"Content-Type": f"{FORM_TYPE}; x=canary"} if isinstance(body, bytes) else {}
    return g.post(path, body, key, {**kind, **(headers or {})})


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize("how", ["bearer", "x-api-key", "api-key"])
def test_request(rig, path, how):
    g, key, up = rig
    body, target, answer = ENDPOINTS[path]
    own = {"Authorization": f"Bearer {key}"} if how == "bearer" else {how: key}
    a = post(g, path, headers={**FROM_CLIENT, "Idempotency-Key": f"canary-{path}-{how}", **own})
    assert a.status == 200, a
    assert a.body == answer or not isinstance(answer, bytes)
    line, headers = up.last()
    names = [name.lower() for name, _ in headers]
    values = {name.lower(): value for name, value in headers}
    assert line == f"POST {target} HTTP/1.1"
    assert set(names) <= SENT and len(names) == len(set(names)), headers
    everything = up.heads[-1] + up.bodies[-1].decode()
    assert "canary" not in everything.lower() and "192.0.2.7" not in everything and key not in everything
    assert values["host"] == f"127.0.0.1:{up.port}" and values["cdn-loop"] == "maasgate"
    assert values["user-agent"].startswith("maasgate/") and values["accept-encoding"] == "identity"
    assert values["x-request-id"] == a.headers["x-request-id"]
    signed = values.get("authorization") or values["x-up-key"]
    assert signed in ("Bearer sk-upstream-secret", "sk-upstream-secret")
    check_body(body, values["content-type"], up.bodies[-1])


def check_body(sent, kind, got):
    """It says the same with the upstream's model in it, as the type that its header names."""
    if isinstance(sent, bytes):
        assert kind == FORM_TYPE
        assert Form(kind, got) == {"file": ("a.wav", "text/plain", b"sound"), "model": b"up-model"}
    else:
        body = json.loads(got)
        assert kind == "application/json"
        assert all(body[k] == ("up-model" if k == "model" else v) for k, v in sent.items())


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize("status", [200, 400, 401, 500])
def test_answer(rig, path, status):
    g, key, up = rig
    up.extra, up.status = FROM_UPSTREAM, status
    try:
        a = post(g, path, key)
    finally:
        up.extra, up.status = {}, 200
    assert a.status == {200: 200, 400: 400}.get(status, 502)
    assert "canary" not in str(a.headers).lower()
    allowed = {"date", "content-type", "content-length", "connection", "keep-alive", "cache-control", "vary",
               "retry-after", "retry-after-ms", "openai-processing-ms", "x-request-id", "request-id", "x-should-retry"}
    if a.status == 200 and isinstance(ENDPOINTS[path][2], bytes):
        allowed |= {"transfer-encoding", "x-accel-buffering"}  # ours: it flows
    assert all(n in allowed or n.startswith(("x-maas-", "x-ratelimit-")) for n in a.headers), a.headers
    assert a.headers["x-request-id"].startswith("req_")
    assert post(g, path, key).status == 200


@pytest.mark.parametrize("path", [p for p in ENDPOINTS if "infer" not in p])
@pytest.mark.parametrize("field", ["cache_salt", "priority", "api_base", "base_url", "api_key"])
def test_fields_of_the_operator(rig, path, field):
    """In the body they would choose where, as whom or how urgently it runs: refused, not dropped."""
    g, key, up = rig
    before = len(up.heads)
    body = ENDPOINTS[path][0]
    a = post(g, path, key, body=form(**{field: "canary"}) if isinstance(body, bytes) else {**body, field: "canary"})
    assert a.status == 400 and field in a.body.decode(), a
    assert len(up.heads) == before


@pytest.mark.parametrize("value", ["a\r\nX-Canary: b", "a\nX-Canary: b", "a\rX-Canary: b", "a\0b", "\x7f", "caf\xe9"])
def test_values_cannot_inject(rig, value):
    """Neither a header line nor a name in the body becomes a line of the other side's."""
    g, key, up = rig
    for name in ("x-request-timeout-ms", "CDN-Loop", "Content-Type", "X-Any", "Authorization"):
        before = len(up.heads)
        with socket.create_connection(("127.0.0.1", g.port), timeout=20 * SLOW) as s:
            body = json.dumps(ENDPOINTS["/v1/chat/completions"][0]).encode()
            auth = "" if name == "Authorization" else f"Authorization: Bearer {key}\r\n"
            s.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\n{auth}{name}: ".encode() +
                      value.encode("latin-1") + b"\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            answer = b"".join(iter(lambda: s.recv(65536), b""))
        if len(up.heads) > before:  # "\r\n" makes two lines of a client's own, which is no injection
            assert value == "a\r\nX-Canary: b" and name in ("X-Any", "CDN-Loop", "Content-Type"), (name, answer)
            assert "canary" not in up.heads[-1].lower() and "\na" not in up.heads[-1]
        assert b"\r\nX-Canary" not in answer
    a = g.post("/v1/chat/completions", {**ENDPOINTS["/v1/chat/completions"][0], "model": value}, key)
    assert a.status in (400, 404) and "x-canary" not in a.headers


def test_a_timeout_is_what_remains(rig):
    g, key, up = rig
    a = g.post("/v1/chat/completions", ENDPOINTS["/v1/chat/completions"][0], key, {"x-request-timeout-ms": "60000"})
    assert a.status == 200
    told = int(dict(up.last()[1])["x-request-timeout-ms"])
    assert 0 < told <= 60000
    for bad in ("soon", "-1", "0", "1.5", "", "0x10", "1e3"):
        a = g.post("/v1/chat/completions", ENDPOINTS["/v1/chat/completions"][0], key, {"x-request-timeout-ms": bad})
        assert a.status == 400 and a.json()["error"]["param"] == "x-request-timeout-ms", (bad, a)


def test_every_endpoint_is_here():
    """A new endpoint with a capability needs a row above."""
    routes = (pathlib.Path(ROOT) / "gateway/routes.c").read_text()
    listed = {m[1].replace("{model}", "base/simple") for m in re.finditer(r'\{"([^"]+)",\s*METHOD_POST,.*CAP_', routes)}
    assert listed == set(ENDPOINTS)
