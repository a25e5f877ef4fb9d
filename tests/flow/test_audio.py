"""Sound: speech that flows, forms that are hostile, lengths that are measured, and the bill of each."""
import io
import json
import struct
import threading
import wave

import pytest
from gate import BIG, INPUT, OUTPUT, REQUESTS, Gate, Stream, atoms, wait_until
from raw import send_raw
from upstream import CUT, DONE, Form, Upstream, stream, whole

CHARACTERS, AUDIO_MS = 7, 8
CATALOG = """
backends:
  up: {{transport: http, address: "http://127.0.0.1:{port}/v1"}}
models:
  base/say:
    capabilities: [speech]
    price: {{requests: 0.001, characters: 15.00/1M}}
    routes: [{{backend: up, model: up-say}}]
  base/say-tokens:
    capabilities: [speech]
    max_output_tokens: 5000
    price: {{input_uncached_tokens: 0.60/1M, output_audio_tokens: 12.00/1M, output_text_tokens: 0}}
    routes: [{{backend: up, model: up-say}}]
  base/hear:
    capabilities: [transcription, translation]
    default: true
    price: {{audio_ms: 0.006/60000}}
    routes: [{{backend: up, model: up-hear}}]
  base/hear-tokens:
    capabilities: [transcription]
    max_output_tokens: 2000
    price: {{input_uncached_tokens: 2.50/1M, input_audio_tokens: 6.00/1M, output_text_tokens: 10.00/1M}}
    routes: [{{backend: up, model: up-hear}}]
"""


def wav(ms=1000, rate=16000):
    with io.BytesIO() as out:
        with wave.open(out, "wb") as w:
            w.setparams((1, 2, rate, 0, "NONE", "NONE"))
            w.writeframes(b"\r\n" * (rate * ms // 1000))
        return out.getvalue()


def part(name, value, filename=None, kind=None):
    value = value if isinstance(value, bytes) else str(value).encode()
    file = f'; filename="{filename}"' if filename is not None else ""
    more = f"Content-Type: {kind}\r\n" if kind else ""
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{file}\r\n{more}\r\n'.encode() + value + b"\r\n"


END = b"--b--\r\n"
KIND = {"Content-Type": "multipart/form-data; boundary=b"}


def form(model="base/hear", file=None, **fields):
    body = part("model", model) if model else b""
    body += part("file", wav() if file is None else file, "a.wav", "audio/wav")
    return body + b"".join(part(n.replace("__", "[]"), v) for n, v in fields.items()) + END


class Scripted:
    """The answer of the upstream, which a test changes."""

    def __init__(self):
        self.answer = None
        self.requests = []

    def __call__(self, request):
        self.requests.append(request)
        return self.answer(request) if callable(self.answer) else self.answer


@pytest.fixture(scope="module")
def up():
    script = Scripted()
    upstream = Upstream(script)
    script.upstream = upstream
    yield script
    upstream.stop()


@pytest.fixture(scope="module")
def gate(up):
    with Gate(catalog=CATALOG, worker=False, fields={"port": up.upstream.port},
              settings={"body_bytes_max": "2M", "stream_buffer_max": "64K"}) as g:
        g.start()
        g.wait_backend("up")
        yield g


@pytest.fixture(scope="module")
def key(gate):
    return gate.key("audio")


def sound(pieces, kind="audio/mpeg"):
    status, headers, framed = stream(pieces)
    return status, {**headers, "Content-Type": kind}, framed


def text(body, kind="text/plain; charset=utf-8"):
    return 200, {"Content-Type": kind, "Content-Length": str(len(body))}, [body]


def say(gate, key, **fields):
    return gate.post("/v1/audio/speech", {"model": "base/say", "input": "Hello, wörld 😀", "voice": "a", **fields}, key)


def hear(gate, key, body=None, path="transcriptions", **fields):
    return gate.post(f"/v1/audio/{path}", form(**fields) if body is None else body, key, KIND)


def bill(gate, answer):
    row = gate.settlement(answer.headers["x-request-id"])
    return row["outcome"], row["evidence"], row["lines"]


# ---- speech ----

@pytest.mark.short
def test_speech(gate, key, up):
    """Any bytes, any pieces: the client gets them as they are, and pays for the characters."""
    data = bytes(range(256)) * 40
    up.answer = sound([data[:1], data[1:3000], data[3000:]])
    a = say(gate, key)
    assert (a.status, a.headers["content-type"], a.body) == (200, "audio/mpeg", data)
    sent = up.requests[-1]
    assert (sent["model"], sent["input"], sent["voice"]) == ("up-say", "Hello, wörld 😀", "a")
    assert "max_tokens" not in sent and "stream_options" not in sent
    assert bill(gate, a) == ("ok", "gateway", {REQUESTS: (1, atoms("0.001")),
                                               CHARACTERS: (14, atoms("15", 10**6, 14))})
    assert gate.settlement(a.headers["x-request-id"])["endpoint"] == "audio.speech"


@pytest.mark.parametrize("data", [b"x", b"xy", b"\n\n", b"data: [DONE]\n\n"])
def test_speech_of_few_bytes(gate, key, up, data):
    up.answer = sound([data], "audio/wav")
    assert say(gate, key).body == data


def test_speech_flows_and_its_last_byte_waits_for_the_bill(gate, key, up):
    """What has come is passed on at once, all but one byte; that one leaves when the bill is on disk."""
    go_on = threading.Event()
    up.answer = sound([b"a" * 1000, go_on, b"b" * 1000])
    s = Stream(gate.port, "/v1/audio/speech", {"model": "base/say", "input": "x"}, key)
    chunks = s.raw_chunks()
    first = next(chunks)
    assert s.status == 200 and first == b"a" * 999 and gate.open_holds() == 1
    go_on.set()
    assert first + b"".join(chunks) == b"a" * 1000 + b"b" * 1000 and s.complete
    assert gate.settlement(s.request_id)["outcome"] == "ok"


def test_speech_to_a_slow_reader_holds_back_its_own_backend(gate, key, up):
    size = 8 << 20
    up.answer = sound([bytes([i % 251]) * 65536 for i in range(size // 65536)])
    s = Stream(gate.port, "/v1/audio/speech", {"model": "base/say", "input": "x"}, key, receive_buffer=4096)
    assert s.head().status == 200
    assert gate.get("/v1/models", key).status == 200  # others are served meanwhile
    total = sum(len(c) for c in s.raw_chunks())
    assert (total, s.complete) == (size, True)  # also on a connection that was used before


def test_speech_that_is_cut_is_cut_for_the_client_and_free(gate, key, up):
    up.answer = sound([b"a" * 1000, CUT])
    s = Stream(gate.port, "/v1/audio/speech", {"model": "base/say", "input": "x"}, key)
    got = b"".join(s.raw_chunks())
    assert not s.complete and got in (b"", b"a" * 999)
    row = gate.settlement(s.request_id)
    assert row["outcome"] == "upstream_cut" and CHARACTERS not in row["lines"]


def test_a_listener_who_leaves_pays_the_characters(gate, key, up):
    """The text was known before the first byte; before it, nothing is paid."""
    never = threading.Event()
    up.answer = sound([b"a" * 100000, never, b"b"])
    s = Stream(gate.port, "/v1/audio/speech", {"model": "base/say", "input": "12345"}, key)
    chunks = s.raw_chunks()
    got = len(next(chunks))
    while got < 99999:
        got += len(next(chunks))
    s.close()
    row = gate.settlement(s.request_id)
    assert (row["outcome"], row["lines"][CHARACTERS][0]) == ("client_gone", 5)
    up.answer = sound([never, b"b"])
    before = len(gate.settlements())
    s = Stream(gate.port, "/v1/audio/speech", {"model": "base/say", "input": "12345"}, key)
    wait_until(lambda: gate.running_requests() == 1)
    s.close()
    wait_until(lambda: len(gate.settlements()) > before)
    last = gate.settlements()[-1]
    assert (last["outcome"], last["amount_atoms"]) == ("client_gone_0", 0)
    never.set()


def test_speech_in_events(gate, key, up):
    """stream_format sse: the event that ends it has the usage and comes last, for everybody."""
    events = [{"type": "speech.audio.delta", "audio": "QUJD"}, {"type": "speech.audio.delta", "audio": "REVG"},
              {"type": "speech.audio.done", "usage": {"input_tokens": 5, "output_tokens": 40, "total_tokens": 45}}]
    up.answer = stream([b"data: " + json.dumps(e).encode() + b"\n\n" for e in events] + [DONE])
    a = gate.post("/v1/audio/speech", {"model": "base/say-tokens", "input": "Hello", "stream_format": "sse"}, key)
    assert a.headers["content-type"].startswith("text/event-stream")
    got = [b.removeprefix("data: ") for b in a.body.decode().split("\n\n")[:-1]]
    assert [json.loads(g) for g in got[:-1]] == events and got[-1] == "[DONE]"
    assert up.requests[-1]["stream_format"] == "sse" and "stream_options" not in up.requests[-1]
    outcome, evidence, lines = bill(gate, a)
    assert (outcome, evidence) == ("ok", "upstream") and lines[INPUT] == (5, atoms("0.6", 10**6, 5))


def test_tokens_beside_characters_do_not_lack_a_price(gate, key, up):
    up.answer = stream([b'data: {"type":"speech.audio.done","usage":{"input_tokens":5,"output_tokens":4}}\n\n', DONE])
    a = say(gate, key, stream_format="sse")
    assert bill(gate, a)[0] == "ok" and set(bill(gate, a)[2]) == {REQUESTS, CHARACTERS}


@pytest.mark.parametrize("fields, param", [
    ({"input": None}, "input"), ({"input": 7}, "input"), ({"input": ["a"]}, "input"),
    ({"stream_format": "mp3"}, "stream_format"), ({"api_key": "x"}, "api_key"), ({"model": "base/hear"}, "model"),
])
def test_speech_that_is_refused(gate, key, fields, param):
    a = say(gate, key, **fields)
    assert (a.status, a.json()["error"]["param"]) == (400, param)


def test_the_hold_of_speech_is_its_price(gate, up):
    """15 characters at 0.000015 and 0.001 for the request: exactly that budget is enough."""
    up.answer = sound([b"x"])
    gate.project("exact", "0.001225", "total")
    exact = gate.key("exact")
    assert say(gate, exact, input="x" * 16).status == 429
    assert say(gate, exact, input="x" * 15).status == 200


def test_a_refusal_of_speech_is_an_error_as_always(gate, key, up):
    up.answer = whole({"error": {"message": "no such voice", "param": "voice"}}, 400)
    a = say(gate, key)
    assert (a.status, a.json()["error"]["param"]) == (400, "voice") and "no such voice" in a.json()["error"]["message"]
    up.answer = text(b"", "audio/mpeg")
    assert say(gate, key).status == 502


# ---- transcription and translation ----

@pytest.mark.short
@pytest.mark.parametrize("path", ["transcriptions", "translations"])
def test_transcription(gate, key, up, path):
    up.answer = whole({"text": "hi", "usage": {"type": "duration", "seconds": 1.0}})
    a = hear(gate, key, path=path, language="de", prompt="a\r\nb", timestamp_granularities__="word")
    assert (a.status, a.json()["text"]) == (200, "hi")
    sent = up.requests[-1]
    assert isinstance(sent, Form) and set(sent) == {"model", "file", "language", "prompt", "timestamp_granularities[]"}
    assert sent["model"] == b"up-hear" and sent["file"] == ("a.wav", "audio/wav", wav())
    assert sent["prompt"] == b"a\r\nb" and sent["timestamp_granularities[]"] == [b"word"]
    assert up.upstream.seen[-1][0] == f"/v1/audio/{path}"
    assert bill(gate, a) == ("ok", "upstream", {AUDIO_MS: (1000, atoms("0.006", 60000, 1000))})
    assert gate.settlement(a.headers["x-request-id"])["endpoint"] == f"audio.{path}"


@pytest.mark.parametrize("seconds, ms", [("8.47", 8470), ("0.1", 100), ("3", 3000), ("2.0005", 2000), ("0", 0)])
def test_seconds_become_milliseconds_exactly(gate, key, up, seconds, ms):
    up.answer = whole(b'{"text":"hi","usage":{"type":"duration","seconds":%s}}' % seconds.encode())
    outcome, evidence, lines = bill(gate, hear(gate, key, file=wav(9000)))
    assert (outcome, evidence) == ("ok", "upstream")
    assert lines.get(AUDIO_MS, (0,))[0] == ms  # 0 is a value, not a gap


@pytest.mark.parametrize("kind, body, ask", [
    ("text/plain; charset=utf-8", b"hello there\n", "text"), ("text/vtt", b"WEBVTT\n\n00:00.000 --> 00:01.000\nhi\n", "vtt"),
    ("application/x-subrip", b"1\r\n00:00:00,000 --> 00:00:01,000\r\nhi\r\n", "srt"),
])
def test_formats_without_usage_are_measured(gate, key, up, kind, body, ask):
    """The gateway's rule: the samples of the file, which the hold was made of, too."""
    up.answer = text(body, kind)
    a = hear(gate, key, file=wav(1234), response_format=ask)
    assert (a.status, a.headers["content-type"], a.body) == (200, kind, body)
    assert up.requests[-1]["response_format"] == ask.encode()
    assert bill(gate, a) == ("ok", "gateway", {AUDIO_MS: (1234, atoms("0.006", 60000, 1234))})


def test_sound_of_a_length_nobody_knows_costs_nothing_without_a_report(gate, key, up):
    up.answer = text(b"hello")
    assert bill(gate, hear(gate, key, file=b"fLaC" + b"x" * 5000)) == ("ok_nousage", "none", {})
    up.answer = whole({"text": "hi", "duration": 4.5})
    assert bill(gate, hear(gate, key, file=b"fLaC" + b"x" * 5000))[2] == {AUDIO_MS: (4500, atoms("0.006", 60000, 4500))}


def test_what_is_reported_beyond_the_hold_is_cut(gate, key, up):
    """1 s of samples: at most 3 s are ever billed; and 5,000 unknown bytes are at most 7 s."""
    up.answer = whole({"text": "hi", "usage": {"type": "duration", "seconds": 3600}})
    assert bill(gate, hear(gate, key, file=wav(1000)))[2][AUDIO_MS][0] == 3000
    assert bill(gate, hear(gate, key, file=b"OggS" + b"x" * 4996))[2][AUDIO_MS][0] == 7000


def test_transcription_by_tokens(gate, key, up):
    up.answer = whole({"text": "hi", "usage": {
        "type": "tokens", "input_tokens": 14, "input_token_details": {"text_tokens": 4, "audio_tokens": 10},
        "output_tokens": 3, "total_tokens": 17}})
    outcome, evidence, lines = bill(gate, hear(gate, key, model="base/hear-tokens"))
    assert (outcome, evidence) == ("ok", "upstream")
    assert {m: q for m, (q, _) in lines.items()} == {INPUT: 4, 11: 10, OUTPUT: 3}


@pytest.mark.short
def test_transcription_stream(gate, key, up):
    events = [{"type": "transcript.text.delta", "delta": "he"}, {"type": "transcript.text.delta", "delta": "llo"},
              {"type": "transcript.text.done", "text": "hello",
               "usage": {"type": "tokens", "input_tokens": 14, "output_tokens": 2, "total_tokens": 16}}]
    up.answer = stream([b"data: " + json.dumps(e).encode() + b"\n\n" for e in events] + [DONE])
    a = hear(gate, key, model="base/hear-tokens", stream="true")
    got = [b.removeprefix("data: ") for b in a.body.decode().split("\n\n")[:-1]]
    assert [json.loads(g) for g in got[:-1]] == events and got[-1] == "[DONE]"
    assert up.requests[-1]["stream"] == b"true"
    assert {m: q for m, (q, _) in bill(gate, a)[2].items()} == {INPUT: 14, OUTPUT: 2}


def test_a_backend_that_cannot_stream_answers_whole(gate, key, up):
    """As OpenAI's whisper-1 does."""
    up.answer = whole({"text": "hi", "usage": {"type": "duration", "seconds": 1}})
    a = hear(gate, key, stream="true")
    assert (a.status, a.headers["content-type"], a.json()["text"]) == (200, "application/json", "hi")
    assert bill(gate, a)[2][AUDIO_MS][0] == 1000


@pytest.mark.parametrize("order", range(6))
def test_the_model_may_stand_anywhere(gate, key, up, order):
    import itertools
    parts = [part("model", "base/hear"), part("file", wav(), "a.wav"), part("language", "de")]
    up.answer = whole({"text": "hi"})
    body = b"".join(list(itertools.permutations(parts))[order]) + END
    assert hear(gate, key, body).status == 200
    assert up.requests[-1]["model"] == b"up-hear" and up.requests[-1]["file"][2] == wav()


def test_a_level_names_the_model(gate, key, up):
    up.answer = whole({"text": "hi"})
    a = gate.post("/base/v1/audio/transcriptions", form(model=None), key, KIND)
    assert a.status == 200 and up.requests[-1]["model"] == b"up-hear" and a.headers["x-maas-model"] == "base/hear"


@pytest.mark.parametrize("name, seen", [
    ("../../etc/passwd", "passwd"), ("C:\\\\dir\\\\a.mp3", "a.mp3"), ("a\\\"; name=\\\"model.wav", "_model.wav"),
    ("录音.m4a", "______.m4a"), ("", "file"), (".bashrc", "_bashrc"), ("x" * 300 + ".flac", "x" * 95 + ".flac"),
])
def test_hostile_file_names(gate, key, up, name, seen):
    up.answer = whole({"text": "hi"})
    body = part("model", "base/hear") + part("file", wav(), name) + END
    assert hear(gate, key, body).status == 200
    assert up.requests[-1]["file"][0] == seen and up.requests[-1]["model"] == b"up-hear"


FILE = part("file", b"x", "a")


@pytest.mark.parametrize("body, status, param", [
    (b"", 400, None), (b"{}", 400, None), (END, 400, "file"), (part("model", "base/hear") + END, 400, "file"),
    (part("file", "x") + END, 400, "file"), (part("file", "", "a.wav") + END, 400, "file"), (FILE, 400, None),
    (FILE + END, 400, "model"), (FILE + part("model", "base/none") + END, 404, "model"),
    (FILE + part("model", "base/say") + END, 400, "model"),
    (FILE + part("model", "base/hear") + part("model", "base/say") + END, 400, None),
    (FILE + FILE + END, 400, None), (FILE + part("model[]", "base/hear") + END, 400, "model"),
    (FILE + part("stream", "1") + END, 400, "stream"), (FILE + part("api_base", "http://x") + END, 400, "api_base"),
    (FILE + part("mo\\del", "base/hear") + END, 400, None), (b"preamble\r\n" + FILE + END, 400, None),
    (FILE + END + b"epilogue", 400, None), ((FILE + END).replace(b"\r\n", b"\n"), 400, None),
    (part("a[]", "x") * 65 + END, 400, None), (FILE + part("prompt", "x" * 65537) + END, 400, None),
    (part("file", b"x", "a", "multipart/mixed; boundary=c") + END, 400, None),
])
def test_forms_that_are_refused(gate, key, up, body, status, param):
    before, seen = len(gate.settlements()), len(up.requests)
    a = hear(gate, key, body)
    assert a.status == status and a.json()["error"]["param"] == param and a.json()["error"]["message"]
    assert (len(gate.settlements()), len(up.requests)) == (before, seen)


@pytest.mark.parametrize("kind", [None, "application/json", "multipart/form-data", "multipart/mixed; boundary=b",
                                  "multipart/form-data; boundary=" + "x" * 71,
                                  'multipart/form-data; boundary="b', "multipart/form-data; boundary=b; boundary=c"])
def test_types_that_are_no_form(gate, key, kind):
    a = gate.post("/v1/audio/transcriptions", form(), key, {"Content-Type": kind or "x/y"})
    assert (a.status, a.code) == (415, "unsupported_media_type")


def test_a_form_elsewhere_is_refused(gate, key):
    a = gate.post("/v1/audio/speech", form(), key, KIND)
    assert a.status == 415 and "application/json" in a.json()["error"]["message"]
    assert gate.get("/v1/audio/transcriptions", key).headers["allow"] == "POST"
    assert gate.post("/v1/audio/transcriptions", form(), None, KIND).status == 401
    a = gate.post("/v1/audio/transcriptions", form(), key, {**KIND, "Content-Encoding": "gzip"})
    assert a.status == 415


def test_a_stranger_is_refused_before_the_upload(gate):
    """Expect: 100-continue gets 401 at once; a body too large gets 413."""
    head = (b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n")
    assert send_raw(gate.port, head % 1000, expect=1).final == [401]
    assert send_raw(gate.port, head % (3 << 20), expect=1).final == [413]


def test_a_body_at_its_limit(gate, key, up):
    up.answer = whole({"text": "hi"})
    shell = len(form(file=b""))
    assert hear(gate, key, file=b"x" * ((2 << 20) - shell)).status == 200
    assert len(up.requests[-1]["file"][2]) == (2 << 20) - shell
    body = form(file=b"x" * ((2 << 20) - shell + 1))
    wire = send_raw(gate.port, f"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {key}\r\n"
                    f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {len(body)}\r\n\r\n".encode(),
                    expect=1)  # refused by its head
    assert wire.statuses == [413]


def test_a_chunked_form(gate, key, up):
    up.answer = whole({"text": "hi"})
    body = form()
    pieces = [b"%x\r\n%s\r\n" % (len(body[i:i + 700]), body[i:i + 700]) for i in range(0, len(body), 700)]
    wire = send_raw(gate.port, [f"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {key}\r\n"
                                "Content-Type: multipart/form-data; boundary=b\r\nTransfer-Encoding: chunked\r\n\r\n".encode(),
                                *pieces, b"0\r\n\r\n"], expect=1)
    assert wire.statuses == [200] and up.requests[-1]["file"][2] == wav()


def test_the_hold_of_sound_is_its_length(gate, up):
    """60 s of samples are held as 62 s at 0.006 a minute: 0.0062."""
    up.answer = whole({"text": "hi", "usage": {"type": "duration", "seconds": 60}})
    file = wav(60000, 8000)
    gate.project("minute", "0.0062", "total")
    minute = gate.key("minute")
    assert hear(gate, minute, file=wav(61000, 8000)).status == 429
    a = hear(gate, minute, file=file)
    assert a.status == 200 and bill(gate, a)[2] == {AUDIO_MS: (60000, atoms("0.006"))}


def test_many_forms_at_once_do_not_mix(gate, key, up):
    import concurrent.futures

    def echo(request):
        return whole({"text": request["file"][2][44:60].hex()})
    up.answer = echo
    rpm = gate.key("many-forms", rpm=BIG)

    def one(i):
        file = wav(500)[:44] + struct.pack("<4I", i, i, i, i) + wav(500)[60:]
        return i, hear(gate, rpm, file=file).json()["text"]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for i, seen in pool.map(one, range(200)):
            assert seen == struct.pack("<4I", i, i, i, i).hex()
