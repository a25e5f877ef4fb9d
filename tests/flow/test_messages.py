"""What a developer is told: which part of the request was wrong, what was expected, what to do."""
import pytest
from gate import CATALOG, Gate
from raw import send_raw

CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "#tokens=1 x"}]
GOOD = {"model": "base/chat", "messages": MESSAGES}


@pytest.fixture(scope="module")
def gate():
    with Gate(catalog=CATALOG.replace("  domain/code/review:", """  base/embed-2:
    parent: base/embed
  base/rank:
    capabilities: [rerank]
    price: {{input_uncached_tokens: 0}}
    routes: [{{backend: worker, model: hash-rerank}}]
  domain/code/review:""")) as g:
        g.start()
        yield g


@pytest.fixture(scope="module")
def key(gate):
    return gate.key("messages")


def told(answer, status, *parts):
    error = answer.json()["error"]
    message = error if isinstance(error, str) else error["message"]
    assert answer.status == status, answer
    for part in parts:
        assert part in message, message


# ---- where ----

@pytest.mark.parametrize("path, meant", [
    ("/chat/completions", CHAT), ("/v1/v1/chat/completions", CHAT), ("/V1/chat/completions", CHAT),
    ("/openai/deployments/x/chat/completions", CHAT), ("/industry/finance/chat/completions", CHAT),
    ("/embeddings", "/v1/embeddings"), ("/v1/responses", None), ("/v1/files", None),
])
def test_an_endpoint_that_is_not_there(gate, key, path, meant):
    a = gate.post(path, GOOD, key)
    told(a, 404, f"no endpoint POST {path}")
    assert ("base URL that ends in /v1" in a.json()["error"]["message"]) == bool(meant)
    if meant:
        told(a, 404, f"leads to {meant}")
    assert a.code == "unsupported_endpoint"


def test_a_long_path_is_not_repeated_whole(gate, key):
    a = gate.get("/v1/" + "x" * 5000, key)
    told(a, 404, "no endpoint GET /v1/xxx")
    assert len(a.body) < 400


@pytest.mark.parametrize("method, path, takes", [
    ("GET", CHAT, "POST"), ("DELETE", "/v1/models/base%2Fchat", "GET, HEAD"), ("OPTIONS", CHAT, "POST")])
def test_a_method_that_is_not_taken(gate, key, method, path, takes):
    told(gate.request(method, path, None, key), 405, f"takes {takes}, not {method}")


@pytest.mark.parametrize("path", ["/v1//chat/completions", "//v1/models", "/v1/%63hat/completions", "/v1/./models"])
def test_a_path_that_is_not_plain(gate, key, path):
    a = gate.post(path, GOOD, key)
    told(a, 400, "the path must")
    assert a.code == "invalid_http_framing"


# ---- headers ----

@pytest.mark.parametrize("line", ["Authorization: Bearer x", "x-api-key: x", "Content-Type: text/plain"])
def test_a_header_that_came_twice(gate, line):
    wire = send_raw(gate.port, f"POST {CHAT} HTTP/1.1\r\nHost: h\r\n{line}\r\n{line}\r\n\r\n".encode())
    assert wire.final == [400] and line.split(":")[0].encode() in wire.answers[0][2]


@pytest.mark.parametrize("head, status, code, says", [
    ("GET /v1/%s HTTP/1.1\r\nHost: h\r\n\r\n" % ("x" * 60000), 414, "headers_too_large", "larger than allowed"),
    ("GET / HTTP/1.1\r\nHost: h\r\nX: %s\r\n\r\n" % ("x" * 60000), 431, "headers_too_large", "larger than allowed"),
    ("GET / HTTP/1.1\r\n\r\n", 400, "invalid_http_framing", "without 'Host:'"),
    ("GET / x HTTP/1.1\r\nHost: h\r\n\r\n", 400, "invalid_http_framing", "whitespaces"),
    ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "invalid_http_framing",
     "multiple 'Content-Length:'"),
])
def test_what_the_http_library_refuses(gate, head, status, code, says):
    wire = send_raw(gate.port, head.encode())
    (got, headers, body), = wire.answers
    assert (got, wire.closed) == (status, True) and headers[b"x-should-retry"] == b"false"
    assert f'"code":"{code}"'.encode() in body and says.encode() in body, body


@pytest.mark.parametrize("lines", [["0"], ["-1"], ["1.5"], ["soon"], ["5000", "1"]])
def test_a_patience_that_is_none(gate, key, lines):
    head = f"POST {CHAT} HTTP/1.1\r\nHost: h\r\nx-api-key: {key}\r\n"
    head += "".join(f"x-request-timeout-ms: {value}\r\n" for value in lines)
    wire = send_raw(gate.port, f"{head}Content-Length: 2\r\n\r\n{{}}".encode(), expect=1)
    assert wire.final == [400] and b"at least 1" in wire.answers[0][2]


# ---- models ----

@pytest.mark.parametrize("path, says", [(CHAT, "no model 'base/none'; GET /v1/models"),
                                        ("/domain" + CHAT, "no model 'base/none' under this path")])
def test_a_model_that_is_not_there(gate, key, path, says):
    a = gate.post(path, {**GOOD, "model": "base/none"}, key)
    told(a, 404, says)
    assert (a.code, a.json()["error"]["param"]) == ("model_not_found", "model")


def test_one_model_that_is_not_there(gate, key):
    told(gate.get("/v1/models/base%2Fnone", key), 404, "no model 'base/none'")


def test_a_model_for_other_work(gate, key):
    told(gate.chat(key, model="base/embed"), 400, "'base/embed' does not do chat.completions, but embeddings")


@pytest.mark.parametrize("path, body, served", [
    ("/base/v1/rerank", {"query": "a", "documents": ["a"]}, "base/rank"),
    ("/base/v1/images/generations", {"prompt": "a", "size": "256x256"}, "base/image"),
    ("/base/v1/chat/completions", {"messages": MESSAGES}, "base/chat"),
])
def test_the_one_model_of_a_level_that_does_the_work(gate, key, path, body, served):
    """Though another one is the level's default."""
    a = gate.post(path, body, key)
    assert a.status == 200 and a.headers["x-maas-model"] == served, a


@pytest.mark.parametrize("path, body", [
    ("/base/v1/embeddings", {"input": "a"}), ("/domain/v1/embeddings", {"input": "a"}),
    ("/industry/none/v1/embeddings", {"input": "a"}),
])
def test_a_level_that_does_not_say_which_model(gate, key, path, body):
    a = gate.post(path, body, key)
    told(a, 400, "'model' is missing", "not clear which model is to do embeddings")
    assert (a.code, a.json()["error"]["param"]) == ("missing_required_parameter", "model")


# ---- fields ----

@pytest.mark.parametrize("path, body, param, says", [
    ("/v1/embeddings", {"model": "base/embed", "input": "x", "stream": True}, "stream", "not streamed"),
    ("/v1/embeddings", {"model": "base/embed", "input": 5}, "input", "strings or token ids"),
    ("/v1/embeddings", {"model": "base/embed", "input": []}, "input", "not be empty"),
    ("/v1/rerank", {"model": "base/rank", "query": "x", "documents": []}, "documents", "1 to 10000 elements"),
])
def test_a_field_that_is_wrong(gate, key, path, body, param, says):
    a = gate.post(path, body, key)
    told(a, 400, says)
    assert a.json()["error"]["param"] == param


@pytest.mark.parametrize("fields", [
    {"tools": [{"type": "function", "function": {"name": "f"}}]}, {"response_format": {"type": "json_object"}},
    {"logprobs": True}, {"logit_bias": {"1": 5}}, {"frequency_penalty": 1.5}, {"modalities": ["text", "audio"]},
])
def test_the_reference_worker_ignores_nothing_that_was_asked_for(gate, key, fields):
    name, = fields
    told(gate.post(CHAT, {**GOOD, **fields}, key), 400, f"{name}: this worker")


def test_a_number_that_a_worker_cannot_read(gate, key):
    body = '{"model":"base/chat","messages":[{"role":"user","content":"x"}],"seed":1e999}'
    told(gate.post(CHAT, body, key), 400, "real number overflow")
