"""Organisations, contracts and funds through the daemon: prepaid, grants, subscriptions."""
import pytest
from gate import this_month


def org(gate, name, **contract):
    gate.cli("org", "create", name, "--buyer-name", name.title())
    if contract:
        gate.cli("contract", "set", name, *[word for key, value in contract.items()
                                            for word in (f"--{key.replace('_', '-')}", str(value))])
    gate.cli("project", "create", name + "-app", "--org", name, "--budget", "1000")
    return gate.key(project=name + "-app")


def status_of(gate, key, tokens=5):
    return gate.chat(key, f"hello #tokens={tokens}", max_tokens=tokens).status


@pytest.mark.short
def test_prepaid_is_served_while_funds_last(gate):
    key = org(gate, "prepaid", credit="0")
    assert status_of(gate, key) == 429
    gate.cli("fund", "add", "prepaid", "prepaid", "0.01", "--note", "wire 4711")
    assert status_of(gate, key) == 200
    fund = gate.ask("fund", "list", "prepaid")["funds"][0]
    assert fund["note"] == "wire 4711" and 0 < float(fund["drawn"]) < 0.01
    row = next(o for o in gate.ask("org", "list")["organizations"] if o["slug"] == "prepaid")
    assert row["credit"] == "0.00" and row["unbilled"] == "0.00"


def test_a_subscription_includes_usage(gate):
    key = org(gate, "subscriber", credit="0", fee="10.00", included="0.01")
    assert status_of(gate, key) == 200
    funds = gate.ask("fund", "list", "subscriber")["funds"]
    assert [f["note"] for f in funds] == ["included in the subscription"]


@pytest.mark.parametrize("words, says", [
    (("contract", "set", "nobody", "--credit", "0"), "there is no organization 'nobody'"),
    (("contract", "set", "known", "--credit", "much"), "neither an amount"),
    (("contract", "set", "known", "--time-zone", "Mars/Olympus"), "not a time zone"),
    (("contract", "set", "known", "--fee-every", "year"), "no effect without fee"),
    (("contract", "set", "known", "--reserved", "one,two"), "TEXT,HOURLY,UNITS"),
    (("contract", "set", "known", "--from", "2001-01-01"), "lies in the past"),
    (("fund", "add", "known", "gift", "1.00"), "none of promo"),
    (("fund", "add", "known", "promo", "0"), "not an amount"),
    (("fund", "add", "known", "promo", "1", "--to", "2001-01-01"), "ends before it begins"),
    (("org", "create", "known"), "exists already"),
    (("org", "create", "Not A Slug"), "a slug is"),
    (("project", "create", "x", "--org", "nobody"), "there is no organization 'nobody'"),
    (("project", "create", "x", "--org", "known", "--buyer-name", "X"), "the buyer is the organization's"),
    (("charge", "add", "known", "-5", "refund"), "not an amount"),
])
def test_what_is_wrong_is_said(gate, words, says):
    gate.cli("org", "create", "known", check=False)
    done = gate.cli(*words, check=False)
    assert done.returncode in (1, 2) and says in done.stderr


def test_a_draft_shows_fees_and_forms(gate):
    key = org(gate, "drafted", fee="30.00", minimum="100.00")
    gate.cli("charge", "add", "drafted", "500.00", "on-premises licence")
    assert status_of(gate, key) == 200
    month = this_month()
    draft = gate.ask("invoice", month, "--org", "drafted")
    kinds = [line["category"] for line in draft["lines"]]
    assert draft["status"] == "draft" and kinds.count("usage") >= 2
    assert {"subscription", "minimum", "other"} <= set(kinds)
    total = sum(round(float(line["net"]) * 100) for line in draft["lines"])
    assert total == round(float(draft["totals"]["net"]) * 100)
    assert "on-premises licence" in gate.cli("invoice", month, "--org", "drafted").stdout
    assert gate.cli("invoice", month, "--org", "drafted", "--html").stdout.startswith("<!DOCTYPE html>")
    done = gate.cli("invoice", month, "--org", "drafted", "--issue", check=False)
    assert done.returncode == 1 and "has not ended" in done.stderr
    assert gate.ask("document", "list")["documents"] == []


def test_a_customer_that_leaves_a_partner_that_earns(gate):
    """Issued before the month is over, shared, partly taken back; the rest is a period by itself."""
    key = org(gate, "leaver", fee="120.00", fee_every="year", tax_rate="1900")
    gate.cli("org", "create", "maker", "--buyer-name", "Maker")
    gate.cli("share", "set", "base/", "maker", "--basis-points", "2500")
    done = gate.cli("share", "set", "base/chat", "maker", "--basis-points", "10001", check=False)
    assert done.returncode == 1 and "basis_points" in done.stderr
    assert [(r["model"], r["basis_points"]) for r in gate.ask("share", "list")["shares"]] == [("base/", 2500)]
    image = {"model": "base/image", "prompt": "a pit", "size": "256x256", "n": 4}
    assert gate.post("/v1/images/generations", image, key).status == 200
    month = this_month()
    invoice = gate.ask("invoice", month, "--org", "leaver", "--until-now", "--issue")
    assert [line["category"] for line in invoice["lines"]].count("subscription") == 1
    nets = {line["line"]: float(line["net"]) for line in invoice["lines"] if line["category"] == "usage"}
    shares = {row["line"]: float(row["amount"]) for row in gate.ask("payout", month, "maker")["lines"]}
    assert shares and all(abs(shares.get(line, 0) - net / 4) < 0.005 for line, net in nets.items())
    gate.cli("credit-note", invoice["number"], "the customer has left")
    statement = gate.ask("payout", month, "maker")
    assert float(statement["total"]) == float(statement["open"]) == 0
    assert status_of(gate, key) == 200  # on the next period, which the draft shows
    assert gate.ask("invoice", month, "--org", "leaver")["status"] in ("draft", "open")
    assert gate.cli("audit").returncode == 0
