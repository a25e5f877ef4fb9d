"""The framing guard, byte by byte.

Each refused case is followed on the same connection by a canary, GET /healthz.  What
must come back is one refusal in JSON and a closed connection: no answer to the
canary, no request at a backend, nothing held or billed.
"""
import json

import pytest
from gate import Gate
from raw import send_raw

BODY = b'{"model":"base/chat","messages":[{"role":"user","content":"#tokens=1 hi"}]}'
CANARY = b"GET /healthz HTTP/1.1\r\nHost: canary\r\n\r\n"
LEN = b"Content-Length: %d\r\n" % len(BODY)
CHAT = b"POST /v1/chat/completions HTTP/1.1"
GET = b"GET /healthz HTTP/1.1"
ONE_CHUNK = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
TE = b"Transfer-Encoding: "


def post(fields, body=BODY, line=CHAT, base=b"Host: h\r\nAuthorization: Bearer @KEY@\r\n"):
    return line + b"\r\n" + base + fields + b"\r\n" + body


def get(fields=b"", line=GET, host=b"Host: h\r\n"):
    return line + b"\r\n" + host + fields + b"\r\n"


def chunked(body, coding=b"chunked"):
    return post(TE + coding + b"\r\n", body)


def path(raw_path, method=b"GET"):
    return get(line=method + b" " + raw_path + b" HTTP/1.1")


REFUSED = {
    # A1: both framings
    "cl-te": post(LEN + TE + b"chunked\r\n", ONE_CHUNK),
    "te-cl": post(TE + b"chunked\r\n" + LEN, ONE_CHUNK),
    "cl0-te": post(b"Content-Length: 0\r\n" + TE + b"chunked\r\n", ONE_CHUNK),
    "cl-te-upper": post(LEN + b"TRANSFER-ENCODING: CHUNKED\r\n", ONE_CHUNK),
    "cl-te-mixed": post(b"content-LENGTH: 3\r\n" + b"transfer-ENCODING: chunked\r\n", ONE_CHUNK),
    "te-te": post((TE + b"chunked\r\n") * 2, ONE_CHUNK),
    "te-te-junk": post(TE + b"chunked\r\n" + TE + b"x\r\n", ONE_CHUNK),
    "te-junk-te": post(TE + b"x\r\n" + TE + b"chunked\r\n", ONE_CHUNK),
    "cl-te-identity": post(LEN + TE + b"identity\r\n"),
    # A2: lengths
    "cl-twice-same": post(LEN * 2),
    "cl-twice-other": post(LEN + b"Content-Length: 1\r\n"),
    "cl-list": post(b"Content-Length: 5, 5\r\n", b"01234"),
    "cl-list-tight": post(b"Content-Length: 5,5\r\n", b"01234"),
    "cl-plus": post(b"Content-Length: +5\r\n", b"01234"),
    "cl-minus": post(b"Content-Length: -5\r\n", b""),
    "cl-minus-zero": post(b"Content-Length: -0\r\n", b""),
    "cl-hex": post(b"Content-Length: 0x5\r\n", b"01234"),
    "cl-underscore": post(b"Content-Length: 1_0\r\n", b"0123456789"),
    "cl-octal": post(b"Content-Length: 010\r\n", b"0123456789"),
    "cl-space-inside": post(b"Content-Length: 1 0\r\n", b"0123456789"),
    "cl-empty": post(b"Content-Length:\r\n", b""),
    "cl-word": post(b"Content-Length: five\r\n", b"01234"),
    "cl-float": post(b"Content-Length: 5.0\r\n", b"01234"),
    "cl-2^63": post(b"Content-Length: 9223372036854775808\r\n", b""),
    "cl-2^64": post(b"Content-Length: 18446744073709551616\r\n", b""),
    "cl-2^64+5": post(b"Content-Length: 18446744073709551621\r\n", b"01234"),
    "cl-10^30": post(b"Content-Length: 1" + b"0" * 30 + b"\r\n", b""),
    "cl-on-get": get(b"Content-Length: 5\r\n") + b"01234",
    "te-on-get": get(TE + b"chunked\r\n") + b"5\r\n01234\r\n0\r\n\r\n",
    # A3: codings
    "te-xchunked": chunked(ONE_CHUNK, b"xchunked"),
    "te-twice-inside": chunked(ONE_CHUNK, b"chunked, chunked"),
    "te-comma-first": chunked(ONE_CHUNK, b",chunked"),
    "te-comma-last": chunked(ONE_CHUNK, b"chunked,"),
    "te-parameter": chunked(ONE_CHUNK, b"chunked;q=1"),
    "te-vertical-tab": chunked(ONE_CHUNK, b"\x0bchunked"),
    "te-nbsp": chunked(ONE_CHUNK, b"\xa0chunked"),
    "te-identity": chunked(BODY, b"identity"),
    "te-gzip": chunked(ONE_CHUNK, b"gzip"),
    "te-gzip-chunked": chunked(ONE_CHUNK, b"gzip, chunked"),
    "te-quoted": chunked(ONE_CHUNK, b'"chunked"'),
    "te-empty": chunked(ONE_CHUNK, b""),
    "te-on-1.0": post(TE + b"chunked\r\n", ONE_CHUNK, b"POST /v1/chat/completions HTTP/1.0"),
    # A4: chunks
    "chunk-hex-prefix": chunked(b"0x4b\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "chunk-minus": chunked(b"-1\r\nx\r\n0\r\n\r\n"),
    "chunk-minus-zero": chunked(b"-0\r\n\r\n"),
    "chunk-plus": chunked(b"+1\r\nx\r\n0\r\n\r\n"),
    "chunk-leading-space": chunked(b" 1\r\nx\r\n0\r\n\r\n"),
    "chunk-underscore": chunked(b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n"),
    "chunk-empty-size": chunked(b"\r\nx\r\n0\r\n\r\n"),
    "chunk-word": chunked(b"xyz\r\nx\r\n0\r\n\r\n"),
    "chunk-2^64": chunked(b"10000000000000000\r\nx\r\n0\r\n\r\n"),
    "chunk-2^64+1": chunked(b"10000000000000001\r\nx\r\n0\r\n\r\n"),
    "chunk-no-crlf-after": chunked(b"1\r\nxx\r\n0\r\n\r\n"),
    "chunk-lf-after-size": chunked(b"1\nx\r\n0\r\n\r\n"),
    "chunk-lf-after-data": chunked(b"1\r\nx\n0\r\n\r\n"),
    "chunk-cr-after-size": chunked(b"1\rx\r\n0\r\n\r\n"),
    # A5: lines, names and values
    "lf-only": get().replace(b"\r\n", b"\n"),
    "lf-in-headers": get(b"X: 1\nY: 2\r\n"),
    "cr-in-value": get(b"X: a\rb\r\n"),
    "cr-only": b"GET /healthz HTTP/1.1\rHost: h\r\r",
    "cr-cr-lf": get(b"X: 1\r\r\n"),
    "nul-in-value": get(b"X: a\0b\r\n"),
    "nul-in-name": get(b"X\0Y: a\r\n"),
    "bell-in-value": get(b"X: a\x07b\r\n"),
    "escape-in-value": get(b"X: \x1b[2J\r\n"),
    "delete-in-value": get(b"X: \x7f\r\n"),
    "latin1-in-value": get(b"X: caf\xe9\r\n"),
    "latin1-in-name": get(b"X\xe9: a\r\n"),
    "space-before-colon": get(b"X : a\r\n"),
    "tab-before-colon": get(b"X\t: a\r\n"),
    "space-in-name": get(b"X Y: a\r\n"),
    "cl-space-before-colon": post(b"Content-Length : 5\r\n", b"01234"),
    "leading-space-first": GET + b"\r\n Host: h\r\n\r\n",
    "fold": get(b"X: a\r\n b\r\n"),
    "fold-tab": get(b"X: a\r\n\tb\r\n"),
    "fold-te": post(b"X: a\r\n" + b"Transfer-Encoding:\r\n chunked\r\n", ONE_CHUNK),
    "name-empty": get(b": a\r\n"),
    "no-colon": get(b"Xa\r\n"),
    "name-brackets": get(b"X[]: a\r\n"),
    "name-quote": get(b'X": a\r\n'),
    "name-paren": get(b"X(y): a\r\n"),
    # A6: the request line
    "two-spaces": get(line=b"GET  /healthz HTTP/1.1"),
    "tab-for-space": get(line=b"GET\t/healthz HTTP/1.1"),
    "space-in-target": get(line=b"GET /health z HTTP/1.1"),
    "no-version": b"GET /healthz\r\nHost: h\r\n\r\n",
    "version-1.32": get(line=b"GET /healthz HTTP/1.32"),
    "version-9.9": get(line=b"GET /healthz HTTP/9.9"),
    "version-lower": get(line=b"GET /healthz http/1.1"),
    "version-junk": get(line=b"GET /healthz HTTP/1.1x"),
    "method-space": get(line=b" GET /healthz HTTP/1.1"),
    "method-brace": get(line=b"G{T /healthz HTTP/1.1"),
    "target-relative": path(b"healthz"),
    "target-nul": path(b"/healthz\0"),
    "target-latin1": path(b"/h\xe9althz"),
    "target-control": path(b"/healthz\x01"),
    "path-%00": path(b"/healthz%00"),
    "path-%2f": path(b"/v1%2fmodels"),
    "path-%2F-prefix": path(b"/base%2Fv1/models"),
    "path-%2e": path(b"/v1/%2e%2e/healthz"),
    "path-%2E-once": path(b"/v1/%2E/models"),
    "path-dots": path(b"/v1/../healthz"),
    "path-dot": path(b"/./healthz"),
    "path-double-slash": path(b"//healthz"),
    "path-double-inside": path(b"/v1//models"),
    "path-backslash": path(b"/v1\\models"),
    "path-%5c": path(b"/v1%5cmodels"),
    "path-semicolon": path(b"/healthz;x=1"),
    "path-bad-escape": path(b"/healthz%zz"),
    "path-cut-escape": path(b"/healthz%2"),
    "path-%25": path(b"/v1/models/a%252fb"),
    "path-overlong": path(b"/v1/%c0%ae%c0%ae/healthz"),
    "path-model-dots": path(b"/v1/models/base/%2e%2e/chat"),
    "path-model-%00": path(b"/v1/models/base%2Fchat%00"),
    "path-model-%0a": path(b"/v1/models/base%0achat"),
    # A7: hosts
    "host-missing": get(host=b""),
    "host-twice": get(b"Host: h\r\n"),
    "host-twice-other": get(b"Host: other\r\n"),
    "host-list": get(host=b"Host: a, b\r\n"),
    "host-userinfo": get(host=b"Host: me@h\r\n"),
    "host-path": get(host=b"Host: h/x\r\n"),
    "host-space": get(host=b"Host: a b\r\n"),
    "host-query": get(host=b"Host: h?x\r\n"),
    # headers that may come once
    "authorization-twice": post(b"Authorization: Bearer x\r\n" + LEN),
    "content-type-twice": post(b"Content-Type: application/json\r\nContent-Type: text/plain\r\n" + LEN),
    "content-encoding-twice": post((b"Content-Encoding: identity\r\n") * 2 + LEN),
    "x-api-key-twice": post(b"x-api-key: a\r\nx-api-key: b\r\n" + LEN),
    # A9, A11, A12
    "expect-junk": post(b"Expect: 200-ok\r\n" + LEN),
    "expect-twice": post(b"Expect: 100-continue\r\nExpect: 100-continue\r\n" + LEN),
    "gzip-body": post(b"Content-Encoding: gzip\r\n" + LEN),
    "deflate-body": post(b"Content-Encoding: deflate\r\n" + LEN),
    "too-many-headers": get(b"".join(b"X-%d: 1\r\n" % i for i in range(120))),
    "header-too-large": get(b"X: " + b"a" * 40000 + b"\r\n"),
    "headers-too-large": get(b"".join(b"X-%d: %s\r\n" % (i, b"a" * 900) for i in range(60))),
    "name-too-large": get(b"X" * 40000 + b": a\r\n"),
    "target-too-long": path(b"/" + b"a" * 40000),
    "method-too-long": get(line=b"G" * 40000 + b" / HTTP/1.1"),
    "body-too-large": post(b"Content-Length: 5000000\r\n", b"{"),
}

STATUS = {  # where one status alone is right
    "te-xchunked": 501, "te-gzip": 501, "te-gzip-chunked": 501,
    "gzip-body": 415, "deflate-body": 415,
    "too-many-headers": 431, "header-too-large": 431, "headers-too-large": 431,
    "name-too-large": 431, "target-too-long": 414, "body-too-large": 413,
    "version-9.9": 505,
}

# Heads in which the HTTP library finds no request line at all: it just closes.
SILENT = ("tab-for-space", "method-space", "method-too-long", "target-nul")


@pytest.fixture(scope="module")
def gate():
    with Gate(settings={"body_bytes_max": "1M"}) as g:
        g.start()
        yield g


@pytest.fixture(scope="module")
def key(gate):
    return gate.key("framing").encode()


def assert_json_or_empty(headers, body):
    assert b"html" not in body.lower() and b"html" not in headers.get(b"content-type", b""), body
    if body:
        assert headers[b"content-type"].startswith(b"application/json")
        error = json.loads(body)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert "&" not in error["message"] and "<" not in error["message"], "no page of HTML shines through"


@pytest.mark.parametrize("name", REFUSED)
def test_refused(gate, key, name):
    wire = send_raw(gate.port, REFUSED[name].replace(b"@KEY@", key) + CANARY)
    assert wire.closed, f"the connection stays open after {wire.answers}"
    if name in SILENT and not wire.answers:
        return
    assert len(wire.final) == 1, f"not one answer but {wire.answers}"
    status, headers, body = wire.answers[-1]
    assert 400 <= status < 500 or status in (501, 505)
    assert status == STATUS.get(name, status)
    assert_json_or_empty(headers, body)


def test_nothing_of_it_was_billed(gate):
    """Runs after the cases above: what they held, reached or cost is nothing."""
    assert gate.usage("framing")[0] == 0
    assert gate.open_holds() == 0 and not gate.settlements()


ACCEPTED = {  # bytes, statuses
    "plain": (get(), [200]),
    "post": (post(LEN), [200]),
    "length-padded": (post(b"Content-Length:   %d  \r\n" % len(BODY)), [200]),
    "chunked": (chunked(ONE_CHUNK), [200]),
    "chunked-upper": (chunked(ONE_CHUNK, b"Chunked"), [200]),
    "chunk-extension": (chunked(b"%x;a=b\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)), [200]),
    "chunk-leading-zeros": (chunked(b"000%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)), [200]),
    "chunk-each-byte": (chunked(b"".join(b"1\r\n%c\r\n" % b for b in BODY) + b"0\r\n\r\n"), [200]),
    "trailer": (chunked(ONE_CHUNK[:-2] + b"X-Checksum: 1\r\n\r\n"), [200]),
    "expect": (post(b"Expect: 100-continue\r\n" + LEN), [200]),
    "host-port": (get(host=b"Host: h:8080\r\n"), [200]),
    "host-v6": (get(host=b"Host: [::1]:8080\r\n"), [200]),
    "empty-value": (get(b"X:\r\n"), [200]),
    "tab-in-value": (get(b"X: a\tb\r\n"), [200]),
    "query": (path(b"/healthz?a=%2f..%00"), [200]),
    "model-%2F": (path(b"/v1/models/base%2Fchat").replace(b"Host: h", b"Host: h\r\nx-api-key: @KEY@"), [200]),
    "identity-body": (post(b"Content-Encoding: identity\r\n" + LEN), [200]),
    "two": (get() * 2, [200, 200]),
    "fifty": (get() * 50, [200] * 50),
    "post-then-get": (post(LEN) + get(), [200, 200]),
    "chunked-then-get": (chunked(ONE_CHUNK) + get(), [200, 200]),
    "get-then-bad": (get() + get(b"X : a\r\n") + get(), [200, 400]),
    "401-with-body-then-get": (post(LEN, base=b"Host: h\r\nAuthorization: Bearer nobody\r\n") + get(), [401, 200]),
    "404-with-body-then-get": (post(LEN, line=b"POST /nowhere HTTP/1.1") + get(), [404, 200]),
    "405-with-body-then-get": (post(LEN, line=b"POST /v1/models HTTP/1.1") + get(), [405, 200]),
    "400-with-body-then-get": (post(b"Content-Length: 2\r\n", b"[]") + get(), [400, 200]),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(gate, key, name):
    sent, statuses = ACCEPTED[name]
    wire = send_raw(gate.port, sent.replace(b"@KEY@", key), expect=len(statuses))
    assert wire.final == statuses, wire.answers
    for status, headers, body in wire.answers:
        if status >= 400:
            assert_json_or_empty(headers, body)


def test_a_body_that_looks_like_a_request_is_not_one(gate, key):
    """An early 401: the unread body must not be taken for the next request (CL.0)."""
    inner = b"GET /v1/models HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + key + b"\r\n\r\n"
    sent = post(b"Content-Length: %d\r\n" % len(inner), inner, base=b"Host: h\r\n")
    wire = send_raw(gate.port, sent + CANARY, expect=2)
    assert wire.final[0] == 401
    for status, _, body in wire.answers[1:]:
        assert status == 200 and json.loads(body) == {"status": "ok"}


@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_a_large_unread_body_costs_the_connection_not_the_gateway(gate, coding):
    body = b"x" * 900_000
    field = b"Content-Length: 9000000\r\n" if coding == "length" else TE + b"chunked\r\n"
    sent = post(field, body if coding == "length" else b"9000000\r\n" + body, base=b"Host: h\r\n")
    wire = send_raw(gate.port, sent)
    assert wire.final in ([401], [413]) and wire.closed


def test_expect_continue_is_asked_before_the_body(gate, key):
    wire = send_raw(gate.port, [post(b"Expect: 100-continue\r\n" + LEN, b"").replace(b"@KEY@", key),
                                0.2, BODY], expect=1)
    assert wire.statuses == [100, 200]


def test_expect_with_a_bad_key_never_reads_the_body(gate):
    wire = send_raw(gate.port, post(b"Expect: 100-continue\r\n" + LEN, b"", base=b"Host: h\r\n"))
    assert wire.final == [401] or (wire.statuses == [100] and not wire.closed)


@pytest.mark.short
@pytest.mark.parametrize("name", ["plain", "post", "chunked", "post-then-get", "get-then-bad"])
def test_every_split_gives_the_same(gate, key, name):
    """The bytes in two writes, cut at each place: the answers are the same."""
    sent, statuses = ACCEPTED[name]
    sent = sent.replace(b"@KEY@", key)
    step = 1 if len(sent) < 150 else 7
    for cut in range(1, len(sent), step):
        wire = send_raw(gate.port, [sent[:cut], 0.001, sent[cut:]], expect=len(statuses))
        assert wire.final == statuses, (cut, wire.answers)


def test_one_byte_at_a_time(gate, key):
    sent = post(LEN).replace(b"@KEY@", key)
    pieces = [p for b in sent for p in (bytes([b]), 0.001)]
    assert send_raw(gate.port, pieces, expect=1).final == [200]


def test_no_body_with_head(gate):
    wire = send_raw(gate.port, path(b"/healthz", b"HEAD"), quiet=2.0)
    assert wire.data.startswith(b"HTTP/1.1 200")
    assert wire.data.endswith(b"\r\n\r\n") and wire.data.count(b"\r\n\r\n") == 1


def test_http_1_0_closes(gate):
    wire = send_raw(gate.port, b"GET /healthz HTTP/1.0\r\n\r\n")
    assert wire.final == [200] and wire.closed
