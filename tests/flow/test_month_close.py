"""The close of a month as its finance officer works it, on a daemon whose clock is moved: organizations of several time
zones and plans, whatever order they come in, and every number of a document explained by the document."""
import csv
import datetime
import hashlib
import io
import json
import time
from decimal import Decimal

import pytest
from gate import SLOW
from test_disk_and_clock import Control

UTC = datetime.timezone.utc


class Calendar:
    """The daemon's clock, set to a moment of UTC; the time then goes on."""

    def __init__(self, gate, moment):
        self.control = Control(gate)
        self.set(moment)

    def set(self, moment):
        at = datetime.datetime.fromisoformat(moment).replace(tzinfo=UTC)
        self.control.set(clock_us=int((at.timestamp() - time.time()) * 1_000_000))


@pytest.fixture
def dated(make_gate):
    """A gate of one moment, and its calendar."""
    def make(moment, **settings):
        g = make_gate(start=False, settings={"tax_basis_points": 1900, "invoice_series": "MG", **settings})
        calendar = Calendar(g, moment)
        return g.start(), calendar
    return make


def organization(gate, slug, *contract):
    """With a project of the same name, and its key."""
    gate.cli("org", "create", slug)
    if contract:
        gate.cli("contract", "set", slug, *contract)
    gate.cli("project", "create", slug, "--org", slug, "--budget", "100")
    return gate.key(slug)


def use(gate, key, tokens=10):
    a = gate.chat(key, f"#tokens={tokens}", max_tokens=tokens)
    assert a.status == 200, a
    return a.headers["x-request-id"]


def test_no_invoice_without_a_seller(dated):
    """A draft may be looked at; what gets a number says who sells."""
    g, calendar = dated("2027-03-10T12:00:00", seller_name='""')
    use(g, organization(g, "acme"))
    calendar.set("2027-04-02T00:00:00")
    assert g.cli("invoice", "2027-03", "--org", "acme").returncode == 0
    refused = g.cli("invoice", "2027-03", "--org", "acme", "--issue", check=False)
    assert refused.returncode == 1 and "set seller_name, seller_address and seller_tax_id" in refused.stderr
    g.conf.write_text(g.conf.read_text().replace('seller_name: ""', "seller_name: Models Ltd"))
    g.cli("reload")
    assert "Models Ltd" in g.cli("invoice", "2027-03", "--org", "acme", "--issue").stdout
    assert len(g.ask("document", "list")["documents"]) == 1


@pytest.mark.timeout(120 * SLOW)
def test_all_of_a_month_are_invoiced(dated):
    """Who owes a fee alone, who used something in another zone's month, and no one else; a refusal stops nobody."""
    g, calendar = dated("2027-02-27T20:00:00")
    organization(g, "asks", "--approval", "yes", "--fee", "300")
    delhi = organization(g, "delhi", "--time-zone", "Asia/Kolkata")
    organization(g, "idle", "--fee", "100")
    organization(g, "nothing")
    calendar.set("2027-02-28T18:45:00")  # a quarter past midnight of March 1 in Delhi
    use(g, delhi)
    calendar.set("2027-04-01T00:00:00")

    march = g.ask("invoice", "2027-03")  # nobody has used anything in March of UTC
    assert [d["organization"] for d in march] == ["asks", "delhi", "idle"]
    assert [d["organization"] for d in g.ask("invoice", "2027-02")] == ["asks", "idle"]
    done = g.cli("invoice", "2027-03", "--issue", "--json", check=False)
    assert done.returncode == 1
    assert "maasgate invoice 2027-03 --org asks --approve NAME" in done.stderr and "about asks" in done.stderr
    assert [d["organization"] for d in json.loads(done.stdout)] == ["delhi", "idle"]
    g.cli("invoice", "2027-03", "--org", "asks", "--approve", "Ada")
    assert len(g.ask("invoice", "2027-03", "--issue")) == 3
    done = g.cli("invoice", "2027-03", "--org", "asks", "--approve", "Ada", check=False)
    number = g.ask("document", "list", "--org", "asks")["documents"][0]["number"]
    assert done.returncode == 1 and f"2027-03 is invoiced already: {number}" in done.stderr
    assert "approved  by Ada at 2027-04-01T00:00:0" in g.cli("document", number).stdout
    done = g.cli("invoice", "2027-13", check=False)
    assert done.returncode == 1 and done.stderr.count("is not a month") == 1
    text = g.cli("document", "MG-2027-000002").stdout
    assert "subscription 2027-03-01 to 2027-03-31: 100.00" in text
    assert "due       2027-05-01" in text and "for       -" not in text


def test_what_is_open_is_said(dated):
    g, calendar = dated("2027-02-01T00:00:00")
    organization(g, "pays", "--fee", "100")
    calendar.set("2027-03-01T00:00:00")
    number = g.ask("invoice", "2027-02", "--org", "pays", "--issue")["number"]
    done = g.cli("pay", number, "200", check=False)
    assert done.returncode == 1 and f"up to what is open of {number}: 119.00" in done.stderr
    assert "19.00 of 119.00 paid" in g.cli("pay", number, "19").stdout
    g.cli("credit-note", number, "goodwill", "--line", 1, "--amount", "12.5")
    documents = g.ask("document", "list")["documents"]
    assert [(d["credited"], d.get("open")) for d in documents] == [("14.88", "85.12"), ("0.00", None)]
    note = documents[1]["number"]
    done = g.cli("pay", note, "1", check=False)
    assert done.returncode == 1 and "is no invoice" in done.stderr


def test_funds_say_whether_they_count(dated):
    g, calendar = dated("2027-02-01T00:00:00")
    organization(g, "funded")
    g.cli("fund", "add", "funded", "prepaid", "5", "--to", "2027-02-10")
    g.cli("fund", "add", "funded", "promo", "5", "--from", "2027-03-01")
    g.cli("fund", "add", "funded", "commit", "5")

    def states():
        return [fund["state"] for fund in g.ask("fund", "list", "funded")["funds"]]
    assert states() == ["now", "later", "now"]
    calendar.set("2027-03-02T00:00:00")
    assert states() == ["over", "now", "now"]
    g.cli("contract", "set", "funded", "--from", "2027-04-01", "--fee", "1")
    done = g.cli("contract", "set", "funded", "--fee", "2", check=False)
    assert done.returncode == 1 and "begins at 2027-04-01T00:00:00Z already: say a --from after it" in done.stderr


def test_rows_of_usage_have_names(gate, key):
    use(gate, key)
    for by, name in (("organization", "shared"), ("backend", "worker"), ("served", "base/chat")):
        heading, row = gate.cli("usage", "--by", by).stdout.splitlines()[:2]
        assert heading.startswith(by.upper()) and row.startswith(name), (by, heading, row)


# ---- the requests behind a line ----

def behind(gate, number, *more):
    return gate.ask("document", "requests", number, *more)


def adds_up(invoice, listed):
    """Every unit and every atom of each line of usage is a request's."""
    lines = [line for line in invoice["lines"] if line["category"] == "usage"]
    assert [line["line"] for line in listed["lines"]] == [line["line"] for line in lines]
    for line in lines:
        rows = [row for row in listed["data"] if row["line"] == line["line"]]
        assert sum(row["quantity"] for row in rows) == line["quantity"], line
        assert sum(Decimal(row["amount"]) for row in rows) == Decimal(line["exact"]) + Decimal(line["covered"]), line
    return len(lines)


def test_the_requests_behind_a_line(dated):
    """Those of its customer, of its month, all of them; and each is found by the id that its client was told."""
    g, calendar = dated("2027-03-27T12:00:00")
    g.cli("org", "create", "berlin")
    g.cli("contract", "set", "berlin", "--time-zone", "Europe/Berlin", "--fee", "10", "--included", "0.002")
    keys = {}
    for project in ("roads", "parks"):
        g.cli("project", "create", project, "--org", "berlin", "--budget", "100")
        keys[project] = g.key(project)
    name = {key["project"]: key["name"] for key in g.ask("key", "list")["keys"]}
    other = organization(g, "other")
    sent = []
    for at in ("2027-03-27T12:01:00", "2027-03-28T00:59:00", "2027-03-28T01:01:00", "2027-03-31T21:59:00"):
        calendar.set(at)  # the clocks of Berlin go forward in between
        sent += [(use(g, key, 7), name[project]) for project, key in keys.items()]
        use(g, other)
    calendar.set("2027-03-31T22:01:00")  # April
    use(g, keys["roads"])
    calendar.set("2027-05-01T00:00:00")
    invoice = g.ask("invoice", "2027-03", "--org", "berlin", "--issue")
    number = invoice["number"]

    listed = behind(g, number)
    assert adds_up(invoice, listed) == 3 and not listed["has_more"]
    told = [(row["request"], row["key"]) for row in listed["data"] if row["line"] == 1]
    assert told == sorted(sent)  # by id: those of two threads may cross
    assert {(row["project"], row["outcome"], row["endpoint"]) for row in listed["data"]} == {
        (project, "ok", "chat.completions") for project in keys}
    with g.ledger() as db:
        text, digest = db.execute("SELECT text, lower(hex(sha256)) FROM price_version").fetchone()
    assert {line["price_sha256"] for line in listed["lines"]} == {hashlib.sha256(text.encode()).hexdigest()} == {digest}
    one = behind(g, number, "--line", 3, "--limit", 5)
    assert one["has_more"] and [row["line"] for row in one["data"]] == [3] * 5
    assert "8 " in g.cli("document", "requests", number, "--line", 3).stdout

    rows = list(csv.DictReader(io.StringIO(g.cli("document", "requests", number, "--csv").stdout)))
    assert [(r["request"], r["line"], r["quantity"], r["amount"]) for r in rows] == [
        (r["request"], str(r["line"]), str(r["quantity"]), r["amount"]) for r in listed["data"]]
    assert {r["price_sha256"] for r in rows} == {digest} and rows[0]["unit_price"] == "0.001 per 1"

    finance = g.key("roads", role="finance", label="money")
    path, pages, page = f"/billing/v1/invoices/{number}/requests", [], ""
    while page is not None:
        answer = g.get(f"{path}?line=1&limit=3{page and '&page=' + page}", finance).json()
        pages.append(answer["data"])
        page = answer["next_page"]
    assert [len(p) for p in pages] == [3, 3, 2] and sum(pages, []) == [r for r in listed["data"] if r["line"] == 1]
    assert g.get(path, g.key("other", role="finance", label="money")).status == 404
    assert g.get(path, keys["roads"]).status == 403
    for query, param in (("?line=4", "line"), ("?line=0", "line"), ("?page=req_1", "page"), ("?limit=101", "limit"),
                         ("?format=csv", None)):
        answer = g.get(path + query, finance)
        assert answer.status == 400 and answer.json()["error"]["param"] == param, (query, answer)
    note = g.ask("credit-note", number, "goodwill", "--line", 4)["number"]
    for words, says in (([number, "--line", 4], "no line 4 of usage"), ([note], "is no invoice"),
                        (["MG-1999-000001"], "there is no document"), ([number, "--limit", 0], "--limit")):
        done = g.cli("document", "requests", *words, check=False)
        assert done.returncode in (1, 2) and says in done.stderr, (words, done)


def test_each_payer_sees_its_own_leg(dated):
    """What a reseller pays and what its customer pays for the same requests: neither is told of the other's price."""
    g, calendar = dated("2027-03-01T00:00:00")
    g.cli("org", "create", "taiping")
    g.cli("org", "seller", "taiping", "--series", "TP")
    g.cli("org", "create", "branch", "--reseller", "taiping")
    g.cli("project", "create", "shop", "--org", "branch", "--budget", "100")
    g.cli("project", "create", "own", "--org", "taiping", "--budget", "100")
    shop = g.key("shop")
    sent = [use(g, shop) for _ in range(3)]
    mine = use(g, g.key("own"))
    calendar.set("2027-04-01T00:00:00")
    wholesale = g.ask("invoice", "2027-03", "--org", "taiping", "--issue")
    retail = g.ask("invoice", "2027-03", "--org", "branch", "--issue")
    for invoice, requests in ((wholesale, sent + [mine]), (retail, sent)):
        listed = behind(g, invoice["number"])
        adds_up(invoice, listed)
        assert [row["request"] for row in listed["data"] if row["line"] == 1] == sorted(requests)
    assert {row["project"] for row in listed["data"]} == {"shop"}
    finance = {name: g.key(project, role="finance", label="money") for name, project in
               (("branch", "shop"), ("taiping", "own"))}
    path = f"/billing/v1/invoices/{retail['number']}/requests"
    assert g.get(path, finance["branch"]).json() == g.get(path + "?customer=branch", finance["taiping"]).json()
    assert g.get(f"/billing/v1/invoices/{wholesale['number']}/requests", finance["branch"]).status == 404
