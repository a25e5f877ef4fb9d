"""An organization that sells on: both legs of each request, whose they are, and in whose name it is invoiced."""
import datetime
import json
import sqlite3
import subprocess
import sys
from fractions import Fraction

import pytest
from gate import OUTPUT, ROOT, atoms, this_month, wait_until
from test_checkpoints import BY_THE_PERIOD


def sold_on(gate, reseller, customer, *, budget="1000", **contract):
    """A reseller (of that name, made when new) and a customer of it with a project and a key."""
    if not any(o["slug"] == reseller for o in gate.ask("org", "list")["organizations"]):
        gate.cli("org", "create", reseller, "--buyer-name", reseller.title(), "--buyer-tax-id", "TAX-" + reseller)
    gate.cli("org", "create", customer, "--buyer-name", customer.title(), "--reseller", reseller)
    if contract:
        gate.cli("contract", "set", customer, *[word for name, value in contract.items()
                                                for word in (f"--{name.replace('_', '-')}", str(value))])
    gate.cli("project", "create", customer + "-web", "--org", customer, "--budget", budget)
    return gate.key(project=customer + "-web")


def chat(gate, key, tokens=5):
    return gate.chat(key, f"hello #tokens={tokens}", max_tokens=tokens)


def rows(gate, sql, *values):
    db = sqlite3.connect(f"file:{gate.state}/ledger.db?mode=ro", uri=True, timeout=30)
    try:
        return db.execute(sql, values).fetchall()
    finally:
        db.close()


def invariants(gate):
    done = subprocess.run([sys.executable, ROOT / "tests/oracle/invariants.py", "--db", gate.state / "ledger.db"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.short
def test_a_request_has_two_legs(gate):
    key = sold_on(gate, "taiping", "acme")
    answer = chat(gate, key)
    assert answer.status == 200, answer.body
    (rid, project, amount), = rows(gate, "SELECT s.rid, p.slug, s.amount_atoms FROM settlement s JOIN project p"
                                         " ON p.id = s.project ORDER BY s.rid DESC LIMIT 1")
    assert project == "taiping:acme-web" and amount > 0
    (retail_rid, retail, paid), = rows(gate, "SELECT x.rid, p.slug, x.amount_atoms FROM resale x JOIN project p"
                                             " ON p.id = x.project ORDER BY x.rid DESC LIMIT 1")
    # without a book of its own a reseller asks what it pays
    assert (retail_rid, retail, paid) == (rid, "acme-web", amount)
    told = gate.ask("request", rid)
    assert (told["project"], told["resold"]["project"]) == ("taiping:acme-web", "acme-web")
    assert atoms(told["amount"]) == atoms(told["resold"]["amount"]) == amount
    assert gate.ask("audit")["ok"]
    invariants(gate)


@pytest.mark.short
def test_a_kill_in_a_stream_is_settled_for_both(fault_gate):
    """As far as the last checkpoint says, for both; a stream of which nothing was noted costs neither anything."""
    g, _, _ = fault_gate("shm", {"rules": [{"when": {"has": "quiet"}, "do": ["role", "hang"]},
                                           {"do": [{"tokens": 4000, "every": 10}, "final"]}]},
                         stream_checkpoint_ms="500ms", stream_hold_tokens=16)
    key = sold_on(g, "taiping", "listener")
    s = g.stream(key, "one two", max_tokens=4000)
    s.read(5)
    noted = "SELECT (SELECT count(*) FROM checkpoint), (SELECT count(*) FROM resale_checkpoint)"
    wait_until(lambda: rows(g, noted) == [(1, 1)], 20, "a checkpoint of both legs")
    assert rows(g, "SELECT count(*) > 0, min(resale_atoms > 0), min(atoms = resale_atoms) FROM hold_more") == [(1, 1, 1)]
    short = g.stream(key, "quiet", max_tokens=400)
    short.read(1)
    g.kill_daemon()
    s.close(), short.close()
    g.start_daemon()
    legs = rows(g, "SELECT s.outcome, s.amount_atoms, x.amount_atoms FROM settlement s JOIN resale x ON x.rid = s.rid"
                   " ORDER BY s.amount_atoms")
    assert [leg[0] for leg in legs] == ["orphan_0", "orphan"], legs
    assert legs[0][1:] == (0, 0) and legs[1][1] == legs[1][2] > 0
    assert rows(g, noted) == [(0, 0)] and g.ask("audit")["ok"]
    invariants(g)


def test_each_leg_of_an_orphan_counts_its_own_period(fault_gate):
    """By a price that counts the period: the reseller has used some of it before, its customer has not."""
    catalog = BY_THE_PERIOD.replace("{{KIND}}", "{{graduated: [{{up_to: 50, unit: 100/1M}}, {{unit: 60/1M}}]}}")
    g, _, _ = fault_gate("shm", {"do": [{"tokens": 4000, "every": 10}, "final"]}, catalog=catalog, stream_checkpoint_ms="500ms")
    key = sold_on(g, "taiping", "listener")
    g.cli("project", "create", "taiping-own", "--org", "taiping", "--budget", "10")
    first = g.stream(g.key(project="taiping-own"), "one two", max_tokens=30)
    first.read(25)
    first.close()
    wait_until(lambda: g.settlements() and g.open_holds() == 0, what="the bill of who left")
    s = g.stream(key, "one two", max_tokens=4000)
    wait_until(lambda: rows(g, "SELECT count(*) FROM resale_checkpoint") == [(1,)], 20, "a checkpoint")
    g.kill_daemon()
    s.close()
    g.start_daemon()

    def output(lines):
        """(units, units before them)"""
        (line,) = [line for line in json.loads(lines) if isinstance(line, list) and line[0] == OUTPUT]
        return line[1], (line + [0, 0])[4]
    (own,), = rows(g, "SELECT lines FROM settlement ORDER BY rid LIMIT 1")
    (outcome, wholesale, retail), = rows(g, "SELECT s.outcome, s.lines, x.lines FROM settlement s JOIN resale x"
                                            " ON x.rid = s.rid")
    used = output(own)[0]
    assert outcome == "orphan" and used > 0
    assert (output(wholesale)[1], output(retail)[1]) == (used, 0) and output(wholesale)[0] == output(retail)[0] > 0
    assert g.ask("audit")["ok"]
    invariants(g)


def usage_total(gate, *words):
    return Fraction(gate.ask("usage", *words)["total"])


def test_each_sees_its_own(gate):
    """The operator its sales, the reseller what it bought, the customer what it owes; nothing twice."""
    key = sold_on(gate, "tower", "blue")
    before = usage_total(gate)
    for _ in range(3):
        assert chat(gate, key).status == 200
    bought = usage_total(gate, "--project", "tower:blue-web")
    assert bought > 0 and usage_total(gate, "--project", "blue-web") == bought
    assert usage_total(gate) == before + bought, "what is resold is not sold twice"
    own = gate.get("/v1/usage", key).json()
    assert Fraction(own["total"]) == bought and own["requests"] == 3
    done = gate.cli("usage", "--project", "blue-web", "--by", "backend", check=False)
    assert done.returncode == 1 and "RESELLER:blue-web" in done.stderr
    assert Fraction(gate.ask("margin", "--by", "organization", "--reseller", "tower")["total"]["margin"]) == 0
    assert "blue" not in [r["organization"] for r in gate.ask("margin", "--by", "organization")["data"]]


@pytest.mark.short
def test_documents_are_the_sellers(gate):
    key = sold_on(gate, "vendor", "client")
    image = {"model": "base/image", "prompt": "a pit", "size": "256x256", "n": 4}
    assert gate.post("/v1/images/generations", image, key).status == 200
    assert chat(gate, key).status == 200
    draft = gate.ask("invoice", this_month(), "--org", "client")
    assert draft["seller"] == {"name": "Vendor", "address": "", "tax_id": "TAX-vendor"}
    done = gate.cli("invoice", this_month(), "--org", "client", "--until-now", "--issue", check=False)
    assert done.returncode == 1 and "maasgate org seller" in done.stderr, done.stderr
    gate.cli("org", "seller", "vendor", "--series", "VND", "--tax-basis-points", "600", "--address", "1 Sales Road")
    invoice = gate.ask("invoice", this_month(), "--org", "client", "--issue")
    assert invoice["number"] == f"VND-{this_month()[:4]}-000001"
    assert invoice["seller"] == {"name": "Vendor", "address": "1 Sales Road", "tax_id": "TAX-vendor"}
    assert invoice["buyer"]["name"] == "Client" and invoice["totals"]["net"] == "0.04"
    assert [t["basis_points"] for t in invoice["taxes"]] == [600]
    note = gate.ask("credit-note", invoice["number"], "a gift", "--line", next(
        str(line["line"]) for line in invoice["lines"] if line["meter"] == "images"), "--amount", "0.01")
    assert note["number"].startswith(f"VND-CN-{this_month()[:4]}-") and note["seller"] == invoice["seller"]
    gate.cli("pay", invoice["number"], "0.01")
    # the reseller's own invoice is the operator's, with its customers' work on it, by customer
    bought = gate.ask("invoice", this_month(), "--org", "vendor", "--until-now", "--issue")
    assert bought["number"].startswith("INV-") and bought["buyer"]["name"] == "Vendor"
    assert {line["meter"] for line in bought["lines"]} >= {"images", "requests"}
    statements = gate.ask("statement", bought["number"])["statements"]
    assert [s["cost_centre"] for s in statements] == ["client"]
    assert gate.ask("audit")["ok"]
    invariants(gate)
    accounts = dict(rows(gate, "SELECT a.kind, b.posted_atoms FROM account a JOIN account_balance b ON b.account = a.id"
                               " JOIN organization o ON o.id = a.organization WHERE o.slug = 'client'"))
    books = [gate.ask("trial-balance", *who) for who in ((), ("--reseller", "vendor"))]
    assert all(book["debit"] == book["credit"] for book in books) and float(books[1]["debit"]) > 0
    assert {a["account"]: Fraction(a["debit"]) - Fraction(a["credit"]) for a in books[1]["accounts"]} == {
        kind: Fraction(atoms, 10**10) for kind, atoms in accounts.items() if atoms}
    assert sum(accounts.values()) == 0 and accounts["upstream_cost"] == -accounts["upstream_payable"] > 0


def test_partners_earn_once(gate):
    """By what the operator sells to the reseller; not by what that one asks."""
    key = sold_on(gate, "middle", "end")
    gate.cli("org", "seller", "middle", "--series", "MID")
    gate.cli("org", "create", "owner", "--buyer-name", "Owner")
    gate.cli("share", "set", "base/image", "owner", "--basis-points", "2500")
    image = {"model": "base/image", "prompt": "a pit", "size": "256x256", "n": 4}
    assert gate.post("/v1/images/generations", image, key).status == 200
    gate.ask("invoice", this_month(), "--org", "end", "--until-now", "--issue")
    assert gate.ask("payout", this_month(), "owner")["lines"] == []
    gate.ask("invoice", this_month(), "--org", "middle", "--until-now", "--issue")
    assert [line["amount"] for line in gate.ask("payout", this_month(), "owner")["lines"]] == ["0.01"]
    gate.cli("share", "set", "base/image", "owner", "--basis-points", "0")


@pytest.mark.parametrize("words, says", [
    (("org", "create", "a", "--reseller", "nobody"), "there is no organization 'nobody'"),
    (("org", "create", "a", "--reseller", "below"), "'below' buys from a reseller itself"),
    (("org", "seller", "below", "--series", "B"), "buys from a reseller itself"),
    (("org", "seller", "above"), "--series"),
    (("org", "seller", "above", "--series", "A-1"), "letters and digits"),
    (("org", "seller", "above", "--series", "INV"), "the operator's own series"),
    (("org", "seller", "other", "--series", "ABV"), "is another seller's"),
    (("org", "seller", "above", "--series", "ABV", "--tax-basis-points", "10001"), "basis points"),
    (("org", "seller", "nobody", "--series", "X"), "there is no organization 'nobody'"),
    (("margin", "--reseller", "nobody"), "there is no organization 'nobody'"),
    (("key", "create", "above:below-web"), "twin"),
])
def test_what_is_wrong_is_said(gate, words, says):
    if not any(o["slug"] == "above" for o in gate.ask("org", "list")["organizations"]):
        sold_on(gate, "above", "below")
        gate.cli("org", "create", "other")
        gate.cli("org", "seller", "above", "--series", "ABV")
    done = gate.cli(*words, check=False)
    if words == ("org", "seller", "above"):
        assert done.returncode == 0  # it has a series already: all stays as it was
    else:
        assert done.returncode in (1, 2) and says in done.stderr, done.stderr


@pytest.mark.short
@pytest.mark.parametrize("payer", ["who-buys", "who-sells"])
def test_both_must_cover_it(gate, payer):
    """Whichever purse refuses: nothing is held on either, and nothing is written."""
    name = payer.replace("who-", "")
    customer, reseller = "c-" + name, "r-" + name
    key = sold_on(gate, reseller, customer)
    poor = customer if name == "buys" else reseller
    gate.cli("contract", "set", poor, "--credit", "0")
    holds = rows(gate, "SELECT (SELECT count(*) FROM request_open), (SELECT count(*) FROM resale_hold)")
    refused = chat(gate, key)
    assert refused.status == 429 and refused.code == "insufficient_quota" and b"it buys from" in refused.body
    assert rows(gate, "SELECT (SELECT count(*) FROM request_open), (SELECT count(*) FROM resale_hold)") == holds
    gate.cli("fund", "add", poor, "prepaid", "0.01")
    assert chat(gate, key).status == 200
    draws = rows(gate, "SELECT s.draws IS NOT NULL, x.draws IS NOT NULL FROM settlement s JOIN resale x"
                       " ON x.rid = s.rid ORDER BY s.rid DESC LIMIT 1")
    assert draws == [(0, 1) if name == "buys" else (1, 0)]
    gate.cli("project", "budget", f"{reseller}:{customer}-web", "0.0001")  # the reseller's own limit on it
    assert chat(gate, key).status == 429


def test_finance_keys(gate):
    key = sold_on(gate, "north", "south")
    gate.cli("org", "seller", "north", "--series", "NTH")
    gate.cli("project", "create", "north-own", "--org", "north", "--budget", "10")
    sold_on(gate, "elsewhere", "stranger")
    image = {"model": "base/image", "prompt": "a pit", "size": "256x256", "n": 2}
    assert gate.post("/v1/images/generations", image, key).status == 200
    number = gate.ask("invoice", this_month(), "--org", "south", "--until-now", "--issue")["number"]
    buyer = gate.key(project="south-web", role="finance")
    seller = gate.key(project="north-own", role="finance")
    stranger = gate.key(project="stranger-web", role="finance")
    start = int(datetime.datetime.now(datetime.timezone.utc).timestamp()) // 86400 * 86400

    def costs(finance, more=""):
        page = gate.get(f"/v1/organization/costs?start_time={start}&group_by=project_id{more}", finance)
        assert page.status == 200, page.body
        return {r["project_id"]: r["amount"]["value"] for b in page.json()["data"] for r in b["results"]}

    assert set(costs(buyer)) == {"south-web"}
    assert set(costs(seller)) == {"north:south-web"}
    assert costs(seller, "&customer=south") == costs(buyer)
    for other in (buyer, stranger):
        assert gate.get(f"/v1/organization/costs?start_time={start}&customer=south", other).status == 404
        assert gate.get("/billing/v1/invoices?customer=south", other).status == 404
        assert gate.get(f"/billing/v1/margin?month={this_month()}", other).status == 403
    assert gate.get(f"/billing/v1/invoices/{number}", buyer).json()["number"] == number
    assert gate.get(f"/billing/v1/invoices/{number}", seller).status == 404
    assert gate.get(f"/billing/v1/invoices/{number}?customer=south", seller).json()["number"] == number
    assert [d["number"] for d in gate.get("/billing/v1/invoices?customer=south", seller).json()["data"]] == [number]
    assert gate.get(f"/billing/v1/invoices/draft?month={this_month()}&customer=south", seller).status == 200
    margin = gate.get(f"/billing/v1/margin?month={this_month()}", seller)
    assert margin.status == 200 and [(r["model"], r["organization"]) for r in margin.json()["data"]] == [
        ("base/image", "south")]
    for who, project in ((buyer, "south-web"), (seller, "north:south-web")):
        page = gate.get(f"/v1/organization/usage/images?start_time={start}&bucket_width=1m&limit=1440&group_by=project_id",
                        who).json()
        found = [r for b in page["data"] for r in b["results"]]
        assert [(r["project_id"], r["images"]) for r in found] == [(project, 2)], found
    report = gate.get(f"/v1/organizations/cost_report?starting_at={this_month()}-01T00:00:00Z&customer=south", seller)
    assert report.status == 200, report.body
