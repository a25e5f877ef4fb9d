"""The text that Prometheus reads: a strict parser of its format, the rules of its linter, and that counters count."""
import http.client
import re

import pytest
from gate import SLOW, wait_until

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABELS = r'(?:\{[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\n"])*"(?:,[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\n"])*")*\})?'
SAMPLE = re.compile(rf"({NAME})({LABELS}) (\d+(?:\.\d+)?)")
NO_BASE_UNIT = ("milliseconds", "microseconds", "nanoseconds", "minutes", "hours", "kilobytes", "megabytes", "percent", "ms", "ns")


def families(text):
    """{name: (type, help, {labels: value})}; what the format does not allow is a failure."""
    assert text.endswith("\n") and not re.search(r"[\r\t]|  |\n\n", text)
    found, name = {}, None
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name, told = line[7:].split(" ", 1)
            assert re.fullmatch(NAME, name) and name not in found and told, line
            found[name] = [None, told, {}]
        elif line.startswith("# TYPE "):
            assert line.split(" ")[2] == name and found[name][0] is None, line
            found[name][0] = line.split(" ", 3)[3]
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample and sample[1] == name and found[name][0] in ("counter", "gauge"), line
            assert sample[2] not in found[name][2], f"twice: {line}"
            found[name][2][sample[2]] = float(sample[3])
    return {n: tuple(f) for n, f in found.items()}


@pytest.fixture(scope="module")
def told(gate, key):
    assert gate.chat(key).status == 200
    wait_until(lambda: gate.metric("maasgate_requests_settled_total") == 1, what="the settlement")
    status, kind, text = gate.metrics()
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return families(text)


def test_names_types_and_units(told):
    for name, (kind, _, samples) in told.items():
        assert re.fullmatch(r"(maasgate|process)_[a-z0-9_]+", name), name
        assert (kind == "counter") == name.endswith("_total"), f"{name} is a {kind}"
        assert not set(name.removesuffix("_total").split("_")) & set(NO_BASE_UNIT), f"{name} is in no base unit"
        assert not name.endswith(("_sum", "_count", "_bucket")), f"{name} looks like a part of a histogram"
        assert samples, f"{name} has no sample"


def test_the_figures_are_those_of_the_process(gate, told):
    import time
    value = {name: samples.get("") for name, (_, _, samples) in told.items()}
    assert value["maasgate_requests_held_total"] == value["maasgate_requests_settled_total"] == 1
    assert 0 < value["maasgate_ledger_commit_seconds_total"] < 60 * SLOW
    assert value["maasgate_ledger_clock_behind_seconds"] == 0
    assert abs(value["process_start_time_seconds"] - time.time()) < 3600
    assert 0 < value["process_cpu_seconds_total"] < 3600
    assert value["process_resident_memory_bytes"] > 1 << 20
    assert 3 < value["process_open_fds"] < value["process_max_fds"]
    version = gate.status()["version"]
    assert told["maasgate_build_info"][2] == {f'{{version="{version}"}}': 1}
    assert set(told["maasgate_backend_connections_up"][2]) == {'{backend="worker"}'}


def test_descriptors_are_counted(gate):
    before = gate.metric("process_open_fds")
    held = [http.client.HTTPConnection("127.0.0.1", gate.port, timeout=10 * SLOW) for _ in range(50)]
    for c in held:
        c.connect()
    wait_until(lambda: gate.metric("process_open_fds") >= before + 50, what="the descriptors of fifty connections")
    for c in held:
        c.close()


def test_what_the_operators_page_alerts_on_is_there(told):
    from gate import ROOT
    pages = "".join((ROOT / "docs" / name).read_text() for name in ("operator.md", "backends.md", "reliability.md"))
    named = set(re.findall(r"`((?:maasgate|process)_[a-z_]+)\b(?:[ <>=.\d]*)`", pages))
    assert len(named) > 12 and named <= set(told), named - set(told)


def test_nothing_but_metrics_is_told_there(gate):
    for method, path in (("GET", "/"), ("POST", "/metrics"), ("GET", "/v1/models"), ("GET", "/metrics/../healthz")):
        c = http.client.HTTPConnection("127.0.0.1", gate.metrics_port, timeout=10 * SLOW)
        c.request(method, path)
        r = c.getresponse()
        assert r.status in (404, 405) and r.getheader("content-type") == "application/json", (method, path, r.status)
        assert b"unsupported_endpoint" in r.read()
        c.close()
