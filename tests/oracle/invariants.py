#!/usr/bin/env python3
"""The invariants of money (I1 to I27), checked in a store by code that shares nothing with its writer.

Python's own sqlite3 and json, and the rules of rates in rational numbers (rate.py).  Reads only: a
live store, or a copy together with its -wal file.  Months that have left it are read from their files
(archives.py), so that all is asked of them as if they had not.  One line for each violation, with the
number of the invariant before it; `violations: N` at the end, exit 1 when there is any.

  invariants.py --db ledger.db [--allow-open] [--fixed-budgets] [--archives DIR]
  invariants.py --all DIR       each store in it; the last line is `N passed, N failed`
  invariants.py --list          what is asked, and what is not yet

What needs clients' and workers' journals as well (I3, I7) is asked by tests/flow/reconcile.py.
"""
import argparse
import bisect
import collections
import hashlib
import json
import pathlib
import sqlite3
import sys
from fractions import Fraction

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import archives  # noqa: E402
import rate  # noqa: E402

# The ids of base/usage.h, written down a second time.
METERS = ["requests", "input_uncached_tokens", "input_cached_tokens", "input_cache_write_tokens",
          "output_text_tokens", "output_reasoning_tokens", "images", "characters", "audio_ms",
          "compute_ms", "tensor_elements", "input_audio_tokens", "output_audio_tokens",
          "input_image_tokens", "output_image_tokens", "video_ms", "input_cache_write_1h_tokens",
          "input_video_tokens"]
INPUT, OUTPUT = {1, 2, 3, 11, 13, 16, 17}, {4, 5, 12, 14}
HOUR_US, MINUTE_US = 3600 * 1000000, 60 * 1000000
LATE_US = 5 * 1000000  # a request may have been accepted while a new book was being published
UNCHARGED = {"failed_pre", "client_gone_0", "orphan_0", "blocked_upstream"}
# What nothing may change once it is written.
FROZEN = ["request_open", "hold_more", "settlement", "ledger_tx", "ledger_entry", "price_version", "document", "credit_line",
          "contract", "fund", "charge", "resale_hold", "resale", "seller", "approval", "payment", "share", "share_rule",
          "attempt", "cost_version", "recount", "price_proposal", "price_publication", "price_layer", "archive",
          "archived_balance", "archived_draw", "alert"]
INVOICE, CREDIT_NOTE = 380, 381

violations = []


def violation(number, text):
    violations.append(f"{number}: {text}")
    print(violations[-1])


def whole(text, digits):
    """A decimal as a whole number of the least that there is."""
    value = Fraction(text) * 10**digits
    if value.denominator != 1:
        raise ValueError(f"{text} has more than {digits} digits")
    return int(value)


class Document:
    """An issued document: its row and what is printed on it."""

    def __init__(self, row):
        self.row, self.body = row, json.loads(row["body"])
        self.number, self.digits = row["number"], self.body["minor_digits"]
        self.unit = 10**(10 - self.digits)
        self.lines = self.body["lines"]

    def minor(self, text):
        return whole(text, self.digits)

    def total(self, name):
        return self.minor(self.body["totals"][name])

    def taxes(self):
        """{(category, basis points): (net, tax)}"""
        return {(t["category"], t["basis_points"]): (self.minor(t["taxable"]), self.minor(t["tax"]))
                for t in self.body["taxes"]}


class Store:
    def __init__(self, path, moved=None):
        self.db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        self.db.row_factory = sqlite3.Row
        self.db.execute("BEGIN")  # one snapshot for all of it
        archives.join(self.db, pathlib.Path(moved or pathlib.Path(path).parent / "archive"),
                      lambda text: violation("I12", text))
        self.names = dict(self.db.execute("SELECT id, name FROM name"))
        self.prices = {v: rate.read_book(text) for v, text in self.db.execute("SELECT id, text FROM price_version")}
        self.holds = {r["rid"]: r for r in self.db.execute("SELECT * FROM request_open")}
        self.more = dict(self.db.execute("SELECT rid, sum(atoms) FROM hold_more GROUP BY rid"))
        self.settled = {}
        for r in self.db.execute("SELECT * FROM settlement"):
            if r["rid"] in self.settled:
                violation("I3", f"request {r['rid']} was settled twice")
            self.settled[r["rid"]] = r
        self.read_resale()
        self.lines, self.facts = {}, {}
        for rid, r in self.settled.items():
            lines = json.loads(r["lines"])
            self.facts[rid] = lines.pop() if lines and isinstance(lines[-1], dict) else None
            self.lines[rid] = [(line + [0, 0])[:5] for line in lines]
        self.draws = {rid: json.loads(r["draws"] or "[]") for rid, r in self.settled.items()}
        self.payer = dict(self.db.execute("SELECT id, organization FROM project"))
        self.seller = dict(self.db.execute("SELECT id, reseller FROM organization"))
        self.funds = {r["id"]: r for r in self.db.execute("SELECT * FROM fund")}
        self.kinds = dict(self.db.execute("SELECT id, kind FROM account"))
        self.read_periods()
        self.documents = {r["number"]: Document(r) for r in self.db.execute("SELECT * FROM document ORDER BY number")}

    def read_resale(self):
        """What the customers of resellers hold and owe: requests of their own, by the negative number."""
        self.resold = {}
        for h in self.db.execute("SELECT * FROM resale_hold"):
            if h["rid"] in self.holds:
                self.holds[-h["rid"]] = {**dict(self.holds[h["rid"]]), **dict(h), "rid": -h["rid"]}
            else:
                violation("I27", f"request {h['rid']} is held at retail and never was")
        for rid, atoms, parts, parts_resold in self.db.execute(
                "SELECT rid, sum(resale_atoms), count(*), count(resale_atoms) FROM hold_more GROUP BY rid"):
            self.more[-rid] = atoms or 0
            if parts_resold != (parts if -rid in self.holds else 0):
                violation("I27", f"request {rid}: its hold grew for one leg alone")
        for x in self.db.execute("SELECT * FROM resale"):
            own = self.settled.get(x["rid"])
            if own is None:
                violation("I27", f"request {x['rid']} is owed for at retail and was never settled")
                continue
            self.resold[x["rid"]] = own
            self.settled[-x["rid"]] = {**dict(own), **dict(x), "rid": -x["rid"]}

    def read_periods(self):
        self.periods = {r["id"]: r for r in self.db.execute("SELECT * FROM billing_period")}
        self.by_payer = collections.defaultdict(list)
        for p in sorted(self.periods.values(), key=lambda p: p["starts_us"]):
            self.by_payer[p["organization"]].append(p)
        self.starts = {o: [p["starts_us"] for p in periods] for o, periods in self.by_payer.items()}

    def period(self, organization, us):
        """The id of the period that a moment lies in; None: there is none."""
        at = bisect.bisect_right(self.starts.get(organization, []), us) - 1
        if at >= 0 and us < self.by_payer[organization][at]["ends_us"]:
            return self.by_payer[organization][at]["id"]
        return None

    def period_of(self, s):
        return self.period(self.payer[s["project"]], s["settled_us"])

    def price(self, settlement, meter):
        """The items of a meter; None: it has no price."""
        model = self.prices.get(settlement["price_version"], {}).get(self.names.get(settlement["model"]), {})
        return model.get(METERS[meter])

    def tokens(self, rid, meters):
        """What was settled in these meters; None when the model has a price for none of them."""
        if not any(self.price(self.settled[rid], m) is not None for m in meters):
            return None
        return sum(qty for meter, qty, *_ in self.lines[rid] if meter in meters)

    def covered_lines(self, rid):
        """(meter, units, atoms, item, atoms that funds paid): they pay the lines in their order."""
        covered = sum(atoms for _, atoms in self.draws[rid])
        for meter, qty, atoms, item, _ in self.lines[rid] or [[0] * 5]:
            paid = min(covered, atoms)
            covered -= paid
            yield meter, qty, atoms, item, paid

    def entries(self, kind):
        """{ref of a tx of that kind: {kind of account: atoms}}"""
        found = collections.defaultdict(collections.Counter)
        for r in self.db.execute("SELECT t.ref, e.account, e.atoms FROM ledger_tx t JOIN ledger_entry e"
                                 " ON e.tx = t.tx WHERE t.kind = ?", (kind,)):
            found[r["ref"]][self.kinds[r["account"]]] += r["atoms"]
        return found


# ---- the ledger ----

def check_transactions(store, args):
    sums = collections.Counter()
    for r in store.db.execute("SELECT t.tx, t.organization, e.account, e.atoms FROM ledger_tx t"
                              " LEFT JOIN ledger_entry e ON e.tx = t.tx"):
        sums[r["tx"]] += r["atoms"] or 0
        if r["account"] is not None and r["account"] // 32 != r["organization"]:
            violation("I22", f"ledger tx {r['tx']} has an entry of another organisation")
    for tx, total in sums.items():
        if total != 0:
            violation("I1", f"ledger tx {tx} sums to {total}")


def check_balances(store, args):
    balances = dict(store.db.execute("SELECT account, sum(atoms) FROM ledger_entry GROUP BY account"))
    stored = dict(store.db.execute("SELECT account, posted_atoms FROM account_balance"))
    for account in balances.keys() | stored.keys():
        if balances.get(account, 0) != stored.get(account):
            violation("I2", f"account {account}: its entries are {balances.get(account, 0)},"
                            f" its balance is {stored.get(account)}")
    spent = collections.Counter()
    for s in store.settled.values():
        spent[s["project"]] += s["amount_atoms"]
    stored = dict(store.db.execute("SELECT project, atoms FROM project_spent"))
    for project in spent.keys() | stored.keys():
        if spent[project] != stored.get(project, 0):
            violation("I2", f"project {project}: it spent {spent[project]}, the row says {stored.get(project, 0)}")


def check_settled(store, args):
    for rid in store.holds.keys() - store.settled.keys():
        if not args.allow_open:
            violation("I4", f"request {rid} was held and never settled")
    for rid in store.settled.keys() - store.holds.keys():
        violation("I3", f"request {rid} was settled and never held")


def check_postings(store, args):
    posted, settled = collections.Counter(), collections.Counter()
    for r in store.db.execute("SELECT t.at_us, t.organization, e.account, e.atoms FROM ledger_tx t"
                              " JOIN ledger_entry e ON e.tx = t.tx WHERE t.kind = 'usage'"):
        if store.kinds[r["account"]] == "unbilled":
            posted[r["at_us"], r["organization"]] += r["atoms"]
    for rid, s in store.settled.items():
        owed = s["amount_atoms"] - sum(atoms for _, atoms in store.draws[rid])
        settled[s["settled_us"], store.payer[s["project"]]] += owed
    for key in settled.keys() | posted.keys():
        if settled[key] != posted[key]:
            violation("I5", f"batch {key[0]} of organization {key[1]}: {settled[key]} settled, {posted[key]} posted")


def check_amounts(store, args):
    for rid, s in store.settled.items():
        total = 0
        for meter, qty, atoms, number, before in store.lines[rid]:
            total += atoms
            items = store.price(s, meter)
            if items is None or number >= len(items):
                violation("I6", f"request {rid}: {METERS[meter]} has no price")
                continue
            right = items[number].charge(before, qty)
            if right != atoms:
                violation("I6", f"request {rid}: {qty} {METERS[meter]} are {right} atoms, not {atoms}")
            if len(items) > 1 or items[0].names() or items[0].context != (0, None):
                check_choice(store, rid, items, number)
        if total != s["amount_atoms"]:
            violation("I6", f"request {rid}: its lines are {total} atoms, its amount is {s['amount_atoms']}")
        if s["outcome"] in UNCHARGED and s["amount_atoms"] != 0:
            violation("I6", f"request {rid} ended as {s['outcome']} and was charged")


def check_choice(store, rid, items, number):
    """Among several prices the one that fits the request holds."""
    facts = store.facts[rid]
    if facts is None:
        violation("I6", f"request {rid} says nothing of what chose its price")
    elif items[number].kind != "included" and rid in store.holds:
        right = rate.holding(items, facts["context"], facts, store.holds[rid]["accepted_us"])
        if right != number:
            violation("I6", f"request {rid} was billed by price {number}, but price {right} holds")


def check_partition(store, args):
    """The context that chose the prices is all input: no bucket of it is counted twice."""
    for rid, facts in store.facts.items():
        billed = sum(qty for meter, qty, *_ in store.lines[rid] if meter in INPUT)
        if facts is not None and billed > facts["context"]:
            violation("I7", f"request {rid}: {billed} input tokens are billed of {facts['context']}")


def check_recounts(store, args):
    """Where the gateway counted tokens, too: never more than was reported, nor than it counted and may tolerate."""
    for row in store.db.execute("SELECT * FROM recount"):
        rid, far = row["rid"], False
        for side, meters, hidden in (("input", {1, 2, 3, 16}, 0), ("output", {4, 5}, row["hidden"])):
            reported, counted, tolerance = (row[f"{side}_{what}"] for what in ("reported", "counted", "tolerance"))
            if reported is None or counted is None:
                continue
            billed = sum(line[1] for line in store.lines[rid] if line[0] in meters) - hidden
            far = far or abs(reported - counted) > tolerance
            if billed > min(reported, counted + tolerance):
                violation("I7", f"request {rid}: {billed} of {side} billed, {reported} reported, {counted} counted")
        outcome = store.settled[rid]["outcome"]
        if (outcome == "ok" and far) or (outcome == "ok_mismatch" and not far):
            violation("I7", f"request {rid}: its numbers do not fit its outcome {outcome}")


# What is given out one after the other and never taken back: table, number, within what.
NUMBERED = [("ledger_tx", "tx", None), ("hold_more", "leg", "rid"), ("attempt", "number", "rid"),
            ("contract", "id", None), ("fund", "id", None), ("charge", "id", None), ("billing_period", "id", None),
            ("approval", "id", None), ("payment", "id", None), ("price_version", "id", None), ("cost_version", "id", None),
            ("price_proposal", "id", None), ("archive", "id", None)]


def check_numbers(store, args):
    """No row is missing among those that have numbers, and batches follow one another as their numbers do."""
    for table, number, within in NUMBERED:
        for r in store.db.execute(f"SELECT {within or '0'}, min({number}), max({number}), count(*) FROM {table} GROUP BY 1"):
            if (r[1], r[2]) != (1, r[3]):
                violation("I8", f"{table}: {r[3]} rows have numbers from {r[1]} to {r[2]}"
                                + (f", of {within} {r[0]}" if within else ""))
    last = 0
    for tx, at in store.db.execute("SELECT tx, at_us FROM ledger_tx WHERE kind IN ('usage', 'upstream') ORDER BY tx"):
        if at < last:
            violation("I8", f"ledger tx {tx} is of a batch before the one that was posted before it")
        last = at


def check_periods(store, args):
    """Each settlement lies in one period, and periods with the count of their units follow one another."""
    for organization, periods in store.by_payer.items():
        for a, b in zip(periods, periods[1:]):
            if a["ends_us"] > b["starts_us"]:
                violation("I8", f"organization {organization}: periods {a['id']} and {b['id']} overlap")
    counted = collections.defaultdict(list)
    for rid, s in store.settled.items():
        if store.period_of(s) is None:
            violation("I8", f"request {rid} was settled in no billing period")
        for meter, qty, _, number, before in store.lines[rid]:
            items = store.price(s, meter)
            if items and number < len(items) and items[number].periodic():
                key = store.payer[s["project"]], store.period_of(s), s["model"], meter, items[number].series()
                counted[key].append((before, before + qty))
    for key, spans in counted.items():
        spans.sort()
        if [low for low, _ in spans] != [0] + [high for _, high in spans[:-1]]:
            violation("I8", f"price {key}: its units are counted twice or not at all: {spans[:20]}")


def tier_of(store, rid):
    tier = (store.facts[rid] or {}).get("service_tier")
    return tier if tier in ("flex", "priority") else "standard"


def long_context(store, rid):
    return int(sum(qty for meter, qty, *_ in store.lines[rid] if meter in INPUT) > 200_000)


def check_rollups(store, args):
    sums = collections.defaultdict(lambda: [0, 0, 0, 0])
    for rid, s in store.settled.items():
        for number, (meter, qty, atoms, item, paid) in enumerate(store.covered_lines(rid)):
            key = (s["settled_us"] // HOUR_US * HOUR_US, s["project"], s["key"], s["model"], meter,
                   s["price_version"], item, store.period_of(s), s["endpoint"], tier_of(store, rid),
                   long_context(store, rid))
            for i, value in enumerate((qty, number == 0, atoms, paid)):
                sums[key][i] += value
    stored = {tuple(r)[:11]: list(r)[11:] for r in store.db.execute(
        "SELECT hour_us, project, key, model, meter, price_version, item, period, endpoint, tier,"
        " long_context, qty, requests, atoms, covered_atoms FROM usage_rollup")}
    for key in sums.keys() | stored.keys():
        if sums.get(key) != stored.get(key):
            violation("I9", f"rollup {key}: settlements say {sums.get(key)}, the row says {stored.get(key)}")


def check_minutes(store, args):
    """What is told by the minute looks for its settlements between these ids."""
    minutes = {r["minute_us"]: r for r in store.db.execute("SELECT * FROM settled_minute")}
    for rid, s in store.settled.items():
        row = minutes.get(s["settled_us"] // MINUTE_US * MINUTE_US)
        if row is None or not row["from_rid"] <= abs(rid) < row["to_rid"]:
            violation("I9", f"request {rid} is not where its minute looks for it")


def check_costs(store, args):
    """What backends cost: each attempt by its book, the sums, and the double entry of each batch."""
    books = {v: rate.read_book(text) for v, text in store.db.execute("SELECT id, text FROM cost_version")}
    sums, posted = collections.Counter(), collections.Counter()
    for a in store.db.execute("SELECT * FROM attempt ORDER BY rid, number"):
        rid, settlement = a["rid"], store.settled[a["rid"]]
        lines = json.loads(a["lines"])
        facts = lines.pop() if lines and isinstance(lines[-1], dict) else None
        prices, total = books[a["cost_version"]].get(store.names[a["model"]], {}), 0
        for meter, qty, atoms, *more in lines:
            items, number = prices[METERS[meter]], more[0] if more else 0
            total += atoms
            if items[number].charge(0, qty) != atoms:
                violation("I25", f"request {rid}: {qty} {METERS[meter]} do not cost {atoms} atoms")
            if len(items) > 1 and rate.holding(items, facts["context"], facts, store.holds[rid]["accepted_us"]) != number:
                violation("I25", f"request {rid}: another price of {METERS[meter]} holds of its cost")
        if total != a["cost_atoms"]:
            violation("I25", f"request {rid}: the lines of an attempt are {total} atoms, its cost is {a['cost_atoms']}")
        key = (settlement["settled_us"] // HOUR_US * HOUR_US, settlement["project"], settlement["model"], a["backend"],
               store.period_of(settlement))
        batch = settlement["settled_us"], store.payer[settlement["project"]]
        for i, value in enumerate((1, a["cost_atoms"], a["wasted_atoms"])):
            sums[(*key, i)] += value
        for code, value in ((12, a["cost_atoms"] - a["wasted_atoms"]), (14, a["wasted_atoms"]), (13, -a["cost_atoms"])):
            posted[(*batch, code)] += value
    stored = {(*tuple(r)[:5], i): r[5 + i] for r in store.db.execute(
        "SELECT hour_us, project, model, backend, period, attempts, cost_atoms, wasted_atoms FROM cost_rollup")
              for i in range(3)}
    for key in sums.keys() | stored.keys():
        if sums[key] != stored.get(key, 0):
            violation("I25", f"cost {key}: attempts say {sums[key]}, the row says {stored.get(key, 0)}")
    for at, organization, code, atoms in store.db.execute(
            "SELECT t.at_us, t.organization, e.account % 32, e.atoms FROM ledger_tx t"
            " JOIN ledger_entry e ON e.tx = t.tx WHERE t.kind = 'upstream'"):
        posted[at, organization, code] -= atoms
    for rid, own in store.resold.items():  # what a reseller pays is its cost of that customer
        batch = own["settled_us"], store.payer[store.settled[-rid]["project"]]
        posted[(*batch, 12)] += own["amount_atoms"]
        posted[(*batch, 13)] -= own["amount_atoms"]
    for key, left in posted.items():
        if left:
            violation("I25", f"batch {key[0]} of organization {key[1]}: {left} atoms of cost are not posted to {key[2]}")


def check_holds(store, args):
    for rid, in store.db.execute("SELECT rid FROM checkpoint"):
        if rid in store.settled:
            violation("I10", f"request {rid} is settled and has a checkpoint")
    for rid, s in store.settled.items():
        if rid in store.holds and s["amount_atoms"] > store.holds[rid]["hold_atoms"] + store.more.get(rid, 0):
            violation("I10", f"request {rid} was charged more than was held")


def check_limits(store, args):
    drawn = collections.Counter()
    for rid, draws in store.draws.items():
        if sum(atoms for _, atoms in draws) > store.settled[rid]["amount_atoms"]:
            violation("I11", f"request {rid}: funds paid more than it cost")
        for fund, atoms in draws:
            drawn[fund] += atoms
            if store.funds[fund]["organization"] != store.payer[store.settled[rid]["project"]]:
                violation("I11", f"request {rid}: fund {fund} is not this organisation's")
    for fund, balance, expired in store.db.execute("SELECT fund, drawn_atoms, expired_atoms FROM fund_balance"):
        if drawn[fund] != balance:
            violation("I11", f"fund {fund}: {drawn[fund]} drawn, its balance says {balance}")
        if drawn[fund] + expired > store.funds[fund]["amount_atoms"]:
            violation("I11", f"fund {fund}: {drawn[fund]} drawn of {store.funds[fund]['amount_atoms']}")
    if args.fixed_budgets:
        check_budgets(store)


def check_budgets(store):
    """Only where no budget was ever changed: rows do not say what one was."""
    spent = collections.Counter()
    budgets = {r["id"]: r for r in store.db.execute("SELECT id, budget_atoms, budget_period FROM project")}
    for s in store.settled.values():
        monthly = budgets[s["project"]]["budget_period"] == "month"
        spent[s["project"], store.period_of(s) if monthly else None] += s["amount_atoms"]
    for (project, period), atoms in spent.items():
        if atoms > budgets[project]["budget_atoms"]:
            violation("I11", f"project {project}: {atoms} spent of a budget of {budgets[project]['budget_atoms']}")


# ---- documents ----

def check_frozen(store, args):
    triggers = " ".join(sql for (sql,) in store.db.execute("SELECT sql FROM sqlite_schema WHERE type = 'trigger'"))
    for table in FROZEN:
        for what in ("UPDATE", "DELETE"):
            if f"BEFORE {what} ON {table}\n" not in triggers.replace(f"ON {table} ", f"ON {table}\n"):
                violation("I12", f"nothing refuses {what} on {table}")
    series = collections.defaultdict(list)
    for d in store.documents.values():
        series[d.row["series"]].append(d.number)
        printed = d.body["number"], d.body["type"], d.total("net"), d.total("tax"), d.total("gross")
        stored = tuple(d.row[name] for name in ("number", "type", "net_minor", "tax_minor", "gross_minor"))
        if printed != stored:
            violation("I12", f"document {d.number}: {printed} is printed, the row says {stored}")
    given = dict(store.db.execute("SELECT series, next - 1 FROM doc_counter"))
    lost = {(name, n) for name, first, last in store.db.execute("SELECT series, first, last FROM lost_number")
            for n in range(first, last + 1)}  # of documents that a restored backup does not have
    for name in series.keys() | given.keys():
        numbers = [n for n in range(1, given.get(name, 0) + 1) if (name, n) not in lost]
        if series[name] != [f"{name}-{n:06}" for n in numbers]:
            violation("I12", f"series {name}: {given.get(name)} numbers were given out, there are {series[name][:9]}")


def check_sums(store, args):
    for d in store.documents.values():
        net, tax, gross = (d.total(name) for name in ("net", "tax", "gross"))
        groups = collections.Counter()
        for line in d.lines:
            groups[line["tax_category"], line["tax_basis_points"]] += d.minor(line["net"])
        if sum(groups.values()) != net or net + tax != gross:
            violation("I13", f"document {d.number}: its lines, net, tax and gross do not add up")
        if {g: n for g, (n, _) in d.taxes().items()} != groups or sum(t for _, t in d.taxes().values()) != tax:
            violation("I13", f"document {d.number}: its groups of taxes do not add up")
        for (_, points), (taxable, part) in d.taxes().items():
            if d.row["type"] == INVOICE and 2 * abs(part * 10000 - taxable * points) > 10000:
                violation("I13", f"document {d.number}: {part} is not {points} basis points of {taxable}")


def check_rounding(store, args):
    invoices, notes = store.entries("invoice"), store.entries("credit_note")
    for d in store.documents.values():
        net, tax, gross = (d.total(name) * d.unit for name in ("net", "tax", "gross"))
        exact = d.row["exact_atoms"]
        if d.row["type"] == INVOICE:
            parts = [whole(line["exact"], 10) for line in d.lines]
            if sum(parts) != exact or any(2 * abs(d.minor(line["net"]) * d.unit - part) > d.unit
                                          for line, part in zip(d.lines, parts)):
                violation("I14", f"document {d.number}: a line is not its exact amount rounded")
            right = {"receivable": gross, "unbilled": -exact, "rounding": exact - net, "tax_payable": -tax}
            posted = invoices[d.number]
        else:
            right, posted = {"revenue": net, "tax_payable": tax, "receivable": -gross}, notes[d.number]
        if {kind: atoms for kind, atoms in right.items() if atoms} != dict(posted):
            violation("I14", f"document {d.number}: it was not posted as it is printed: {dict(posted)}")


def billed(store):
    """{period: {(model, meter, version, item): [units, atoms owed, atoms that funds paid]}}"""
    sums = collections.defaultdict(lambda: collections.defaultdict(lambda: [0, 0, 0]))
    for rid, s in store.settled.items():
        for meter, qty, atoms, item, paid in store.covered_lines(rid):
            if qty:
                key = store.names[s["model"]], METERS[meter], s["price_version"], item
                for i, value in enumerate((qty, atoms - paid, paid)):
                    sums[store.period_of(s)][key][i] += value
    return sums


def check_lines(store, args):
    sums, charges = billed(store), list(store.db.execute("SELECT * FROM charge"))
    layers = {r["price_version"]: r for r in store.db.execute("SELECT * FROM price_layer")}
    issued = collections.Counter(d.row["period"] for d in store.documents.values() if d.row["type"] == INVOICE)
    for p in store.periods.values():
        if issued[p["id"]] != (p["closed_us"] != 0):
            violation("I15", f"period {p['id']}: {issued[p['id']]} invoices")
    for d in store.documents.values():
        if d.row["type"] != INVOICE:
            continue
        p = store.periods[d.row["period"]]
        usage = [line for line in d.lines if line["category"] == "usage"]
        lines = {(line["model"], line["meter"], line["price_version"], line.get("item", 0)):
                 [line["quantity"], whole(line["exact"], 10), whole(line["covered"], 10)] for line in usage}
        if lines != sums[p["id"]] or len(lines) != len(usage):
            violation("I15", f"document {d.number}: its lines are not the settlements of its period, each once")
        for line in usage:
            check_price(store, d, line, layers)
        own = sorted(c["amount_atoms"] for c in charges if c["organization"] == p["organization"]
                     and p["starts_us"] <= c["at_us"] < p["ends_us"])
        given = ("usage", "reversal", "volume")
        if own != sorted(whole(line["exact"], 10) for line in d.lines if line["category"] not in given):
            violation("I15", f"document {d.number}: its charges are not those of its period, each once")
        pairs = sorted((line["category"], line["model"], line["meter"], line["price_version"], line.get("item", 0),
                        line["quantity"], whole(line["exact"], 10)) for line in d.lines if line["category"] in given[1:])
        if pairs != sorted(given_back(store, lines)):
            violation("I15", f"document {d.number}: it does not give back of volume prices what it must")


def check_price(store, d, line, layers):
    """A line says which book its price is from, and what the list asks for where that is known; the first
    documents said neither."""
    version, model, meter = line["price_version"], line["model"], line["meter"]
    if version in layers:
        of_list = meter not in store.prices[layers[version]["own_version"]].get(model, {})
        version = layers[version]["list_version" if of_list else "own_version"]
    name = store.db.execute("SELECT book FROM price_version WHERE id = ?", (version,)).fetchone()[0]
    if line.get("price_book", name) != name:
        violation("I15", f"document {d.number}: line {line['line']} says book {line['price_book']}, it is of {name}")
    item = store.prices[line["price_version"]][model][meter][line.get("item", 0)]
    amount, _, units = line.get("list_unit_price", "").partition(" per ")
    differs = item.list is not None and (item.kind != "unit" or item.price != item.list)
    if "price_book" in line and differs and (not units or Fraction(amount) * 10**10 / int(units) != item.list):
        violation("I15", f"document {d.number}: line {line['line']} does not say what the list asks for")


def given_back(store, lines):
    """The lines by which an invoice gives back of volume prices: all units at the price of their tier."""
    total, items = collections.Counter(), {}
    for model, meter, version, number in lines:
        item = items[model, meter, version, number] = store.prices[version][model][meter][number]
        total[model, meter, item.series()] += lines[model, meter, version, number][0]
    for key, (qty, owed, covered) in lines.items():
        model, meter, *_ = key
        if items[key].kind == "volume":
            _, due = items[key].close(0, qty, total[model, meter, items[key].series()], owed + covered)
            if due < owed + covered:
                yield ("reversal", *key, -qty, -owed)
                yield ("volume", *key, qty, max(0, due - covered))


def check_closed(store, args):
    closed = {p["id"]: p["closed_us"] for p in store.periods.values() if p["closed_us"]}
    for number, closed_us in closed.items():
        if closed_us < store.periods[number]["ends_us"]:
            violation("I16", f"period {number} was closed before it ended")
    for rid, s in store.settled.items():
        if s["settled_us"] > closed.get(store.period_of(s), s["settled_us"]):
            violation("I16", f"request {rid} was settled in a period that was closed")
    for c in store.db.execute("SELECT * FROM charge"):
        if c["created_us"] > closed.get(store.period(c["organization"], c["at_us"]), c["created_us"]):
            violation("I16", f"charge {c['id']} was written into a period that was closed")


def check_credited(store, args):
    lines, groups = collections.Counter(), collections.defaultdict(lambda: [0, 0])
    for d in store.documents.values():
        if d.row["type"] != CREDIT_NOTE:
            continue
        for line in d.lines:
            lines[d.row["refers_to"], line["invoice_line"]] += d.minor(line["net"])
        for group, (net, tax) in d.taxes().items():
            groups[d.row["refers_to"], group][0] += net
            groups[d.row["refers_to"], group][1] += tax
    rows = {(r[0], r[1]): r[2] for r in store.db.execute(
        "SELECT invoice, line, sum(net_minor) FROM credit_line GROUP BY invoice, line")}
    if rows != dict(lines):
        differ = set(rows.items()) ^ set(lines.items())
        violation("I17", f"what credit notes say and what is kept of them differs: {differ}")
    for (number, line), minor in lines.items():
        d = store.documents[number]
        if minor > d.minor(d.lines[line - 1]["net"]):
            violation("I17", f"document {number}: more of line {line} was credited than it says")
    for (number, group), given in groups.items():
        most = store.documents[number].taxes().get(group, (0, 0))
        if given[0] > most[0] or given[1] > most[1]:
            violation("I17", f"document {number}: {given} of {most} was credited in tax group {group}")


def check_shares(store, args):
    payable, held = collections.Counter(), collections.defaultdict(collections.Counter)
    for r in store.db.execute("SELECT * FROM share"):
        d = store.documents[r["document"]]
        payable[r["partner"]] += r["amount_minor"] * d.unit
        held[d.row["refers_to"] or d.number, r["line"]][r["partner"]] += r["amount_minor"]
        if d.row["type"] == INVOICE and abs(r["amount_minor"] * 10000 - r["net_minor"] * r["basis_points"]) >= 10000:
            violation("I18", f"document {d.number}, line {r['line']}: {r['amount_minor']} is not {r['basis_points']}"
                             f" basis points of {r['net_minor']}")
    for (number, line), parts in held.items():
        d = store.documents[number]
        left = d.minor(d.lines[line - 1]["net"]) - sum(
            c.minor(note["net"]) for c in store.documents.values() if c.row["refers_to"] == number
            for note in c.lines if note["invoice_line"] == line)
        if sum(parts.values()) > left or min(parts.values()) < 0:
            violation("I18", f"document {number}, line {line}: partners hold {dict(parts)} of {left}")
    paid = collections.Counter()
    for account, atoms in store.db.execute("SELECT account, posted_atoms FROM account_balance"):
        if store.kinds[account] == "partner_payable":
            paid[account // 32] = -atoms
    for partner in payable.keys() | paid.keys():
        if payable[partner] != paid[partner]:
            violation("I18", f"partner {partner}: shares are {payable[partner]}, {paid[partner]} is owed")


def publications(store):
    """{organization: [(from, version)]} of the books that two people published, each looked at; 0 is the
    list, of what a reseller's customers pay the number is negative."""
    approvers = {f"key:{r['name']}": r for r in store.db.execute("SELECT * FROM price_approver")}
    hashes = dict(store.db.execute("SELECT id, sha256 FROM price_version"))
    terms = collections.defaultdict(list)
    for r in store.db.execute("SELECT u.*, p.text, p.sha256, p.proposed_by, p.proposed_us, p.owner_kind AS for_kind,"
                              " p.organization AS for_whom FROM price_publication u"
                              " JOIN price_proposal p ON p.id = u.proposal ORDER BY u.effective_us"):
        owner = -r["organization"] if r["owner_kind"] == "resale" else r["organization"]
        terms[owner].append((r["effective_us"], r["price_version"]))
        by = approvers.get(r["published_by"])
        if r["proposed_by"] == r["published_by"]:
            violation("I19", f"draft {r['proposal']} was published by one person alone")
        if r["published_by"].startswith("key:") and not (by and by["created_us"] < r["proposed_us"]):
            violation("I19", f"draft {r['proposal']} was published by one who was no approver before it")
        if r["sha256"] != hashes.get(r["price_version"]) or hashlib.sha256(r["text"].encode()).digest() != r["sha256"]:
            violation("I19", f"draft {r['proposal']} is not the version that was published")
        if r["effective_us"] < r["published_us"] + r["notice_us"]:
            violation("I19", f"draft {r['proposal']} was published without its notice")
        if (r["owner_kind"], r["organization"]) != (r["for_kind"], r["for_whom"]):
            violation("I19", f"draft {r['proposal']} was published for another than it was proposed for")
    return terms


def items_of(text):
    """{(model, meter): [(the item in the words of the book, what a unit costs in the list)]}"""
    found = collections.defaultdict(list)
    for line in text.splitlines()[1:]:
        model, meter, *words = line.split(" ")
        listed = [w.removeprefix("list=") for w in words if w.startswith("list=")]
        words = [w for w in words if not w.startswith("list=")]
        found[model, meter].append((tuple(words if len(words) != 2 or words[0] != "unit" else words[1:]), *listed))
    return found


def check_layers(store):
    """{version: (list, own)} of what organizations with a book of their own are rated by: the list with that
    book on it, meter by meter, each of its units beside what the list sells it for."""
    texts = dict(store.db.execute("SELECT id, text FROM price_version"))
    hashes = dict(store.db.execute("SELECT id, sha256 FROM price_version"))
    layers = {}
    for r in store.db.execute("SELECT * FROM price_layer"):
        v, below, own = layers[r["price_version"]] = (r["price_version"], r["list_version"], r["own_version"])
        listed, said, made = items_of(texts[below]), items_of(texts[own]), items_of(texts[v])
        bare = {key: [item[0] for item in items] for key, items in made.items()}
        right = {key: [item[0] for item in items] for key, items in {**listed, **said}.items()}
        head = f" over {hashes[below].hex()} own {hashes[own].hex()}"
        if bare != right or list(made) != sorted(made) or not texts[v].splitlines()[0].endswith(head):
            violation("I19", f"price version {v} is not the list of version {below} with the book of {own} on it")
        for key in made:
            sold = {item[0][-1] if len(item[0]) == 1 else item[0][1] for item in listed[key]}
            if key in said and not {item[1] for item in made[key] if len(item) > 1} <= sold:
                violation("I19", f"price version {v}: {key} is not sold for that by the list of version {below}")
            if key not in said and made[key] != listed[key]:
                violation("I19", f"price version {v}: {key} is not as the list of version {below} says")
    return {v: (below, own) for v, below, own in layers.values()}


def check_books(store, args):
    terms, layers = publications(store), check_layers(store)
    starts = {o: [start for start, _ in of] for o, of in terms.items()}
    published = {v for _, v in terms[0]}
    others = set(layers) | {v for o, of in terms.items() for _, v in of if o}
    silent = {v for v, text in store.db.execute("SELECT id, text FROM price_version") if len(text.splitlines()) < 2}
    versions = list(store.db.execute("SELECT * FROM price_version ORDER BY effective_from_us, id"))
    for v in versions:
        if hashlib.sha256(v["text"].encode()).digest() != v["sha256"]:
            violation("I19", f"price version {v['id']}: its text is not what its hash is of")
    first = starts.get(0, [0])[0]
    versions = [v for v in versions if v["id"] not in others
                and (v["id"] not in published or v["effective_from_us"] < first)]
    since = {v["id"]: v["effective_from_us"] for v in versions}
    until = {a["id"]: b["effective_from_us"] for a, b in zip(versions, versions[1:])}

    def in_force(organization, us):
        at = bisect.bisect_right(starts.get(organization, []), us) - 1
        return terms[organization][at][1] if at >= 0 else None

    for rid, h in store.holds.items():
        accepted, v = h["accepted_us"], h["price_version"]
        payer = store.payer[h["project"]]
        own = in_force(payer, accepted)
        if rid < 0:  # at retail; without a book for them its customers pay what the reseller pays
            own = in_force(-store.seller[payer], accepted)
            own = in_force(store.seller[payer], accepted) if own is None or own in silent else own
        below, its = layers.get(v, (v, None))
        if its != (None if own in silent else own):
            violation("I19", f"request {rid} has version {v} with the book {its}, its organization has {own}")
        if in_force(0, accepted) is not None:  # to the microsecond: they are published ahead of time
            if in_force(0, accepted) != below:
                violation("I19", f"request {rid} has price version {v}, but {in_force(0, accepted)} was in force")
        elif below not in since or accepted < since[below] - LATE_US or accepted > until.get(below, accepted) + LATE_US:
            violation("I19", f"request {rid}: price version {v} was not in force when it was accepted")
        if rid in store.settled and store.settled[rid]["price_version"] != v:
            violation("I19", f"request {rid} was billed by another price version than it was held by")


def check_keys(store, args):
    """A key stands for one request of the project that brought it; an answer is kept of a settled one."""
    seen = set()
    for r in store.db.execute("SELECT * FROM idempotency"):
        hold = store.holds.get(r["rid"])
        if (r["project"], r["key_sha256"]) in seen:
            violation("I20", f"request {r['rid']}: its Idempotency-Key stands for another one, too")
        if hold is not None and hold["project"] != r["project"]:
            violation("I20", f"request {r['rid']}: its Idempotency-Key is of another project")
        seen.add((r["project"], r["key_sha256"]))
    for (rid,) in store.db.execute("SELECT rid FROM idempotency_answer"):
        if rid in store.holds and rid not in store.settled:
            violation("I20", f"request {rid}: its answer is kept, and it was never settled")


def check_resale(store, args):
    """Both legs or neither, of the same usage; whose project and whose document it is."""
    twins = dict(store.db.execute("SELECT id, wholesale FROM project WHERE wholesale IS NOT NULL"))
    seller_of = store.seller
    for customer, seller in seller_of.items():
        if seller is not None and seller_of[seller] is not None:
            violation("I27", f"organization {customer}: its reseller is a customer itself")
    for project, payer in store.payer.items():
        if store.payer.get(twins.get(project)) != seller_of[payer]:
            violation("I27", f"project {project}: its twin is not its reseller's")
    for rid, h in store.holds.items():
        if rid > 0 and (h["project"] in twins.values()) != (-rid in store.holds):
            violation("I27", f"request {rid} is held for one leg alone")
        if rid < 0 and twins.get(h["project"]) != store.holds[-rid]["project"]:
            violation("I27", f"request {-rid} is resold by a project that is no twin")
    for rid in store.settled:
        if -rid in store.holds and -rid not in store.settled:
            violation("I27", f"request {abs(rid)} is settled for one leg alone")
    for rid in store.resold:
        used = [collections.Counter() for _ in range(2)]
        for units, lines in zip(used, (store.lines[rid], store.lines[-rid])):
            for meter, qty, *_ in lines:
                units[meter] += qty
        if any(used[0][m] != used[1][m] for m in used[0] if used[1][m]):
            violation("I27", f"request {rid}: {used[0]} was used and {used[1]} is resold")
    for rid, in store.db.execute("SELECT rid FROM resale_checkpoint"):
        if rid in store.settled:
            violation("I27", f"request {rid} is settled and has a checkpoint at retail")
    check_series(store, seller_of)


def check_series(store, seller_of):
    """A number says who the seller is; and so does the document."""
    series = collections.defaultdict(set)
    for r in store.db.execute("SELECT organization, series FROM seller"):
        series[r["series"]].add(r["organization"])
    for name, owners in series.items():
        if len(owners) > 1:
            violation("I27", f"series {name} is of sellers {owners}")
    for d in store.documents.values():
        name = d.row["series"].rsplit("-", 1)[0].removesuffix("-CN")
        if series.get(name, {None}) != {seller_of[d.row["organization"]]}:
            violation("I27", f"document {d.number} is in the series of another seller")


def check_currency(store, args):
    currency = store.db.execute("SELECT currency FROM meta").fetchone()[0]
    for v, other in store.db.execute("SELECT id, currency FROM price_version"):
        if other != currency:
            violation("I22", f"price version {v} is in {other}, the ledger in {currency}")
    for d in store.documents.values():
        if d.body["currency"] != currency:
            violation("I22", f"document {d.number} is in {d.body['currency']}, the ledger in {currency}")


def spent_by(store, alert):
    """What a budget's project had spent: before the batch of the alert, and with it."""
    before = until = 0
    for s in store.settled.values():
        period = store.periods.get(store.period_of(s))
        if s["project"] == alert["owner"] and (not alert["round"] or (period and period["starts_us"] == alert["round"])):
            before += s["amount_atoms"] if s["settled_us"] < alert["at_us"] else 0
            until += s["amount_atoms"] if s["settled_us"] <= alert["at_us"] else 0
    return before, until


def balance_by(store, alert, *codes):
    account = [32 * alert["organization"] + code for code in codes]
    return store.db.execute("SELECT coalesce(sum(atoms), 0) FROM ledger_entry WHERE tx <= ? AND account IN"
                            f" ({', '.join('?' * len(codes))})", (alert["last_tx"], *account)).fetchone()[0]


def check_alerts(store, args):
    for a in store.db.execute("SELECT * FROM alert"):
        spent, limit, what = a["spent_atoms"], a["limit_atoms"], f"alert {a['id']}: {a['type']}"
        if a["threshold"] and (not limit or Fraction(spent, limit) < Fraction(a["threshold"], 100)):
            violation("I26", f"{what}: {spent} is not {a['threshold']} % of {limit}")
        if a["type"].startswith("budget."):
            low, high = spent_by(store, a)
        elif a["type"].startswith("credit."):
            low = high = max(balance_by(store, a, 1, 3), 0)
        else:
            funds = [f for f in store.funds.values() if f["organization"] == a["organization"]
                     and f["kind"] == "prepaid" and f["created_us"] <= a["at_us"]]
            low = high = max(limit + balance_by(store, a, 8), 0)
            if any(not f["from_us"] <= a["at_us"] < f["to_us"] for f in funds):
                high = limit  # what is not of its time is in the account, and cannot be used
            if limit != (store.funds[a["round"]]["amount_atoms"] if a["round"] in store.funds else 0):
                violation("I26", f"{what}: its limit is not the top-up")
        if not low <= spent <= high:
            violation("I26", f"{what}: {spent} is said, it was {low} to {high}")


CHECKS = [
    ("I1", "every transaction of the ledger sums to 0", check_transactions),
    ("I2", "balances are the sums of their entries; pending is rebuilt from rows at each start", check_balances),
    ("I3", "at most one settlement a request, none without a hold", None),
    ("I4", "every hold is settled, or its request still runs (--allow-open)", check_settled),
    ("I5", "a batch posts what it settled", check_postings),
    ("I6", "an amount is the sum of its lines, a line its rate at the price in force", check_amounts),
    ("I7", "no unit is in two buckets; with journals: buckets add up to what was reported", check_partition),
    ("I7", "no token is billed beyond the gateway's own count and its tolerance", check_recounts),
    ("I8", "each settlement lies in one period, each unit of a period is counted once", check_periods),
    ("I8", "numbers of postings, legs, calls, funds, charges, periods have no gap", check_numbers),
    ("I9", "roll-ups are the sums of settlements", check_rollups),
    ("I9", "each settlement is where its minute looks for it", check_minutes),
    ("I10", "nothing is charged beyond its hold", check_holds),
    ("I11", "no fund is overdrawn; no budget (--fixed-budgets)", check_limits),
    ("I12", "what is issued or archived never changes; numbers have no gap", check_frozen),
    ("I13", "lines, taxes and totals of a document add up", check_sums),
    ("I14", "rounding is posted, and less than half a minor unit a line", check_rounding),
    ("I15", "each settlement of a closed period is on one line of one invoice", check_lines),
    ("I16", "nothing is written into a closed period", check_closed),
    ("I17", "credit notes never exceed their invoice, by line and by tax", check_credited),
    ("I18", "partners are owed their shares, and shares are of what is left", check_shares),
    ("I19", "price books are what their hash says, and were in force at acceptance", check_books),
    ("I20", "an Idempotency-Key stands for one request", check_keys),
    ("I22", "one currency in every leg, book and document", check_currency),
    ("I25", "what backends cost is rated by its book, summed up and posted", check_costs),
    ("I26", "an alert says what the sums of its moment were", check_alerts),
    ("I27", "what is resold has two legs of the same usage, and documents of its seller", check_resale),
]
NOT_YET = {
    "I8": "the gapless number of an account's settlements: there are no receipts yet; what has numbers is asked",
    "I21": "the log of leaves and checkpoints: there is no log yet; digests of books (I19) and archives (I12) are asked",
    "I23": "sums of the FOCUS export: there is none yet; the CSV of documents is read back by"
           " tests/flow/test_finance_api.py and test_statements.py",
    "I24": "answers in OpenAI's and in Anthropic's shape agree: asked of the daemon by tests/flow/test_finance_api.py",
}


def add_arguments(parser):
    parser.add_argument("--db", required=True)
    parser.add_argument("--archives", help="where the files of archived months were moved to")
    parser.add_argument("--allow-open", action="store_true", help="the daemon works: holds may be open")
    parser.add_argument("--fixed-budgets", action="store_true", help="no budget was ever changed")


def check(args):
    """All of them; the store as it was read."""
    store = Store(args.db, args.archives)
    for _, _, function in CHECKS:
        if function:
            function(store, args)
    return store


def verdict():
    print(f"violations: {len(violations)}")
    return 1 if violations else 0


def tell():
    for number, text, _ in CHECKS:
        print(f"{number:4} {text}")
    for number, text in NOT_YET.items():
        print(f"{number:4} not here: {text}")
    return 0


def check_all(directory):
    bad, stores = 0, sorted(pathlib.Path(directory).glob("*.db"))
    for path in stores:
        violations.clear()
        check(argparse.Namespace(db=path, archives=None, allow_open=False, fixed_budgets=True))
        if violations:
            print(f"{path}: {len(violations)} violations")
            bad += 1
    print(f"{len(stores) - bad} passed, {bad} failed")
    return bad > 0 or not stores


def main():
    if sys.argv[1:] == ["--list"]:
        return tell()
    if sys.argv[1:2] == ["--all"]:
        return check_all(*sys.argv[2:3])
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    check(parser.parse_args())
    return verdict()


if __name__ == "__main__":
    sys.exit(main())
