"""Tensors: Triton's own client, untouched, and every way a binary body can be wrong."""
import json
import struct

import numpy as np
import pytest
import tritonclient.http as triton
from gate import REQUESTS, SLOW, Gate, atoms
from raw import send_raw

ELEMENTS = 10
MODELS = """
backends:
  worker: {{transport: {transport}, address: "{address}"}}
models:
  base/simple:
    capabilities: [infer]
    price: {{requests: 0.0005, tensor_elements: 0.01/1k, compute_ms: 0}}
    routes: [{{backend: worker, model: simple}}]
    tensor:
      inputs:
        - {{name: INPUT0, datatype: INT32, shape: [-1, 16]}}
        - {{name: INPUT1, datatype: INT32, shape: [-1, 16]}}
      outputs:
        - {{name: OUTPUT0, datatype: INT32, shape: [-1, 16]}}
        - {{name: OUTPUT1, datatype: INT32, shape: [-1, 16]}}
  industry/finance/sums:
    parent: base/simple
"""


@pytest.fixture(scope="module", params=["shm", "tcp"])
def gate(request):
    with Gate(catalog=MODELS, transport=request.param) as g:
        g.start()
        yield g


@pytest.fixture(scope="module")
def key(gate):
    return gate.key("tensors")


def client_of(gate, prefix=""):
    return triton.InferenceServerClient(f"127.0.0.1:{gate.port}{prefix}", network_timeout=60 * SLOW, connection_timeout=60 * SLOW)


def numbers(rows=1):
    return (np.arange(16 * rows, dtype=np.int32).reshape(rows, 16), np.full((rows, 16), 7, dtype=np.int32))


def inputs_of(a, b, binary=True):
    tensors = []
    for name, data in (("INPUT0", a), ("INPUT1", b)):
        tensor = triton.InferInput(name, list(data.shape), "INT32")
        tensor.set_data_from_numpy(data, binary_data=binary)
        tensors.append(tensor)
    return tensors


# ---- Triton's client ----

@pytest.mark.short
@pytest.mark.parametrize("rows", [1, 8])
def test_infer_as_the_client_does_by_default(gate, key, rows):
    """Inputs and outputs are binary unless told otherwise."""
    a, b = numbers(rows)
    with client_of(gate) as c:
        assert c.is_server_live() and c.is_server_ready()
        result = c.infer("base/simple", inputs_of(a, b), headers={"Authorization": f"Bearer {key}"})
    assert (result.as_numpy("OUTPUT0") == a + b).all() and (result.as_numpy("OUTPUT1") == a - b).all()
    assert result.get_output("OUTPUT0")["parameters"]["binary_data_size"] == 64 * rows
    row = gate.settlements()[-1]
    lines = {m: (qty, amount) for m, qty, amount in json.loads(row["lines"])}
    assert (row["endpoint"], row["outcome"]) == ("infer", "ok")
    assert lines[REQUESTS] == (1, atoms("0.0005"))
    assert lines[ELEMENTS] == (32 * rows, atoms("0.01", 1000, 32 * rows))


@pytest.mark.parametrize("binary_in", [False, True])
@pytest.mark.parametrize("binary_out", [False, True])
def test_json_and_binary_mixed(gate, key, binary_in, binary_out):
    a, b = numbers()
    outputs = [triton.InferRequestedOutput("OUTPUT1", binary_data=binary_out),
               triton.InferRequestedOutput("OUTPUT0", binary_data=not binary_out)]
    with client_of(gate) as c:
        result = c.infer("base/simple", inputs_of(a, b, binary_in), outputs=outputs, request_id="mine",
                         headers={"Authorization": f"Bearer {key}"})
    assert (result.as_numpy("OUTPUT0") == a + b).all() and (result.as_numpy("OUTPUT1") == a - b).all()
    assert result.get_response()["id"] == "mine" and result.get_response()["model_name"] == "base/simple"


def test_a_level_as_base_url(gate, key):
    a, b = numbers()
    with client_of(gate, "/industry/finance") as c:
        result = c.infer("sums", inputs_of(a, b), headers={"Authorization": f"Bearer {key}"})
    assert (result.as_numpy("OUTPUT0") == a + b).all()
    assert gate.settlements()[-1]["amount_atoms"] > 0


def test_what_the_server_says_of_itself(gate, key):
    headers = {"Authorization": f"Bearer {key}"}
    with client_of(gate) as c:
        assert "binary_tensor_data" in c.get_server_metadata()["extensions"]
        assert c.is_model_ready("base/simple", headers=headers)
        meta = c.get_model_metadata("base/simple", headers=headers)
    assert [t["name"] for t in meta["inputs"]] == ["INPUT0", "INPUT1"] and meta["versions"] == ["1"]


def test_the_version_that_the_metadata_names(gate, key):
    a, b = numbers()
    headers = {"Authorization": f"Bearer {key}"}
    with client_of(gate) as c:
        assert c.is_model_ready("base/simple", "1", headers=headers)
        meta = c.get_model_metadata("base/simple", "1", headers=headers)
        assert meta["versions"] == ["1"]
        result = c.infer("base/simple", inputs_of(a, b), model_version="1", headers=headers)
        assert (result.as_numpy("OUTPUT0") == a + b).all()
        with pytest.raises(triton.InferenceServerException, match="unknown model"):
            c.infer("base/simple", inputs_of(a, b), model_version="2", headers={"Authorization": f"Bearer {key}"})


def test_many_at_once(gate, key):
    """Answers do not mix: each is checked against its own numbers."""
    waits = []
    with triton.InferenceServerClient(f"127.0.0.1:{gate.port}", concurrency=8, network_timeout=60 * SLOW) as c:
        for i in range(64):
            a, b = np.full((4, 16), i, dtype=np.int32), np.full((4, 16), 1000 * i, dtype=np.int32)
            waits.append((a + b, c.async_infer("base/simple", inputs_of(a, b),
                                               headers={"Authorization": f"Bearer {key}"})))
        for expected, wait in waits:
            assert (wait.get_result().as_numpy("OUTPUT0") == expected).all()


def test_errors_reach_the_client_as_its_own(gate, key):
    a, b = numbers()
    headers = {"Authorization": f"Bearer {key}"}
    with client_of(gate) as c:
        for model, tensors, why in [("base/none", inputs_of(a, b), "Request for unknown model: 'base/none'"),
                                    ("base/simple", inputs_of(a, b)[:1], "INPUT1 is missing")]:
            with pytest.raises(triton.InferenceServerException, match=why):
                c.infer(model, tensors, headers=headers)
        with pytest.raises(triton.InferenceServerException, match="not compressed|must not be compressed"):
            c.infer("base/simple", inputs_of(a, b), headers=headers, request_compression_algorithm="gzip")


# ---- by hand ----

def binary_body(tail=None, **header):
    """(bytes of JSON, body)"""
    def tensor(name):
        return {"name": name, "shape": [1, 16], "datatype": "INT32", "parameters": {"binary_data_size": 64}}
    text = json.dumps({"inputs": [tensor("INPUT0"), tensor("INPUT1")], **header}).encode()
    return len(text), text + (struct.pack("<32i", *range(32)) if tail is None else tail)


def infer(gate, key, body, header_len, **headers):
    return gate.post("/v2/models/base/simple/infer", body, key,
                     {"Inference-Header-Content-Length": str(header_len), "Content-Type": "application/octet-stream",
                      **headers})


@pytest.mark.short
def test_the_answer_by_hand(gate, key):
    n, body = binary_body(parameters={"binary_data_output": True})
    a = infer(gate, key, body, n)
    assert a.status == 200 and a.headers["content-type"] == "application/octet-stream"
    header_len = int(a.headers["inference-header-content-length"])
    header, tail = json.loads(a.body[:header_len]), a.body[header_len:]
    assert [o["parameters"]["binary_data_size"] for o in header["outputs"]] == [64, 64]
    assert struct.unpack("<32i", tail) == tuple(range(16, 48, 2)) + (-16,) * 16


def test_json_out_of_binary_in(gate, key):
    n, body = binary_body()
    a = infer(gate, key, body, n)
    assert a.headers["content-type"] == "application/json" and "inference-header-content-length" not in a.headers
    assert a.json()["outputs"][1]["data"] == [-16] * 16


@pytest.mark.parametrize("header_len", [99999, -1, "x", "", "010", "+5", "1 2", 10**19, "0x10"])
def test_lengths_that_are_none(gate, key, header_len):
    before = len(gate.settlements())
    _, body = binary_body()
    a = infer(gate, key, body, header_len)
    assert a.status == 400 and "Inference-Header-Content-Length" in a.json()["error"]
    assert len(gate.settlements()) == before


def test_a_length_twice(gate, key):
    n, body = binary_body()
    wire = send_raw(gate.port, f"POST /v2/models/base/simple/infer HTTP/1.1\r\nHost: h\r\n"
                    f"Authorization: Bearer {key}\r\nInference-Header-Content-Length: {n}\r\n"
                    f"Inference-Header-Content-Length: 5\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body,
                    expect=1)
    assert wire.statuses == [400]


def test_a_length_beyond_a_chunked_body(gate, key):
    """Known only when the body is whole."""
    _, body = binary_body()
    wire = send_raw(gate.port, f"POST /v2/models/base/simple/infer HTTP/1.1\r\nHost: h\r\n"
                    f"Authorization: Bearer {key}\r\nInference-Header-Content-Length: {len(body) + 1}\r\n"
                    f"Transfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n",
                    expect=1)
    assert wire.statuses == [400] and b"more than the body has" in wire.answers[0][2]


@pytest.mark.parametrize("n, body, why", [
    (*binary_body(b""), "INPUT0: the body ends"), (*binary_body(b"x" * 127), "INPUT1: the body ends"),
    (*binary_body(b"x" * 129), "belong to no input"), (0, b"x" * 64, "JSON object"),
    (1, b"{" + b"x" * 64, "not a valid JSON object"), (2, b"{}" + b"x" * 64, "'inputs' is missing"),
])
def test_bodies_that_do_not_add_up(gate, key, n, body, why):
    a = infer(gate, key, body, n)
    assert a.status == 400 and why in a.json()["error"], a


def test_the_header_means_nothing_elsewhere(gate, key):
    a = gate.get("/v2/models/base/simple", key, {"Inference-Header-Content-Length": "x"})
    assert a.status == 200
    a = gate.post("/v2/models/base/simple/infer", b"--b--", key, {"Content-Type": "multipart/form-data; boundary=b"})
    assert a.status == 415 and isinstance(a.json()["error"], str)
