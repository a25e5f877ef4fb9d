"""Canaries: keys, the pepper and upstream secrets stand in no output of any kind."""
import json
import os

import pytest
import upstream
from upstream import Upstream, whole

SECRET = "sk-upstream-canary-0123456789abcdef"


def leak(request):
    """A backend that answers with what it was sent."""
    return whole({"error": {"message": f"bad key {SECRET}", "param": SECRET, "code": SECRET}},
                 429 if request["messages"][0]["content"] == "429" else 400)


@pytest.mark.short
def test_no_secret_in_any_output(make_gate):
    back = make_gate(settings={"log_level": "debug"})
    key = back.key("tenant", label="canary")
    up = Upstream(leak)
    front = make_gate(start=False, catalog=upstream.CATALOG, worker=False, settings={"log_level": "debug"})
    secret_file = front.dir / "token"
    secret_file.touch(0o600)
    secret_file.write_text(SECRET + "\n")
    front.fields = {"port": up.port, "options": f"secret_file: {secret_file}"}
    front.start()
    front_key = front.key("tenant", label="canary")
    pepper = (back.state / "pepper").read_bytes()
    outputs = []

    def keep(*texts):
        outputs.extend(t if isinstance(t, bytes) else str(t).encode() for t in texts)

    def keep_answer(a):
        keep(a.body, json.dumps(a.headers))
        return a

    for g, k in ((back, key), (front, front_key)):
        keep_answer(g.chat(k, "#tokens=2 x"))
        keep_answer(g.chat(k, "429"))
        for bad in (k[:-1], k + "x", k.upper(), k[:20], "Bearer " + k):
            keep_answer(g.chat(bad, "x"))
        keep_answer(g.get(f"/v1/models?key={k}", k))
        keep_answer(g.get(f"/v1/{k}", k))
        keep_answer(g.get(f"/v1/models/{k}"))
        keep_answer(g.post("/v1/chat/completions", "{", k, {"x-api-key": k}))
        keep_answer(g.request("BREW", "/v1/models", None, k))
        keep(g.metrics()[2])
        for words in (("key", "list"), ("project", "list"), ("status",), ("usage",), ("usage", "--by", "key"),
                      ("models",), ("audit",)):
            keep(g.cli(*words).stdout, g.cli(*words, "--json").stdout)
        g.cli("reload")
    assert json.dumps(up.seen[0][1]).count(SECRET) == 1, "the backend itself does get it"
    for g in (back, front):
        g.terminate()
        keep(g.daemon.text(), g.daemon.out.read_bytes())
        for path in g.state.iterdir():
            if path.name != "pepper":
                keep(path.read_bytes())
    up.stop()
    found = [(name, text[:300]) for text in outputs
             for name, canary in (("key", key.encode()), ("key of front", front_key.encode()),
                                  ("upstream secret", SECRET.encode()), ("pepper", pepper),
                                  ("pepper in hex", pepper.hex().encode()))
             if canary in text and not self_named(text, canary)]
    assert not found


def self_named(text, canary):
    """A client that puts its key where a model's or an endpoint's name belongs reads it back in its own answer."""
    return text.startswith(b'{"error"') and (b"model_not_found" in text or b"unsupported_endpoint" in text)


def test_prompts_are_not_kept(make_gate):
    g = make_gate(settings={"log_level": "debug"})
    key = g.key()
    assert g.chat(key, "#tokens=2 prompt-canary-4711").status == 200
    s = g.stream(key, "#tokens=2 prompt-canary-4711")
    s.rest()
    g.terminate()
    assert "prompt-canary" not in g.daemon.text()
    for path in g.state.iterdir():
        assert b"prompt-canary" not in path.read_bytes(), path


def test_hostile_text_stays_one_line_of_the_log(make_gate):
    g = make_gate(settings={"log_level": "debug"})
    key = g.key()
    g.chat(key, "x", "base/none\n2026-01-01 level=error forged")
    g.get("/v1/%0aforged", key)
    g.terminate()
    assert not [line for line in g.daemon.text().splitlines() if not line[:4].isdigit()]
    assert not any(line.startswith("2026-01-01 ") for line in g.daemon.text().splitlines())


def test_the_environment_holds_none(make_gate):
    g = make_gate()
    g.key()
    path = f"/proc/{g.daemon.pid}/environ"
    if os.access(path, os.R_OK):
        assert (g.state / "pepper").read_bytes() not in open(path, "rb").read()
