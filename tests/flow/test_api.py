"""What a client sees: every endpoint, every error, every header."""
import base64
import json
import re
import struct

import pytest
from gate import CACHED, INPUT, OUTPUT, REQUESTS, Gate, atoms, text_of

LEVELS = {
    "base/chat": "base", "base/embed": "base", "base/image": "base", "base/simple": "base",
    "domain/code/review": "domain", "industry/finance/risk": "industry",
    "industry/mining/safety": "industry", "industry/mining/safety/gas-warning": "scene",
}
MODEL_FIELDS = {"id", "object", "created", "owned_by", "level", "domain", "industry", "parent",
                "capabilities", "pricing", "context_length", "max_output_tokens", "description"}
REQUEST_ID = re.compile(r"req_[0-9a-hjkmnp-tv-z]{13}\Z")


@pytest.fixture(scope="module")
def gate():
    with Gate(settings={"body_bytes_max": "512K"}) as g:
        g.start()
        yield g


@pytest.fixture(scope="module")
def key(gate):
    return gate.key("api")


# ---- models ----

def test_models_list(gate, key):
    a = gate.get("/v1/models", key)
    assert a.status == 200 and a.json()["object"] == "list"
    data = a.json()["data"]
    assert {m["id"]: m["level"] for m in data} == LEVELS
    for m in data:
        assert MODEL_FIELDS <= set(m) and m["object"] == "model", m


def test_model_tells_its_place_and_price(gate, key):
    m = gate.get("/v1/models/industry%2Ffinance%2Frisk", key).json()
    assert (m["level"], m["industry"], m["parent"]) == ("industry", "finance", "base/chat")
    assert m["capabilities"] == ["chat"]
    price = m["pricing"]["output_text_tokens"]
    assert price["per"] == 1000000 and float(price["amount"]) == 1.2 and m["pricing"]["currency"] == "USD"


@pytest.mark.parametrize("path, ids", [
    ("/base/v1/models", ["base/chat", "base/embed", "base/image", "base/simple"]),
    ("/domain/v1/models", ["domain/code/review"]),
    ("/domain/code/v1/models", ["domain/code/review"]),
    ("/industry/finance/v1/models", ["industry/finance/risk"]),
    ("/industry/mining/v1/models", ["industry/mining/safety", "industry/mining/safety/gas-warning"]),
    ("/industry/nothing/v1/models", []),
])
def test_models_of_a_level(gate, key, path, ids):
    assert [m["id"] for m in gate.get(path, key).json()["data"]] == ids


@pytest.mark.parametrize("path, status", [
    ("/v1/models/base%2Fchat", 200), ("/v1/models/base/chat", 200), ("/base/v1/models/chat", 200),
    ("/industry/finance/v1/models/risk", 200), ("/v1/models/base/none", 404), ("/v1/models/chat", 404),
    ("/domain/v1/models/base%2Fchat", 404),
])
def test_one_model(gate, key, path, status):
    a = gate.get(path, key)
    assert a.status == status
    if status == 404:
        assert a.code == "model_not_found" and a.json()["error"]["param"] == "model"


# ---- chat ----

@pytest.mark.short
def test_chat(gate, key):
    a = gate.chat(key, "#tokens=7 hello there", max_tokens=50)
    assert a.status == 200
    body = a.json()
    assert body["object"] == "chat.completion" and body["model"] == "base/chat" and body["id"]
    choice = body["choices"][0]
    assert choice["message"]["role"] == "assistant" and choice["message"]["content"]
    assert choice["finish_reason"] == "stop" and choice["index"] == 0
    usage = body["usage"]
    assert usage["completion_tokens"] == 7
    assert usage["total_tokens"] == usage["prompt_tokens"] + 7
    assert_billed(gate, a.headers["x-request-id"], usage, a.headers["x-maas-cost"])


def assert_billed(gate, request_id, usage, cost=None):
    row = gate.settlement(request_id)
    price = {INPUT: "0.1", CACHED: "0.1", OUTPUT: "0.4"}
    expected = {REQUESTS: (1, atoms("0.001"))}
    for meter, qty in ((INPUT, usage["prompt_tokens"]), (OUTPUT, usage["completion_tokens"])):
        expected[meter] = (qty, atoms(price[meter], 10**6, qty))
    assert (row["outcome"], row["evidence"]) == ("ok", "upstream")
    assert row["lines"] == expected
    assert row["amount_atoms"] == sum(a for _, a in expected.values())
    if cost:
        assert round(float(cost) * 10**10) == row["amount_atoms"]


@pytest.mark.short
@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, {"include_usage": True},
                                     {"include_usage": None}])
def test_chat_stream(gate, key, options):
    fields = {} if options is None else {"stream_options": options}
    s = gate.stream(key, "#tokens=9 go on", **fields)
    events = s.rest()
    assert s.status == 200 and s.headers["content-type"].startswith("text/event-stream")
    assert s.complete and events.pop() == "[DONE]" and "[DONE]" not in events
    asked = bool(options and options.get("include_usage"))
    with_usage = [e for e in events if e.get("usage")]
    assert len(with_usage) == asked
    if asked:
        assert events[-1] is with_usage[0] and events[-1]["choices"] == []
        usage = events.pop()["usage"]
        assert usage["completion_tokens"] == 9
        assert_billed(gate, s.request_id, usage)
    assert all(e["object"] == "chat.completion.chunk" and e["model"] == "base/chat" and e["choices"]
               for e in events)
    assert len({e["id"] for e in events}) == 1
    assert [e["choices"][0]["delta"].get("role") for e in events][0] == "assistant"
    assert [e["choices"][0]["finish_reason"] for e in events if e["choices"][0]["finish_reason"]] == ["stop"]
    assert text_of(events)
    assert gate.settlement(s.request_id)["lines"][OUTPUT][0] == 9


def test_stream_and_whole_are_the_same_text(gate, key):
    whole = gate.chat(key, "#tokens=40 the same", seed=7).json()["choices"][0]["message"]["content"]
    assert text_of(gate.stream(key, "#tokens=40 the same", seed=7).rest()) == whole


@pytest.mark.parametrize("path, model, served, level", [
    ("/v1/chat/completions", "base/chat", "base/chat", "base"),
    ("/base/v1/chat/completions", "chat", "base/chat", "base"),
    ("/base/v1/chat/completions", None, "base/chat", "base"),
    ("/base/v1/chat/completions", "base/chat", "base/chat", "base"),
    ("/domain/code/v1/chat/completions", "review", "domain/code/review", "domain"),
    ("/domain/v1/chat/completions", "review", "domain/code/review", "domain"),
    ("/domain/code/v1/chat/completions", None, "domain/code/review", "domain"),
    ("/industry/finance/v1/chat/completions", None, "industry/finance/risk", "industry"),
    ("/industry/finance/v1/chat/completions", "risk", "industry/finance/risk", "industry"),
    ("/industry/mining/safety/v1/chat/completions", None, "industry/mining/safety", "industry"),
    ("/industry/mining/v1/chat/completions", "gas-warning", "industry/mining/safety/gas-warning", "scene"),
    ("/industry/mining/safety/gas-warning/v1/chat/completions", None,
     "industry/mining/safety/gas-warning", "scene"),
])
def test_names_under_a_level(gate, key, path, model, served, level):
    a = gate.chat(key, "#tokens=2 x", model, path)
    assert a.status == 200, a
    assert a.json()["model"] == served
    assert (a.headers["x-maas-model"], a.headers["x-maas-level"]) == (served, level)
    assert gate.settlement(a.headers["x-request-id"])["model_name"] == served


@pytest.mark.parametrize("path, model, status, code", [
    ("/v1/chat/completions", None, 400, "missing_required_parameter"),
    ("/v1/chat/completions", "chat", 404, "model_not_found"),
    ("/v1/chat/completions", "base/none", 404, "model_not_found"),
    ("/domain/v1/chat/completions", "base/chat", 404, "model_not_found"),
    ("/industry/mining/v1/chat/completions", "risk", 404, "model_not_found"),
    ("/v1/chat/completions", "base/embed", 400, "invalid_value"),
])
def test_names_that_mean_nothing(gate, key, path, model, status, code):
    a = gate.chat(key, "x", model, path)
    assert (a.status, a.code) == (status, code)
    assert a.json()["error"]["param"] == "model"


def test_a_recipe_is_billed_as_input(gate, key):
    """The instructions that a recipe adds are tokens like the client's own."""
    plain = gate.chat(key, "#tokens=1 x").json()["usage"]["prompt_tokens"]
    scene = gate.chat(key, "#tokens=1 x", "industry/mining/safety/gas-warning").json()
    assert scene["usage"]["prompt_tokens"] > plain


# ---- embeddings, images, tensors ----

def test_embeddings(gate, key):
    a = gate.post("/v1/embeddings", {"model": "base/embed", "input": ["one text", "another"]}, key)
    body = a.json()
    assert a.status == 200 and body["object"] == "list" and body["model"] == "base/embed"
    assert [d["index"] for d in body["data"]] == [0, 1]
    assert body["usage"]["prompt_tokens"] == body["usage"]["total_tokens"] > 0
    row = gate.settlement(a.headers["x-request-id"])
    assert row["lines"][INPUT][0] == body["usage"]["prompt_tokens"]
    assert row["endpoint"] == "embeddings"


def test_embeddings_base64_are_the_same_numbers(gate, key):
    def ask(form):
        return gate.post("/v1/embeddings", {"model": "base/embed", "input": "a text", "dimensions": 64,
                                            "encoding_format": form}, key).json()["data"][0]["embedding"]
    packed = struct.unpack("<64f", base64.b64decode(ask("base64")))
    assert packed == tuple(struct.unpack("f", struct.pack("f", x))[0] for x in ask("float"))


def test_images(gate, key):
    a = gate.post("/v1/images/generations", {"model": "base/image", "prompt": "sea", "n": 2,
                                             "size": "256x256"}, key)
    data = a.json()["data"]
    assert a.status == 200 and len(data) == 2
    for image in data:
        assert base64.b64decode(image["b64_json"]).startswith(b"\x89PNG\r\n\x1a\n")
    row = gate.settlement(a.headers["x-request-id"])
    assert row["lines"][6] == (2, atoms("0.01", 1, 2))
    assert row["outcome"] == "ok"


def tensors(**more):
    return {"inputs": [
        {"name": "INPUT0", "shape": [1, 16], "datatype": "INT32", "data": list(range(16))},
        {"name": "INPUT1", "shape": [1, 16], "datatype": "INT32", "data": [[3] * 16]},
    ], **more}


@pytest.mark.short
@pytest.mark.parametrize("path", ["/v2/models/base/simple/infer", "/v2/models/base%2Fsimple/infer",
                                  "/base/v2/models/simple/infer"])
def test_infer(gate, key, path):
    a = gate.post(path, tensors(id="42"), key)
    assert a.status == 200, a
    body = a.json()
    out = {t["name"]: t for t in body["outputs"]}
    assert out["OUTPUT0"]["data"] == [i + 3 for i in range(16)]
    assert out["OUTPUT1"]["data"] == [i - 3 for i in range(16)]
    assert body["id"] == "42" and body["model_name"]
    row = gate.settlement(a.headers["x-request-id"])
    assert row["amount_atoms"] == atoms("0.0005")
    assert row["outcome"] == "ok_unpriced"  # the worker reports elements, which have no price here


@pytest.mark.parametrize("path, body", [
    ("/v2", {"name": "maasgate"}), ("/v2/", {"name": "maasgate"}),
    ("/v2/health/live", {"live": True}), ("/v2/health/ready", {"ready": True}),
    ("/v2/models/base/simple/ready", {"ready": True}),
    ("/v2/models/base/simple", {"name": "base/simple"}),
])
def test_inference_protocol(gate, key, path, body):
    a = gate.get(path, key)
    assert a.status == 200, a
    assert {name: a.json().get(name) for name in body} == body


def test_tensor_metadata(gate, key):
    m = gate.get("/v2/models/base/simple", key).json()
    assert m["inputs"][0] == {"name": "INPUT0", "datatype": "INT32", "shape": [-1, 16]}


@pytest.mark.parametrize("path, body, status", [
    ("/v2/models/base/none/infer", tensors(), 404),
    ("/v2/models/base/chat/infer", tensors(), 400),
    ("/v2/models/base/simple/infer", {"inputs": 1}, 400),
    ("/v2/models/base/simple/infer", {}, 400),
    ("/v2/models/base/simple/infer", tensors(inputs=[]), 400),
    ("/v2/models/base/simple/infer", "[[", 400),
])
def test_inference_errors_are_a_string(gate, key, path, body, status):
    a = gate.post(path, body, key)
    assert a.status == status and isinstance(a.json()["error"], str)


def test_binary_tensors_are_refused_plainly(gate, key):
    a = gate.post("/v2/models/base/simple/infer", b"{}" + b"\0" * 64, key,
                  {"Inference-Header-Content-Length": "2"})
    assert 400 <= a.status < 500 and isinstance(a.json()["error"], str)


# ---- errors ----

CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "x"}]
GOOD = {"model": "base/chat", "messages": MESSAGES}

BAD_BODIES = {  # body, status, code, param (None: any)
    "empty": ("", 400, "invalid_json", None),
    "not-json": ("hello", 400, "invalid_json", None),
    "array": ("[]", 400, "invalid_json", None),
    "cut": ('{"model":"base/chat"', 400, "invalid_json", None),
    "trailing": (json.dumps(GOOD) + "x", 400, "invalid_json", None),
    "two-values": (json.dumps(GOOD) * 2, 400, "invalid_json", None),
    "comma": ('{"model":"base/chat",}', 400, "invalid_json", None),
    "nan": ('{"model":"base/chat","messages":[],"temperature":NaN}', 400, "invalid_json", None),
    "single-quotes": ("{'model':'base/chat'}", 400, "invalid_json", None),
    "bom": (b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), 400, "invalid_json", None),
    "not-utf8": (b'{"model":"base/chat","messages":[{"role":"user","content":"\xff"}]}', 400,
                 "invalid_json", None),
    "overlong-utf8": (b'{"model":"base/chat","user":"\xc0\xaf","messages":[]}', 400, "invalid_json", None),
    "surrogate": (rb'{"model":"base/chat","user":"\ud800","messages":[]}', 400, "invalid_json", None),
    "nul-escape": (rb'{"model":"base\u0000/chat","messages":[{"role":"user","content":"x"}]}', 400, None, None),
    "control": (b'{"model":"base/chat","user":"a\nb","messages":[]}', 400, "invalid_json", None),
    "deep": ('{"model":"base/chat","messages":' + "[" * 5000 + "]" * 5000 + "}", 400, "invalid_json", None),
    "deep-open": ('{"messages":' + "[" * 100000, 400, "invalid_json", None),
    "twice-model": ('{"model":"base/chat","model":"base/chat","messages":[]}', 400, "invalid_json", None),
    "twice-escaped": (r'{"model":"base/chat","mod\u0065l":"base/embed","messages":[]}', 400,
                      "invalid_json", None),
    "twice-max": ('{"model":"base/chat","messages":[{"role":"user","content":"x"}],"max_tokens":1,'
                  '"max_tokens":9}', 400, "invalid_json", None),
    "no-messages": ({"model": "base/chat"}, 400, "missing_required_parameter", "messages"),
    "messages-empty": ({"model": "base/chat", "messages": []}, 400, "invalid_value", "messages"),
    "messages-text": ({"model": "base/chat", "messages": "x"}, 400, "invalid_value", "messages"),
    "model-number": ({**GOOD, "model": 5}, 400, "invalid_value", "model"),
    "model-long": ({**GOOD, "model": "x" * 5000}, 400, None, "model"),
    "model-injection": ({**GOOD, "model": "a\r\nX: y"}, 404, "model_not_found", "model"),
    "max-zero": ({**GOOD, "max_tokens": 0}, 400, "invalid_value", "max_tokens"),
    "max-minus": ({**GOOD, "max_tokens": -1}, 400, "invalid_value", "max_tokens"),
    "max-float": ({**GOOD, "max_tokens": 1.5}, 400, "invalid_value", "max_tokens"),
    "max-text": ({**GOOD, "max_tokens": "5"}, 400, "invalid_value", "max_tokens"),
    "max-bool": ({**GOOD, "max_tokens": True}, 400, "invalid_value", "max_tokens"),
    "max-2^63": ({**GOOD, "max_tokens": 2**63}, 400, "invalid_value", "max_tokens"),
    "max-1e308": ('{"model":"base/chat","messages":[{}],"max_tokens":1e308}', 400, "invalid_value", "max_tokens"),
    "max-both": ({**GOOD, "max_tokens": 5, "max_completion_tokens": 6}, 400, "invalid_value", None),
    "n-zero": ({**GOOD, "n": 0}, 400, "invalid_value", "n"),
    "n-huge": ({**GOOD, "n": 10**9}, 400, "invalid_value", "n"),
    "stream-text": ({**GOOD, "stream": "yes"}, 400, "invalid_value", "stream"),
    "options-without-stream": ({**GOOD, "stream_options": {}}, 400, "invalid_value", "stream_options"),
    "options-list": ({**GOOD, "stream": True, "stream_options": []}, 400, "invalid_value", "stream_options"),
    "usage-text": ({**GOOD, "stream": True, "stream_options": {"include_usage": "x"}}, 400,
                   "invalid_value", None),
    "api_base": ({**GOOD, "api_base": "http://127.0.0.1:1"}, 400, "unsupported_parameter", "api_base"),
    "base_url": ({**GOOD, "base_url": "http://127.0.0.1:1"}, 400, "unsupported_parameter", "base_url"),
    "api_key": ({**GOOD, "api_key": "x"}, 400, "unsupported_parameter", "api_key"),
    "cache_salt": ({**GOOD, "cache_salt": "x"}, 400, "unsupported_parameter", "cache_salt"),
    "priority": ({**GOOD, "priority": 1}, 400, "unsupported_parameter", "priority"),
    "temperature-of-worker": ({**GOOD, "temperature": 9}, 400, None, None),
    "role-of-worker": ({**GOOD, "messages": [{"role": "pirate", "content": "x"}]}, 400, None, None),
    "too-large": (b'{"model":"' + b"x" * 900_000 + b'"}', 413, "request_too_large", None),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_bad_body(gate, key, name):
    body, status, code, param = BAD_BODIES[name]
    a = gate.post(CHAT, body, key)
    assert a.status == status, a
    error = a.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"]
    assert error["type"] == "invalid_request_error"
    assert code is None or error["code"] == code
    assert param is None or error["param"] == param
    assert REQUEST_ID.match(a.headers["x-request-id"])
    assert a.headers["x-should-retry"] == "false"


def test_bad_bodies_cost_nothing(gate):
    other = gate.key("blameless")
    before = gate.usage("blameless")
    for name in ("max-zero", "no-messages", "api_base", "temperature-of-worker"):
        assert gate.post(CHAT, BAD_BODIES[name][0], other).status == 400
    assert gate.usage("blameless")[1] == before[1] == "0.00"


@pytest.mark.parametrize("method, path, status, allow", [
    ("GET", CHAT, 405, "POST"), ("DELETE", CHAT, 405, "POST"), ("PUT", CHAT, 405, "POST"),
    ("POST", "/v1/models", 405, "GET, HEAD"), ("DELETE", "/v1/models/base%2Fchat", 405, "GET, HEAD"),
    ("PATCH", "/healthz", 405, "GET, HEAD"), ("OPTIONS", CHAT, 405, "POST"), ("TRACE", "/", 405, "GET, HEAD"),
    ("GET", "/v1/unknown", 404, None), ("POST", "/v1/assistants", 404, None), ("GET", "/admin", 404, None),
    ("GET", "/metrics", 404, None), ("GET", "/v1", 404, None), ("GET", "/base", 404, None),
    ("GET", "/v3/models", 404, None), ("GET", "/healthzz", 404, None), ("GET", "/base/healthz", 404, None),
    ("GET", "/domain/code/v1/usage", 404, None), ("BREW", "/v1/unknown", 404, None),
])
def test_routes(gate, key, method, path, status, allow):
    a = gate.request(method, path, None, key)
    assert a.status == status, a
    assert a.headers.get("allow") == allow
    assert set(a.json()["error"]) == {"message", "type", "param", "code"}
    assert REQUEST_ID.match(a.headers["x-request-id"])


BAD_KEYS = ["", "Bearer", "Bearer ", "Bearer x", "Basic eDp5", "Bearer ' OR '1'='1", "bearer\tx",
            "Bearer sk-maas-" + "0" * 48, "Bearer sk-maas-" + "z" * 48, "Bearer " + "A" * 8000, "sk-maas-x",
            "Bearer sk-maas-\"; DROP TABLE api_key; --", "Bearer Bearer x", "Token x"]


@pytest.mark.parametrize("value", BAD_KEYS)
@pytest.mark.parametrize("header", ["Authorization", "x-api-key"])
def test_bad_key(gate, header, value):
    a = gate.post(CHAT, GOOD, headers={header: value})
    assert a.status == 401, a
    assert a.code in ("missing_api_key", "invalid_api_key")
    assert a.headers["www-authenticate"].startswith("Bearer")
    assert not value or len(value) < 9 or value.split()[-1] not in a.body.decode()


def test_a_key_with_one_digit_changed(gate, key):
    for at in (8, 20, len(key) - 1):
        other = key[:at] + ("0" if key[at] != "0" else "1") + key[at + 1:]
        assert gate.get("/v1/models", other).status == 401


@pytest.mark.parametrize("headers", [
    lambda k: {"Authorization": f"Bearer {k}"}, lambda k: {"authorization": f"bearer {k}"},
    lambda k: {"x-api-key": k}, lambda k: {"api-key": k},
])
def test_where_a_key_may_stand(gate, key, headers):
    assert gate.get("/v1/models", headers=headers(key)).status == 200


def test_a_key_in_the_query_is_none(gate, key):
    assert gate.get(f"/v1/models?key={key}").status == 401


@pytest.mark.parametrize("path", ["/v1/models", "/v1/usage", CHAT, "/v1/embeddings",
                                  "/v2/models/base/simple", "/v1/models/base%2Fchat"])
def test_without_a_key(gate, path):
    a = gate.request("POST" if "c" in path.split("/")[-1] and path == CHAT or "embed" in path else "GET", path)
    assert a.status == 401


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v2/health/live", "/v2/health/ready", "/v2", "/"])
def test_open_to_probes(gate, path):
    for method in ("GET", "HEAD"):
        a = gate.request(method, path)
        assert a.status == 200 and REQUEST_ID.match(a.headers["x-request-id"])
        assert (a.body == b"") == (method == "HEAD")


def test_headers_of_an_answer(gate, key):
    a = gate.chat(key, "#tokens=1 x")
    h = a.headers
    assert h["cache-control"] == "no-store" and h["vary"].lower() == "authorization"
    assert h["content-type"].startswith("application/json")
    assert int(h["openai-processing-ms"]) >= 0 and int(h["content-length"]) == len(a.body)
    for word in ("limit", "remaining", "reset"):
        assert h[f"x-ratelimit-{word}-requests"] and h[f"x-ratelimit-{word}-tokens"]
    assert re.match(r"\d+(ms|\.\d+s|m\d+s|s)\Z", h["x-ratelimit-reset-requests"])
    assert "server" not in h or "microhttpd" not in h["server"].lower()


def test_request_ids_are_all_different(gate):
    ids = [gate.get("/healthz").headers["x-request-id"] for _ in range(50)]
    assert len(set(ids)) == 50


def test_a_client_cannot_choose_the_id(gate):
    assert gate.get("/healthz", headers={"x-request-id": "mine"}).headers["x-request-id"] != "mine"


# ---- usage and metrics ----

def test_usage_of_the_own_key_only(gate):
    mine, other = gate.key("one-tenant"), gate.key("another-tenant")
    gate.chat(mine, "#tokens=3 x")
    gate.chat(mine, "#tokens=4 x")
    gate.chat(other, "#tokens=5 x")
    rows = gate.get("/v1/usage", mine).json()
    assert [(r["model"], r["requests"], r["usage"]["output_text_tokens"]) for r in rows["data"]] == [("base/chat", 2, 7)]
    days = gate.get("/v1/usage?group_by=day", mine).json()["data"]
    assert [r["requests"] for r in days] == [2]


@pytest.mark.parametrize("query", ["from=x", "to=-1", "group_by=key", "group_by=project", "project=api", "limit=5",
                                   "from=99999999999&to=1"])
def test_usage_refuses_what_it_does_not_do(gate, key, query):
    assert gate.get(f"/v1/usage?{query}", key).status == 400


def test_metrics_are_prometheus_text(gate):
    status, kind, text = gate.metrics()
    assert status == 200 and kind.startswith("text/plain; version=0.0.4") and text.endswith("\n")
    types, names = {}, set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in types and kind in ("counter", "gauge", "histogram")
            types[name] = kind
        elif not line.startswith("#"):
            m = re.match(r'([a-z_:][a-z0-9_:]*)(\{[a-z_]+="[^"\\\n]*"(,[a-z_]+="[^"\\\n]*")*\})? -?\d+(\.\d+)?\Z', line)
            assert m, line
            names.add(m[1])
    assert names <= set(types) and names
    assert all(n.endswith("_total") for n, k in types.items() if k == "counter")


def test_metrics_count(gate, key):
    before = gate.metric("maasgate_ledger_commits_total")
    assert gate.chat(key, "#tokens=1 x").status == 200
    assert gate.metric("maasgate_ledger_commits_total") > before
