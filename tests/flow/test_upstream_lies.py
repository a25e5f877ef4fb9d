"""Answers of an HTTP upstream that are broken, ambiguous or hostile: an error for the one who asked,
nothing for anybody else.  Behind each case a canary is sent on the same backend; it must get its own
answer, and where the framing was in doubt it must get it over another connection."""
import json
import random
import re
import threading

import pytest
import upstream
from gate import SLOW, wait_until
from raw_upstream import FIN, HANG, KEEP, RESET, RawUpstream, answer, head, sized

OK = answer("secret-of-the-case")
N = b"%d" % len(OK)
SECOND = sized(answer("stolen"))
CHUNKED = b"Transfer-Encoding: chunked"


def chunks(*pieces, last=b"0\r\n\r\n"):
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + last


def refused(code, *lines, message="x"):
    return sized(json.dumps({"error": {"message": message}}).encode(), *lines, status=b"HTTP/1.1 %d No" % code)


GARBAGE, CUT, FAILED, LATE = (502, "backend_protocol_error"), (502, "upstream_cut"), (502, "backend_failed"), \
    (504, "deadline_exceeded")

# name: (pieces, how the upstream goes on, status and code for the client, whether the connection may be used again)
CASES = {
    # lengths
    "two-lengths": ([head(b"Content-Length: 2", b"Content-Length: " + N) + OK], HANG, GARBAGE, False),
    "two-equal-lengths": ([head(b"Content-Length: " + N, b"content-length: " + N) + OK], HANG, GARBAGE, False),
    "length-list": ([head(b"Content-Length: %s, %s" % (N, N)) + OK], HANG, GARBAGE, False),
    "length-plus": ([head(b"Content-Length: +" + N) + OK], HANG, GARBAGE, False),
    "length-minus": ([head(b"Content-Length: -1") + OK], HANG, GARBAGE, False),
    "length-hex": ([head(b"Content-Length: 0x20") + OK], HANG, GARBAGE, False),
    "length-spaces": ([head(b"Content-Length: 1 0") + OK], HANG, GARBAGE, False),
    "length-empty": ([head(b"Content-Length:") + OK], HANG, GARBAGE, False),
    "length-huge": ([head(b"Content-Length: " + b"9" * 30) + OK], HANG, GARBAGE, False),
    "length-19-digits": ([head(b"Content-Length: " + b"1" * 19) + OK], HANG, GARBAGE, False),
    "length-underscore": ([head(b"Content-Length: 1_0") + OK], HANG, GARBAGE, False),
    "length-short": ([head(b"Content-Length: 10") + OK], KEEP, GARBAGE, False),
    "length-long-fin": ([head(b"Content-Length: 99999") + OK], FIN, CUT, False),
    "length-long-reset": ([head(b"Content-Length: 99999") + OK], RESET, CUT, False),
    "length-long-stall": ([head(b"Content-Length: 99999") + OK], HANG, LATE, False),
    # codings
    "length-and-chunks": ([head(b"Content-Length: " + N, CHUNKED) + chunks(OK)], HANG, GARBAGE, False),
    "chunks-and-length": ([head(CHUNKED, b"Content-Length: " + N) + OK], HANG, GARBAGE, False),
    "coding-gzip-chunked": ([head(b"Transfer-Encoding: gzip, chunked") + chunks(OK)], HANG, GARBAGE, False),
    "coding-chunked-chunked": ([head(b"Transfer-Encoding: chunked, chunked") + chunks(OK)], HANG, GARBAGE, False),
    "coding-twice": ([head(CHUNKED, CHUNKED) + chunks(OK)], HANG, GARBAGE, False),
    "coding-unknown": ([head(b"Transfer-Encoding: xchunked") + chunks(OK)], HANG, GARBAGE, False),
    "coding-parameter": ([head(b"Transfer-Encoding: chunked;q=1") + chunks(OK)], HANG, GARBAGE, False),
    "coding-identity": ([head(b"Transfer-Encoding: identity") + OK], FIN, GARBAGE, False),
    "coding-vertical-tab": ([head(b"Transfer-Encoding: \x0bchunked") + chunks(OK)], HANG, GARBAGE, False),
    "coding-http10": ([head(CHUNKED, status=b"HTTP/1.0 200 OK") + chunks(OK)], FIN, GARBAGE, False),
    # chunks
    "chunk-no-number": ([head(CHUNKED) + b"zz\r\n" + OK], HANG, CUT, False),
    "chunk-negative": ([head(CHUNKED) + b"-5\r\n" + OK + b"\r\n0\r\n\r\n"], HANG, CUT, False),
    "chunk-empty-size": ([head(CHUNKED) + b"\r\n" + OK + b"\r\n0\r\n\r\n"], HANG, CUT, False),
    "chunk-overflow": ([head(CHUNKED) + b"1" + b"0" * 16 + b"\r\n" + OK], HANG, CUT, False),
    "chunk-too-small": ([head(CHUNKED) + b"5\r\n" + OK + b"\r\n0\r\n\r\n"], HANG, CUT, False),
    "chunk-too-large": ([head(CHUNKED) + b"fff\r\n" + OK + b"\r\n0\r\n\r\n"], FIN, CUT, False),
    "chunk-cut": ([head(CHUNKED) + b"%x\r\n%s" % (len(OK), OK)], FIN, CUT, False),
    "chunk-cut-before-the-last": ([head(CHUNKED) + chunks(OK, last=b"")], FIN, CUT, False),
    "chunk-reset": ([head(CHUNKED) + chunks(OK, last=b"")], RESET, CUT, False),
    "chunk-stall": ([head(CHUNKED) + chunks(OK, last=b"")], HANG, LATE, False),
    "trailer-length": ([head(CHUNKED) + chunks(OK, last=b"0\r\nContent-Length: 5\r\n\r\n")], KEEP, GARBAGE, False),
    "trailer-flood": ([head(CHUNKED) + chunks(OK, last=b"0\r\n"), (b"X-A: b\r\n", 20000)], HANG, GARBAGE, False),
    # lines
    "bare-lf": ([(head(b"Content-Length: " + N) + OK).replace(b"\r\n", b"\n")], HANG, GARBAGE, False),
    "bare-lf-once": ([head(b"Content-Length: " + N).replace(b"json\r\n", b"json\n") + OK], HANG, GARBAGE, False),
    "bare-cr": ([head(b"X-A: b\rContent-Length: 2", b"Content-Length: " + N) + OK], HANG, GARBAGE, False),
    "nul": ([head(b"X-A: b\0c", b"Content-Length: " + N) + OK], HANG, GARBAGE, False),
    "control-in-value": ([head(b"X-A: b\x01c", b"Content-Length: " + N) + OK], HANG, GARBAGE, False),
    "control-in-name": ([head(b"X-\x7fA: b", b"Content-Length: " + N) + OK], HANG, GARBAGE, False),
    "space-before-colon": ([head(b"Content-Length : " + N) + OK], HANG, GARBAGE, False),
    "folded": ([head(b"X-A: b", b" c: d", b"Content-Length: " + N) + OK], HANG, GARBAGE, False),
    "no-colon": ([head(b"Content-Length", b"Content-Length: " + N) + OK], HANG, GARBAGE, False),
    "no-name": ([head(b": b", b"Content-Length: " + N) + OK], HANG, GARBAGE, False),
    "two-types": ([sized(OK, b"Content-Type: text/html")], HANG, GARBAGE, False),
    # status lines
    "status-4-digits": ([sized(OK, status=b"HTTP/1.1 2000 OK")], HANG, GARBAGE, False),
    "status-2-digits": ([sized(OK, status=b"HTTP/1.1 20 OK")], HANG, GARBAGE, False),
    "status-no-space": ([sized(OK, status=b"HTTP/1.1200 OK")], HANG, GARBAGE, False),
    "status-zero": ([sized(OK, status=b"HTTP/1.1 000 OK")], HANG, GARBAGE, False),
    "version-9": ([sized(OK, status=b"HTTP/9.9 200 OK")], HANG, GARBAGE, False),
    "not-http": ([b"220 mail.example ESMTP ready\r\n"], HANG, GARBAGE, False),
    "http-09": ([OK], FIN, GARBAGE, False),
    "switching": ([b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + SECOND], HANG, GARBAGE,
                  False),
    "interim-with-length": ([b"HTTP/1.1 103 Hints\r\nContent-Length: 5\r\n\r\n" + sized(OK)], HANG, GARBAGE, False),
    "interim-flood": ([(b"HTTP/1.1 100 Continue\r\n\r\n", 100000)], HANG, GARBAGE, False),
    "hints-flood": ([(b"HTTP/1.1 103 Hints\r\nLink: <a>\r\n\r\n", 100000)], HANG, GARBAGE, False),
    # too much
    "endless-headers": ([b"HTTP/1.1 200 OK\r\n", (b"X-A: b\r\n", 200000)], HANG, GARBAGE, False),
    "header-10-mib": ([b"HTTP/1.1 200 OK\r\nX-A: ", (b"x" * 65536, 160), b"\r\n\r\n"], HANG, GARBAGE, False),
    "body-without-end": ([head() + b'{"x":"', (b"y" * 65536, 1200)], HANG, GARBAGE, False),
    "refusal-without-end": ([head(status=b"HTTP/1.1 500 No"), (b"y" * 65536, 1200)], HANG, FAILED, False),
    # nothing, or not all
    "fin": ([], FIN, FAILED, False),
    "reset": ([], RESET, FAILED, False),
    "stall": ([], HANG, LATE, False),
    "head-cut": ([b"HTTP/1.1 200 OK\r\nContent-Le"], FIN, GARBAGE, False),
    "head-reset": ([b"HTTP/1.1 200 OK\r\nContent-Le"], RESET, CUT, False),
    "head-stall": ([b"HTTP/1.1 200 OK\r\n"], HANG, LATE, False),
    # more than was asked for
    "garbage-behind": ([sized(OK) + b"\0\xff garbage"], KEEP, (200, None), False),
    "answer-behind": ([sized(OK) + SECOND], KEEP, (200, None), False),
    # libcurl drops what came with the last chunk and goes on; what comes after that is seen
    "answer-behind-chunks": ([head(CHUNKED) + chunks(OK) + SECOND], KEEP, (200, None), True),
    "answer-soon": ([sized(OK), 0.02, SECOND], KEEP, (200, None), False),
    "answer-soon-chunks": ([head(CHUNKED) + chunks(OK), 0.02, SECOND], KEEP, (200, None), False),
    "answer-behind-204": ([b"HTTP/1.1 204 No\r\n\r\n" + SECOND], KEEP, GARBAGE, False),
    # well framed, but not an answer
    "gzip": ([sized(OK, b"Content-Encoding: gzip")], HANG, GARBAGE, False),
    "brotli": ([sized(OK, b"content-encoding: br")], HANG, GARBAGE, False),
    "html": ([sized(b"<html>" + OK).replace(b"application/json", b"text/html")], KEEP, GARBAGE, False),
    "not-json": ([sized(b"hello")], KEEP, GARBAGE, False),
    "json-twice": ([sized(OK + OK)], KEEP, GARBAGE, False),
    "list": ([sized(b"[" + OK + b"]")], KEEP, GARBAGE, False),
    "empty": ([sized(b"")], KEEP, GARBAGE, False),
    "deep": ([sized(b'{"a":' * 100000)], KEEP, GARBAGE, False),
    "no-utf8": ([sized(b'{"a":"\xff\xfe"}')], KEEP, GARBAGE, False),
    "key-twice": ([sized(OK[:-1] + b',"usage":{"prompt_tokens":1}}')], KEEP, GARBAGE, False),
    "204": ([b"HTTP/1.1 204 No Content\r\n\r\n"], KEEP, GARBAGE, False),
    # refusals: well framed, so that the connection is good
    "error-with-200": ([sized(b'{"error":{"message":"boom","code":500}}')], KEEP, FAILED, True),
    "redirect-301": ([refused(301, b"Location: http://127.0.0.1:1/")], KEEP, FAILED, True),
    "redirect-307": ([refused(307, b"Location: http://169.254.169.254/")], KEEP, FAILED, True),
    "redirect-304": ([b"HTTP/1.1 304 No\r\n\r\n"], KEEP, FAILED, True),
    "400": ([refused(400, message="too hot")], KEEP, (400, "invalid_request"), True),
    "401": ([refused(401, b"WWW-Authenticate: Basic")], KEEP, FAILED, True),
    "407": ([refused(407, b"Proxy-Authenticate: Basic")], KEEP, FAILED, True),
    "429": ([refused(429)], KEEP, (503, "server_is_overloaded"), True),
    "503": ([refused(503)], KEEP, FAILED, True),
    "529": ([refused(529)], KEEP, (503, "server_is_overloaded"), True),
    "500": ([refused(500)], KEEP, FAILED, True),
    "599": ([refused(599)], KEEP, FAILED, True),
    # before the body was read; whoever then closes at once may take his answer with him
    "early-400": ([refused(400, message="too long")], KEEP, (400, "invalid_request"), True),
    "early-fin": ([refused(400, message="too long")], FIN, None, False),
}

EVENT = b'data: {"id":"a","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":' \
        b'{"content":"one "},"finish_reason":null}]}\n\n'
LAST = EVENT.replace(b"null}", b'"stop"}')
DONE = b"data: [DONE]\n\n"
SSE = head(CHUNKED).replace(b"application/json", b"text/event-stream")
PLAIN = head().replace(b"application/json", b"text/event-stream")
BEFORE, WITHIN = "before", "within"  # where the client hears of it: an HTTP error, or an event

# name: (pieces, how it goes on, where and which error; None: it is a good stream)
STREAMS = {
    "good": ([SSE + chunks(EVENT, LAST, DONE)], KEEP, None),
    "carriage-returns": ([SSE + chunks((EVENT + LAST + DONE).replace(b"\n", b"\r"))], KEEP, None),
    "garbage": ([SSE + chunks(b"\0\1\2 no event at all \xff\n\n")], KEEP, (BEFORE, "upstream_cut")),
    "no-json": ([SSE + chunks(b"data: hello\n\n")], HANG, (BEFORE, "backend_protocol_error")),
    "no-json-later": ([SSE + chunks(EVENT, b"data: {\n\n")], HANG, (WITHIN, "backend_protocol_error")),
    "no-utf8": ([SSE + chunks(EVENT, b'data: {"a":"\xff"}\n\n')], HANG, (WITHIN, "backend_protocol_error")),
    "deep": ([SSE + chunks(EVENT, b"data: " + b'{"a":' * 10000 + b"\n\n")], HANG, (WITHIN, "backend_protocol_error")),
    "event-10-mib": ([SSE + chunks(EVENT) [:-5], b"a00006\r\ndata: ", (b"x" * 65536, 160)], HANG,
                     (WITHIN, "backend_protocol_error")),
    "lines-without-end": ([PLAIN + EVENT, (b"data: x\n" * 8192, 100)], HANG, (WITHIN, "backend_protocol_error")),
    "comments-forever": ([PLAIN + EVENT, (b": hi\n\n", 20000)], FIN, (WITHIN, "upstream_cut")),
    "cut": ([SSE + chunks(EVENT, last=b"")], FIN, (WITHIN, "upstream_cut")),
    "reset": ([SSE + chunks(EVENT, last=b"")], RESET, (WITHIN, "upstream_cut")),
    "end-without-done": ([SSE + chunks(EVENT)], KEEP, (WITHIN, "upstream_cut")),
    "chunk-lies": ([SSE + chunks(EVENT, last=b"zz\r\n")], HANG, (WITHIN, "upstream_cut")),
    "chunk-too-small": ([SSE + chunks(EVENT, last=b"5\r\n" + EVENT)], HANG, (WITHIN, "upstream_cut")),
    "stall": ([SSE + chunks(EVENT, last=b"")], HANG, (WITHIN, "deadline_exceeded")),
    "stall-at-once": ([SSE], HANG, (BEFORE, "deadline_exceeded")),
    "error-first": ([SSE + chunks(b'data: {"error":{"message":"oom"}}\n\n')], HANG, (BEFORE, "backend_failed")),
    "error-later": ([SSE + chunks(EVENT, b'data: {"error":{"message":"oom"}}\n\n')], HANG, (WITHIN, "upstream_cut")),
    "json": ([sized(OK)], KEEP, (BEFORE, "backend_protocol_error")),
    "gzip": ([SSE.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n") + chunks(EVENT, DONE)], HANG,
             (BEFORE, "backend_protocol_error")),
    "length-and-chunks": ([SSE.replace(b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\n") + chunks(EVENT, DONE)], HANG,
                          (BEFORE, "backend_protocol_error")),
    "answer-behind": ([SSE + chunks(EVENT, LAST, DONE) + SECOND], KEEP, None),
    "events-behind-done": ([SSE + chunks(EVENT, LAST, DONE, EVENT.replace(b"one", b"stolen"))], KEEP, None),
}


@pytest.fixture(scope="module")
def rig():
    from gate import Gate
    scripts = {name: case[:2] for name, case in CASES.items()}
    scripts |= {f"s-{name}": case[:2] for name, case in STREAMS.items()}
    up = RawUpstream(scripts)
    # One loop, so that there is one pool; nothing is ejected, so that every call goes out.
    g = Gate(catalog=upstream.CATALOG, worker=False,
             settings={"loop_threads": 1, "first_byte_timeout_ms": f"{2000 * SLOW}ms",
                       "chunk_timeout_ms": f"{2000 * SLOW}ms"},
             fields={"port": up.port, "options": "eject_after: 1000"})
    try:
        g.start()
        yield g, g.key(), up
        assert not up.wrong, up.wrong
        g.stop()
    finally:
        up.stop()
        g.abandon()


def canary(g, key, word):
    a = g.chat(key, f"canary {word}")
    assert a.status == 200 and a.json()["choices"][0]["message"]["content"] == word, a
    assert b"stolen" not in a.body and b"secret-of" not in a.body


def connection_of(up, prompt):
    return [number for number, said in up.served if said == prompt]


@pytest.mark.parametrize("name", CASES)
def test_answer(rig, name):
    g, key, up = rig
    _, _, expected, kept = CASES[name]
    early = name.startswith("early")
    up.early = name
    a = g.chat(key, f"case {name}" + (" " + "x" * 1_000_000 if early else ""))
    status, code = expected or ((400, "invalid_request") if a.status == 400 else FAILED)
    assert a.status == status, a
    if code:
        assert a.code == code, a
        assert set(a.json()["error"]) == {"message", "type", "param", "code"}
        assert b"secret-of" not in a.body
    else:
        assert a.json()["choices"][0]["message"]["content"] == "secret-of-the-case"
    assert b"stolen" not in a.body
    row = g.settlement(a.headers["x-request-id"])
    assert (row["outcome"], row["amount_atoms"] == 0) == (("ok", False) if status == 200 else ("failed_pre", True))
    if "soon" in name:
        wait_until(lambda: up.played.get(name), what="the second answer")
    canary(g, key, f"behind-{name}")
    mine, = connection_of(up, f"case {name}")
    behind, = connection_of(up, f"canary behind-{name}")
    assert kept or mine != behind, "the connection was used again"
    canary(g, key, f"last-{name}")


@pytest.mark.parametrize("name", STREAMS)
def test_stream(rig, name):
    g, key, up = rig
    expected = STREAMS[name][2]
    s = g.stream(key, f"case s-{name}")
    if expected and expected[0] == BEFORE:
        assert s.head().status in (502, 504)
        error = json.loads(s.body())["error"]
        assert error["code"] == expected[1]
        assert g.settlement(s.request_id)["outcome"] == "failed_pre"
    else:
        events = s.rest()
        assert "stolen" not in str(events)
        assert events[0]["choices"][0]["delta"]["content"] == "one "
        if expected:
            assert "[DONE]" not in events and events[-1]["error"]["code"] == expected[1]
        else:
            assert events[-1] == "[DONE]" and events.count("[DONE]") == 1
    canary(g, key, f"behind-s-{name}")
    mine, = connection_of(up, f"case s-{name}")
    behind, = connection_of(up, f"canary behind-s-{name}")
    assert mine != behind or STREAMS[name][1] == KEEP


def test_all_at_once(rig):
    """The cases in random order on eight connections of clients: 0 bytes of one answer in another."""
    g, key, up = rig
    quick = [n for n, c in CASES.items() if c[2] != LATE and "early" not in n and "soon" not in n and
             not any(isinstance(p, tuple) for p in c[0])]
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    problems = []

    def client(i):
        rng = random.Random(seed + i)
        for n in range(60):
            name = rng.choice(quick)
            word = f"all-{i}-{n}"
            try:
                a = g.chat(key, f"case {name}")
                assert a.status == CASES[name][2][0], (name, a)
                canary(g, key, word)
            except AssertionError as e:
                problems.append(e)
                return
    threads = [threading.Thread(target=client, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not problems, problems


def test_there_are_enough():
    assert len(CASES) + len(STREAMS) >= 60 and not any(re.search(r"[^a-z0-9-]", n) for n in CASES)
