"""Statements by cost centre, of an invoice that was issued: by the command line and over HTTP."""
import csv
import decimal
import io

import pytest
from gate import this_month


@pytest.fixture(scope="module")
def issued(gate):
    """(number of the invoice, finance key, the invoice) of an organization with three departments."""
    gate.cli("org", "create", "city")
    gate.cli("contract", "set", "city", "--tax-rate", "1900")
    keys = []
    for n, centre in enumerate(("Roads", "Schools", "Roads", None)):
        words = ["--cost-centre", centre] if centre else []
        gate.cli("project", "create", f"city-{n}", "--org", "city", "--budget", "100", *words)
        keys.append(gate.key(project=f"city-{n}"))
    for n, key in enumerate(keys):
        for _ in range(n + 1):
            assert gate.chat(key, f"hi #tokens={5 + n}").status == 200
    image = {"model": "base/image", "prompt": "a bridge", "size": "256x256", "n": 3}
    assert gate.post("/v1/images/generations", image, keys[1]).status == 200
    gate.cli("charge", "add", "city", "10.01", "support")
    month = this_month()
    invoice = gate.ask("invoice", month, "--org", "city", "--until-now", "--issue")
    return invoice["number"], gate.key(project="city-0", role="finance"), invoice


def total(documents, key):
    return sum(decimal.Decimal(d["totals"][key]) for d in documents)


@pytest.mark.short
def test_the_statements_are_the_invoice(gate, issued):
    number, key, invoice = issued
    parts = gate.ask("statement", number)["statements"]
    assert [p["cost_centre"] for p in parts] == ["", "Roads", "Schools"]
    for name in ("exact", "rounding", "net", "tax", "gross"):
        assert total(parts, name) == decimal.Decimal(invoice["totals"][name])
    for line in invoice["lines"]:
        own = [l for p in parts for l in p["lines"] if l["line"] == line["line"]]
        assert sum(decimal.Decimal(l["net"]) for l in own) == decimal.Decimal(line["net"])
        assert sum(l.get("quantity", 0) for l in own) == line.get("quantity", 0)
    assert [l["text"] for p in parts for l in p["lines"] if "text" in l] == ["support"]
    page = gate.get(f"/billing/v1/invoices/{number}/statements", key).json()
    assert page == {"object": "list", "data": parts}
    one = gate.get(f"/billing/v1/invoices/{number}/statements?cost_centre=Schools", key).json()["data"]
    assert one == parts[2:] == gate.ask("statement", number, "--cost-centre", "Schools")["statements"]


@pytest.mark.short
def test_forms(gate, issued):
    number, key, _ = issued
    text = gate.cli("statement", number).stdout
    assert f"STATEMENT of {number} for Roads" in text and "for no cost centre" in text
    printed = gate.cli("statement", number, "--csv").stdout
    rows = list(csv.DictReader(io.StringIO(printed)))
    assert {r["cost_centre"] for r in rows} == {"", "Roads", "Schools"} and rows[0]["object"] == "statement"
    over_http = gate.get(f"/billing/v1/invoices/{number}/statements?format=csv", key)
    assert over_http.body.decode().splitlines() == printed.splitlines()
    html = gate.get(f"/billing/v1/invoices/{number}/statements?format=html&cost_centre=Roads", key)
    assert "Cost centre Roads" in html.body.decode() and html.headers["content-type"].startswith("text/html")
    assert html.body.decode() == gate.cli("statement", number, "--html", "--cost-centre", "Roads").stdout


@pytest.mark.parametrize("path, status", [("/statements?format=html", 400), ("/statements?format=pdf", 400),
                                          ("/statements?cost_centre=Police", 404), ("/statements?month=2026-11", 400)])
def test_what_there_is_not(gate, issued, path, status):
    number, key, _ = issued
    assert gate.get(f"/billing/v1/invoices/{number}{path}", key).status == status
    assert gate.get("/billing/v1/invoices/MG-1999-000001/statements", key).status == 404
    stranger = gate.key(project="stranger") and gate.key(project="stranger", role="finance")
    assert gate.get(f"/billing/v1/invoices/{number}/statements", stranger).status == 404


def test_a_credit_note_has_none(gate, issued):
    note = gate.cli("credit-note", issued[0], "one cent", "--line", "1", "--amount", "0.01", check=False)
    assert note.returncode == 0, note.stderr
    number = gate.ask("document", "list", "--org", "city")["documents"][-1]["number"]
    done = gate.cli("statement", number, check=False)
    assert done.returncode != 0 and "statements are of invoices" in done.stderr
