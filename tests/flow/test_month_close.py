"""The close of a month as its finance officer works it, on a daemon whose clock is moved: organizations of several time
zones and plans, whatever order they come in, and every number of a document explained by the document."""
import datetime
import json
import time

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


def test_rows_of_usage_have_names(gate, key):
    use(gate, key)
    for by, name in (("organization", "shared"), ("backend", "worker"), ("served", "base/chat")):
        heading, row = gate.cli("usage", "--by", by).stdout.splitlines()[:2]
        assert heading.startswith(by.upper()) and row.startswith(name), (by, heading, row)
