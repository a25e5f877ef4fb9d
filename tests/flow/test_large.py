"""Large bodies and answers over every carrier: whole, counted, bounded, and nobody else waits for them."""
import base64
import hashlib
import struct
import threading
import time

import pytest
from fault_backend import FaultBackend
from gate import SLOW, text_of, wait_until
from test_deaths import BACKEND, CATALOG, MODEL, address

MIB = 1 << 20


def chunks_of(png):
    """(type, length) of each chunk; a file that is cut or longer than it says is none."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at = 8
    while at < len(png):
        size, kind = struct.unpack(">I4s", png[at:at + 8])
        yield kind, size
        at += 12 + size
    assert at == len(png)


def image(g, key, noise=20, size="4096x4096"):
    return g.request("POST", "/v1/images/generations",
                     {"model": "base/image", "prompt": f"#noise={noise} large", "size": size}, key, timeout=100)


@pytest.mark.parametrize("transport", ["shm", "unix", "tcp"])
def test_an_image_of_20_mib(make_gate, transport):
    g = make_gate(transport=transport)
    key = g.key()
    beside = []
    t = threading.Thread(target=lambda: beside.append(g.stream(key, "#tokens=50 #delay=5 x").rest()))
    t.start()
    a, b = image(g, key), image(g, key)
    assert a.status == 200, a
    png = base64.b64decode(a.json()["data"][0]["b64_json"], validate=True)
    assert len(png) > 20 * MIB and len(a.body) > 26 * MIB
    kinds = [kind for kind, _ in chunks_of(png)]
    assert kinds[0] == b"IHDR" and kinds[-1] == b"IEND" and set(kinds[1:-1]) == {b"IDAT"}
    # The worker draws from the prompt alone: twice the same, byte for byte.
    assert hashlib.sha256(a.json()["data"][0]["b64_json"].encode()).digest() == \
        hashlib.sha256(b.json()["data"][0]["b64_json"].encode()).digest()
    assert g.settlement(a.headers["x-request-id"])["outcome"] == "ok"
    t.join()
    assert beside[0][-1] == "[DONE]" and len(text_of(beside[0]).split()) > 0


@pytest.mark.parametrize("transport", ["shm", "unix", "tcp"])
def test_a_request_of_28_mib(make_gate, transport):
    """An image in a message: the body reaches the worker whole, while others stream."""
    g = make_gate(transport=transport)
    key = g.key()
    data = "A" * (28 * MIB)
    beside = []
    t = threading.Thread(target=lambda: beside.append(g.stream(key, "#tokens=50 #delay=5 x").rest()))
    t.start()
    a = g.request("POST", "/v1/chat/completions", {
        "model": "base/chat", "max_tokens": 2, "messages": [{"role": "user", "content": "#tokens=2 x"}],
        "metadata": {"image": data}}, key, timeout=100)
    assert a.status in (200, 400), a  # 400: the worker has read all of it and found it too long
    t.join()
    assert beside[0][-1] == "[DONE]"


@pytest.mark.short
def test_answers_are_bounded_each_and_together(make_gate):
    g = make_gate(settings={"answer_bytes_max": "4M", "answers_bytes_max": "6M"})
    key = g.key()
    a = image(g, key, 5, "2048x2048")
    assert (a.status, a.code) == (502, "backend_protocol_error") and "answer_bytes_max" in a.json()["error"]["message"]
    assert g.settlement(a.headers["x-request-id"])["amount_atoms"] == 0
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(image(g, key, 2, "1024x1024"))) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert {a.status for a in answers} <= {200, 503}
    wait_until(lambda: image(g, key, 2, "1024x1024").status == 200, what="the memory that was given back")


@pytest.mark.parametrize("carrier", ["shm", "unix"])
def test_a_reader_that_stalls_holds_back_only_itself(make_gate, carrier):
    """Streams of one worker over one session: one is not read, the others end; then it is, and is whole."""
    g = make_gate(start=False, catalog=CATALOG % (BACKEND % ("one", *address(carrier, "one")),
                                                  MODEL % ("healthy", "one") + MODEL % ("one", "one")),
                  worker=False, settings={"loop_threads": 1, "stream_buffer_max": "64K", "stream_stall_ms": "60s"})
    g.catalog = g.catalog.replace("  healthy:\n    transport: shm\n    address: {dir}/healthy.sock\n", "")
    g.write_conf()
    worker = FaultBackend(g.dir, f"{carrier}:{g.dir}/one.sock")
    g.workers.append(worker)
    g.start()
    g.wait_backend("one")
    key = g.key()
    long = '#script={"do": ["role", {"tokens": 3000, "text": "%s"}, "final"]}' % ("x" * 900)
    stalled = g.stream(key, long, "base/one", receive_buffer=4096, max_tokens=4000)
    stalled.head()
    began = time.monotonic()
    while g.running_requests() and time.monotonic() - began < 0.5:
        time.sleep(0.05)  # its credit runs out: the worker has far more to say
    for _ in range(20):
        s = g.stream(key, "#tokens=200 y", "base/one", max_tokens=300)
        assert s.rest()[-1] == "[DONE]"
        assert g.running_requests() == 1
    assert len(worker.rows("final")) == 20, "the stalled stream has ended, so nothing held it back"
    events = stalled.rest()
    assert events[-1] == "[DONE]" and len(text_of(events)) == 3000 * 900
    assert time.monotonic() - began < 60 * SLOW
