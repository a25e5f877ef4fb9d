"""Sound and forms by way of a worker: the same formats over rings and over a socket."""
import pytest
from gate import INPUT, OUTPUT, Gate, Stream, wait_until
from test_audio import AUDIO_MS, CHARACTERS, KIND, form, wav
from test_python_worker import PythonWorker

CATALOG = """
backends:
  worker: {{transport: {transport}, address: "{address}"}}
models:
  base/say:
    capabilities: [speech]
    price: {{characters: 15.00/1M}}
    routes: [{{backend: worker, model: w-say}}]
  base/hear:
    capabilities: [transcription]
    price: {{audio_ms: 0.006/60000}}
    routes: [{{backend: worker, model: w-hear}}]
  base/text:
    capabilities: [completions]
    price: {{input_uncached_tokens: 0.10/1M, output_text_tokens: 0.40/1M}}
    routes: [{{backend: worker, model: w-text}}]
"""
SOUND = b"\0\1" * 30_000 + b"\2\r\n"


@pytest.fixture(scope="module", params=["shm", "unix"])
def gate(request):
    with Gate(catalog=CATALOG, transport=request.param, worker=False) as g:
        g.start()
        g.workers.append(PythonWorker(g))
        g.wait_backend()
        yield g


@pytest.fixture(scope="module")
def key(gate):
    return gate.key("sound")


def test_a_forms_boundary_does_not_make_another_request(gate, key):
    """An SDK writes a new one in each attempt."""
    def ask(body, boundary="b"):
        kind = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Idempotency-Key": "form"}
        return gate.post("/v1/audio/transcriptions", body.replace(b"--b", b"--" + boundary.encode()), key, kind)
    first, again = ask(form()), ask(form(), "another-boundary")
    assert first.status == 200 and again.body == first.body and again.headers["idempotent-replayed"] == "true"
    assert again.headers["content-type"] == first.headers["content-type"] == "text/plain; charset=utf-8"
    assert ask(form(language="en")).status == 422


def test_speech(gate, key):
    a = gate.post("/v1/audio/speech", {"model": "base/say", "input": "four", "voice": "v"}, key)
    assert (a.status, a.headers["content-type"], a.body) == (200, "audio/x-raw", SOUND)
    row = gate.settlement(a.headers["x-request-id"])
    assert (row["outcome"], row["evidence"]) == ("ok", "gateway") and row["lines"][CHARACTERS][0] == 4


def test_speech_flows(gate, key):
    """All but one byte of what the worker has sent is here before it sends more."""
    go_on = gate.dir / "go-on"
    s = Stream(gate.port, "/v1/audio/speech", {"model": "base/say", "input": "x", "instructions": str(go_on)}, key)
    got, chunks = b"", s.raw_chunks()
    while len(got) < 59_999:
        got += next(chunks)
    assert got == SOUND[:59_999] and gate.open_holds() == 1
    go_on.touch()
    assert got + b"".join(chunks) == SOUND and s.complete


def test_a_listener_who_leaves_stops_the_worker(gate, key):
    s = Stream(gate.port, "/v1/audio/speech", {"model": "base/say", "input": "abc", "instructions": "/nonexistent"}, key)
    got, chunks = 0, s.raw_chunks()
    while got < 59_999:
        got += len(next(chunks))
    s.close()
    row = gate.settlement(s.request_id)
    assert (row["outcome"], row["lines"][CHARACTERS][0]) == ("client_gone", 3)
    wait_until(lambda: gate.running_requests() == 0)


def test_a_form_and_plain_text(gate, key):
    a = gate.post("/v1/audio/transcriptions", form(), key, KIND)
    assert (a.status, a.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert a.body == b"multipart/form-data w-hear %d" % len(wav())
    assert gate.settlement(a.headers["x-request-id"])["lines"][AUDIO_MS][0] == 1500


def test_completions_by_the_helpers(gate, key):
    a = gate.post("/v1/completions", {"model": "base/text", "prompt": "one two"}, key).json()
    assert a["object"] == "text_completion" and a["choices"][0]["text"] == "and so on"
    a = gate.post("/v1/completions", {"model": "base/text", "prompt": "one two", "stream": True}, key)
    assert a.body.count(b"text_completion") == 4 and a.body.endswith(b"data: [DONE]\n\n")
    lines = gate.settlement(a.headers["x-request-id"])["lines"]
    assert (lines[INPUT][0], lines[OUTPUT][0]) == (2, 3)
