"""What backends cost: the operator's side of the path table, through the real daemon, and the
report of margins by the command line and over HTTP."""
import json

import pytest
from fault_backend import TRANSPORTS, FaultBackend
from gate import CATALOG, INPUT, OUTPUT, REQUESTS, atoms, this_month

COSTS = "costs: {m: {requests: 0.0001, input_uncached_tokens: 0.05/1M, output_text_tokens: 0.20/1M}}"
COST = {REQUESTS: ("0.0001", 1), INPUT: ("0.05", 10**6), OUTPUT: ("0.2", 10**6)}


def attempts(g, request_id):
    rid = g.settlement(request_id)["rid"]
    with g.ledger() as db:
        rows = [dict(r) for r in db.execute("SELECT * FROM attempt WHERE rid = ? ORDER BY number", (rid,))]
    for row in rows:
        lines = {meter: qty for meter, qty, *_ in json.loads(row["lines"])}
        assert row["cost_atoms"] == sum(atoms(*COST[m], qty) for m, qty in lines.items())
        row["lines"] = lines
    return rows


@pytest.mark.short
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_answer_costs_what_was_reported(fault_gate, transport):
    g, key, _ = fault_gate(transport, options=COSTS)
    a = g.chat(key, "hello there", max_tokens=7)
    one, = attempts(g, a.headers["x-request-id"])
    usage = a.json()["usage"]
    assert one["lines"] == {REQUESTS: 1, INPUT: usage["prompt_tokens"], OUTPUT: usage["completion_tokens"]}
    assert (one["basis"], one["wasted_atoms"]) == ("upstream", 0)
    bill = g.settlement(a.headers["x-request-id"])["amount_atoms"]
    total = g.ask("margin")["total"]
    assert (atoms(total["revenue"]), atoms(total["cost"])) == (bill, one["cost_atoms"])
    assert atoms(total["margin"]) == bill - one["cost_atoms"] and total["requests"] == total["calls"] == 1


def test_without_costs_nothing_is_noted(fault_gate):
    g, key, _ = fault_gate("http")
    a = g.chat(key, "x")
    assert attempts(g, a.headers["x-request-id"]) == []
    assert g.ask("margin")["total"]["cost"] == "0.00"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_failure_that_was_answered(fault_gate, transport):
    """Nobody is charged; what a worker says that it has used is ours, and of an HTTP error nothing is known."""
    g, key, _ = fault_gate(transport, {"do": [{"final": 500}]}, COSTS)
    a = g.chat(key, "x")
    assert a.status in (502, 503)
    one, = attempts(g, a.headers["x-request-id"])
    assert one["basis"] == ("none" if transport == "http" else "upstream")
    assert one["wasted_atoms"] == one["cost_atoms"] and (one["cost_atoms"] > 0) == (transport != "http")
    assert g.settlement(a.headers["x-request-id"])["amount_atoms"] == 0


TWO = """
backends:
  first: {{transport: socket, address: 'unix:{first}', %s}}
  second: {{transport: socket, address: 'unix:{second}', %s}}
models:
  base/chat:
    capabilities: [chat]
    price: {{requests: 0.001, input_uncached_tokens: 0.10/1M, output_text_tokens: 0.40/1M}}
    routes: [{{backend: first, model: m}}, {{backend: second, model: m, priority: 1}}]
""" % ((COSTS.replace("{", "{{").replace("}", "}}"),) * 2)


def test_a_call_that_was_lost_is_ours(make_gate, tmp_path):
    """It died without a word and may have been charged: its input is guessed, and no customer pays it."""
    dies = FaultBackend(tmp_path, f"unix:{tmp_path}/first", script={"do": ["fin"]})
    works = FaultBackend(tmp_path, f"unix:{tmp_path}/second")
    g = make_gate(catalog=TWO, worker=False, fields={"first": f"{tmp_path}/first", "second": f"{tmp_path}/second"})
    g.wait_backend("first"), g.wait_backend("second")
    a = g.chat(g.key(), "hello there", max_tokens=3)
    assert a.status == 200
    lost, won = attempts(g, a.headers["x-request-id"])
    assert (lost["basis"], won["basis"]) == ("estimate", "upstream")
    assert lost["wasted_atoms"] == lost["cost_atoms"] > 0 == won["wasted_atoms"]
    row, = g.ask("margin", "--by", "model")["data"]
    assert atoms(row["wasted"]) == lost["cost_atoms"] and row["calls"] == 2
    assert dies.stop() == works.stop() == 0


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_goes_on_without_its_client_is_ours(fault_gate, transport):
    g, key, b = fault_gate(transport, {"do": ["role", {"tokens": 2}, {"wait": 2000}, {"tokens": 5}, "final"]},
                           "on_disconnect: drain\n    " + COSTS)
    s = g.stream(key, "one two three")
    s.read(3)
    s.close()
    bill = g.settlement(s.request_id)
    one, = attempts(g, s.request_id)
    assert (bill["outcome"], bill["lines"][OUTPUT][0], one["lines"][OUTPUT]) == ("client_gone", 2, 7)
    assert one["wasted_atoms"] == atoms(*COST[OUTPUT], 5)


def test_costs_follow_a_reload(fault_gate):
    g, key, _ = fault_gate("http", options=COSTS)
    before, = attempts(g, g.chat(key, "x").headers["x-request-id"])
    g.conf.write_text(g.conf.read_text().replace("requests: 0.0001", "requests: 0.0003"))
    g.cli("reload")
    a = g.chat(key, "x")
    rid = g.settlement(a.headers["x-request-id"])["rid"]
    with g.ledger() as db:
        after = db.execute("SELECT cost_version, cost_atoms FROM attempt WHERE rid = ?", (rid,)).fetchone()
    assert after["cost_version"] == before["cost_version"] + 1
    assert after["cost_atoms"] == before["cost_atoms"] + atoms("0.0002")


# ---- the report ----

@pytest.fixture(scope="module")
def house(tmp_path_factory):
    from gate import Gate
    with Gate(catalog=CATALOG.replace("address: {address}", "address: {address}\n    costs: {{ngram-general: "
                                      "{{output_text_tokens: 0.10/1M}}, ngram-code: {{requests: 1.00}}}}"),
              settings={"house_organization": "house"}) as g:
        g.start()
        yield g


@pytest.mark.short
def test_margins_by_model_and_customer(house):
    for name in ("one", "two"):
        assert house.chat(house.key(project=name), "hi #tokens=5").status == 200
    assert house.chat(house.key(project="two"), "hi", model="domain/code/review").status == 200
    rows = {(r["model"], r["organization"]): r for r in house.ask("margin")["data"]}
    assert set(rows) == {("base/chat", "one"), ("base/chat", "two"), ("domain/code/review", "two")}
    assert rows["domain/code/review", "two"]["margin"].startswith("-0.99")
    assert rows["domain/code/review", "two"]["margin_basis_points"] < 0 < rows["base/chat", "one"]["margin_basis_points"]
    shown = house.cli("margin", "--by", "organization").stdout
    assert "ORGANIZATION" in shown and "MODEL" not in shown and "wasted" in shown
    month = this_month()
    key = house.key(project="house") and house.key(project="house", role="finance")
    body = house.get(f"/billing/v1/margin?month={month}", key).json()
    assert body["data"] == house.ask("margin", "--month", month)["data"]
    by_model = house.get(f"/billing/v1/margin?month={month}&group_by=model", key).json()["data"]
    assert [r["model"] for r in by_model] == ["base/chat", "domain/code/review"]


@pytest.mark.parametrize("query, status", [("?month=2026-11", 403), ("", 400), ("?month=1", 400),
                                           ("?month=2026-11&group_by=key", 400), ("?from=2026-11-01", 400)])
def test_a_customer_sees_no_margin(house, query, status):
    key = house.key(project="curious") and house.key(project="curious", role="finance")
    a = house.get("/billing/v1/margin" + query, key)
    assert a.status == status, a
    assert house.get("/billing/v1/margin" + query, house.key()).status == 403
    bad = house.cli("margin", "--by", "key", check=False)
    assert bad.returncode != 0 and "group by model" in bad.stderr
