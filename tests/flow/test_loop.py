"""A backend that leads in a circle: found after three gateways, charged to nobody."""
import pytest
import upstream
from gate import free_port
from upstream import Upstream

CATALOG = upstream.CATALOG.replace("model: m", "model: base/chat")


def gateway(make_gate, own_port, upstream_port):
    """A gate on `own_port` whose one backend is on another; its secret is given later."""
    g = make_gate(start=False, worker=False, catalog=CATALOG,
                  fields={"port": upstream_port, "options": "secret_file: {dir}/secret"})
    g.port = own_port
    g.catalog = g.catalog.replace("{options}", f"secret_file: {g.dir}/secret")
    secret = g.dir / "secret"
    secret.touch(0o600)
    secret.write_text("not yet\n")
    return g.start()


def give_key(g, key):
    (g.dir / "secret").write_text(key + "\n")
    g.cli("reload")


@pytest.mark.parametrize("gates", [1, 2])
def test_circle(make_gate, gates):
    ports = [free_port() for _ in range(gates)]
    ring = [gateway(make_gate, port, ports[(i + 1) % gates]) for i, port in enumerate(ports)]
    keys = [g.key() for g in ring]
    for i, g in enumerate(ring):
        give_key(g, keys[(i + 1) % gates])
    for stream in (False, True):
        a = ring[0].chat(keys[0], "x", stream=stream)
        assert a.status == 508 and a.code == "loop_detected", a
        assert a.headers["x-should-retry"] == "false"
    rows = [row for g in ring for row in g.settlements()]
    assert len(rows) == 2 * 3, "each request came through three gateways and was refused by the next"
    assert {(r["outcome"], r["amount_atoms"]) for r in rows} == {("failed_pre", 0)}
    assert sum(g.metric("maasgate_loops_detected_total") for g in ring) == 2
    assert all(g.usage("acme")[1] in ("0", "0.00", 0) or float(g.usage("acme")[1]) == 0 for g in ring)


def test_a_chain_is_no_circle(make_gate):
    """Three gateways in a row serve; the list that each sends on says how many there were."""
    up = Upstream()
    try:
        third = make_gate(worker=False, catalog=upstream.CATALOG, fields={"port": up.port, "options": ""})
        second = gateway(make_gate, free_port(), third.port)
        first = gateway(make_gate, free_port(), second.port)
        give_key(second, third.key())
        give_key(first, second.key())
        a = first.chat(first.key(), "x")
        assert a.status == 200, a
        assert up.seen[0][1]["CDN-Loop"] == "maasgate, maasgate, maasgate"
        key = third.key("direct")
        for sent, told in ((None, "maasgate"), ("cloudflare; x=1, maasgate", "maasgate, maasgate"),
                           ("maasgates, my-maasgate", "maasgate")):
            a = third.post("/v1/chat/completions", {"model": "base/chat", "messages": [{"role": "user", "content": "x"}]},
                           key, {"CDN-Loop": sent} if sent else {})
            assert a.status == 200 and up.seen[-1][1]["CDN-Loop"] == told
        a = third.post("/v1/chat/completions", {"model": "base/chat", "messages": [{"role": "user", "content": "x"}]},
                       key, {"CDN-Loop": "maasgate, a, maasgate;b, maasgate"})
        assert a.status == 508
        assert third.get("/v1/models", key, {"CDN-Loop": "maasgate, maasgate, maasgate"}).status == 200
    finally:
        up.stop()
