#!/usr/bin/env python3
"""Joins what clients saw, what workers did and what the ledger says.

Shares nothing with the daemon: Python's own sqlite3 and json, and the rules in rational numbers
(tests/oracle/rate.py).  One line for each violation, `violations: N` at the end, exit 1 when
there is any.

  reconcile.py --db ledger.db [--client-journal FILE.jsonl] [--worker-journal FILE.jsonl] [--allow-open]

client journal  {"request_id": "req_..."|null, "status": 200, "complete": true,
                 "usage": {"prompt_tokens": 1, "completion_tokens": 2}|null, "stream": false}
worker journal  {"rid": 123, "event": "start"|"final"|"cancel", "input_tokens": 1, "output_tokens": 2}

The store is opened read-only: a live one, or a copy together with its -wal file.
"""
import argparse
import collections
import json
import pathlib
import sqlite3
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "oracle"))
import rate  # noqa: E402

# The ids of base/usage.h, written down a second time.
METERS = ["requests", "input_uncached_tokens", "input_cached_tokens", "input_cache_write_tokens",
          "output_text_tokens", "output_reasoning_tokens", "images", "characters", "audio_ms",
          "compute_ms", "tensor_elements", "input_audio_tokens", "output_audio_tokens",
          "input_image_tokens", "output_image_tokens", "video_ms", "input_cache_write_1h_tokens",
          "input_video_tokens"]
INPUT, OUTPUT = {1, 2, 3, 11, 13, 16, 17}, {4, 5, 12, 14}
HOUR_US = 3600 * 1000000
DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32
UNCHARGED = {"failed_pre", "client_gone_0", "orphan_0"}
FINISHED = {"ok", "ok_nousage", "ok_unpriced", "ok_partial"}

violations = []


def violation(text):
    violations.append(text)
    print(text)


def rows_of(path):
    """A line that a kill cut short is no row; only the last line can be one."""
    lines = pathlib.Path(path).read_text().splitlines() if path else []
    for number, line in enumerate(lines):
        try:
            yield json.loads(line)
        except ValueError:
            if number != len(lines) - 1:
                violation(f"{path}:{number + 1}: this line is not JSON")


def rid_of(text):
    value = 0
    for digit in text.removeprefix("req_").lower():
        value = value * 32 + DIGITS.index(digit)
    return value


def text_of_rid(value):
    digits = ""
    for _ in range(13):
        value, digit = divmod(value, 32)
        digits = DIGITS[digit] + digits
    return "req_" + digits


class Store:
    def __init__(self, path):
        self.db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        self.db.row_factory = sqlite3.Row
        self.db.execute("BEGIN")  # one snapshot for all of it
        self.names = dict(self.db.execute("SELECT id, name FROM name"))
        self.prices = self.read_prices()
        self.holds = {r["rid"]: r for r in self.db.execute("SELECT * FROM request_open")}
        self.settled = {}
        for r in self.db.execute("SELECT * FROM settlement"):
            if r["rid"] in self.settled:
                violation(f"request {r['rid']} was settled twice")
            self.settled[r["rid"]] = r
        self.lines, self.facts = {}, {}
        for rid, r in self.settled.items():
            lines = json.loads(r["lines"])
            self.facts[rid] = lines.pop() if lines and isinstance(lines[-1], dict) else None
            self.lines[rid] = [(line + [0, 0])[:5] for line in lines]
        self.draws = {rid: json.loads(r["draws"] or "[]") for rid, r in self.settled.items()}
        self.payer = dict(self.db.execute("SELECT id, organization FROM project"))
        self.funds = {r["id"]: r for r in self.db.execute("SELECT * FROM fund")}

    def read_prices(self):
        return {version: rate.read_book(text)
                for version, text in self.db.execute("SELECT id, text FROM price_version")}

    def price(self, settlement, meter):
        """The items of a meter; None: it has no price."""
        model = self.prices.get(settlement["price_version"], {}).get(self.names.get(settlement["model"]), {})
        return model.get(METERS[meter])

    def tokens(self, rid, meters):
        """What was settled in these meters; None when the model has a price for none of them."""
        settlement = self.settled[rid]
        if not any(self.price(settlement, m) is not None for m in meters):
            return None
        return sum(qty for meter, qty, *_ in self.lines[rid] if meter in meters)


# ---- the ledger by itself ----

def check_requests(store, allow_open):
    for rid, hold in store.holds.items():
        if rid not in store.settled and not allow_open:
            violation(f"request {rid} was held and never settled")
    for rid, settlement in store.settled.items():
        hold = store.holds.get(rid)
        if hold is None:
            violation(f"request {rid} was settled and never held")
        elif settlement["amount_atoms"] > hold["hold_atoms"]:
            violation(f"request {rid} was charged more than was held")
        if settlement["outcome"] in UNCHARGED and settlement["amount_atoms"] != 0:
            violation(f"request {rid} ended as {settlement['outcome']} and was charged")
        check_amount(store, rid, settlement)


def check_amount(store, rid, settlement):
    total = 0
    for meter, qty, atoms, number, before in store.lines[rid]:
        total += atoms
        items = store.price(settlement, meter)
        if items is None or number >= len(items):
            violation(f"request {rid}: {METERS[meter]} has no price")
            continue
        right = items[number].charge(before, qty)
        if right != atoms:
            violation(f"request {rid}: {qty} {METERS[meter]} are {right} atoms, not {atoms}")
        if len(items) > 1 or items[0].names() or items[0].context != (0, None):
            check_choice(store, rid, items, number)
    if total != settlement["amount_atoms"]:
        violation(f"request {rid}: its lines are {total} atoms, its amount is {settlement['amount_atoms']}")


def check_funds(store):
    drawn = collections.Counter()
    for rid, draws in store.draws.items():
        if sum(atoms for _, atoms in draws) > store.settled[rid]["amount_atoms"]:
            violation(f"request {rid}: funds paid more than it cost")
        for fund, atoms in draws:
            drawn[fund] += atoms
            if store.funds[fund]["organization"] != store.payer[store.settled[rid]["project"]]:
                violation(f"request {rid}: fund {fund} is not this organisation's")
    for fund, balance, expired in store.db.execute("SELECT fund, drawn_atoms, expired_atoms FROM fund_balance"):
        if drawn[fund] != balance:
            violation(f"fund {fund}: {drawn[fund]} drawn, its balance says {balance}")
        if drawn[fund] + expired > store.funds[fund]["amount_atoms"]:
            violation(f"fund {fund}: {drawn[fund]} drawn of {store.funds[fund]['amount_atoms']}")
    spent = collections.Counter()
    for s in store.settled.values():
        spent[s["project"]] += s["amount_atoms"]
    stored = dict(store.db.execute("SELECT project, atoms FROM project_spent"))
    for project in spent.keys() | stored.keys():
        if spent[project] != stored.get(project, 0):
            violation(f"project {project}: it spent {spent[project]}, the row says {stored.get(project, 0)}")


def period_of(store, settlement):
    rows = store.db.execute("SELECT id FROM billing_period WHERE organization = ? AND starts_us <= ? AND ends_us > ?",
                            (store.payer[settlement["project"]], settlement["settled_us"], settlement["settled_us"]))
    periods = [row["id"] for row in rows]
    if len(periods) != 1:
        violation(f"request {settlement['rid']} was settled in {len(periods)} billing periods")
    return periods[0] if periods else None


def check_counts(store):
    """Of a price by the period each unit stands behind the one before it, once."""
    counted = collections.defaultdict(list)
    for rid, s in store.settled.items():
        for meter, qty, _, number, before in store.lines[rid]:
            items = store.price(s, meter)
            if items and number < len(items) and items[number].periodic():
                key = store.payer[s["project"]], period_of(store, s), s["model"], meter, items[number].series()
                counted[key].append((before, before + qty))
    for key, spans in counted.items():
        spans.sort()
        if [low for low, _ in spans] != [0] + [high for _, high in spans[:-1]]:
            violation(f"price {key}: its units are counted twice or not at all: {spans[:20]}")


def check_choice(store, rid, items, number):
    """Among several prices the one that fits the request holds."""
    facts = store.facts[rid]
    if facts is None:
        violation(f"request {rid} says nothing of what chose its price")
        return
    right = rate.holding(items, facts["context"], facts, store.holds[rid]["accepted_us"])
    if items[number].kind != "included" and right != number:
        violation(f"request {rid} was billed by price {number}, but price {right} holds")


def tier_of(store, rid):
    tier = (store.facts[rid] or {}).get("service_tier")
    return tier if tier in ("flex", "priority") else "standard"


def long_context(store, rid):
    return int(sum(qty for meter, qty, *_ in store.lines[rid] if meter in INPUT) > 200_000)


def check_rollups(store):
    sums = collections.defaultdict(lambda: [0, 0, 0, 0])
    for rid, s in store.settled.items():
        period, covered = period_of(store, s), sum(atoms for _, atoms in store.draws[rid])
        for number, (meter, qty, atoms, item, _) in enumerate(store.lines[rid] or [[0] * 5]):
            key = (s["settled_us"] // HOUR_US * HOUR_US, s["project"], s["key"], s["model"], meter,
                   s["price_version"], item, period, s["endpoint"], tier_of(store, rid), long_context(store, rid))
            paid = min(covered, atoms)
            covered -= paid
            for i, value in enumerate((qty, number == 0, atoms, paid)):
                sums[key][i] += value
    stored = {tuple(r)[:11]: list(r)[11:] for r in store.db.execute(
        "SELECT hour_us, project, key, model, meter, price_version, item, period, endpoint, tier,"
        " long_context, qty, requests, atoms, covered_atoms FROM usage_rollup")}
    for key in sums.keys() | stored.keys():
        if sums.get(key) != stored.get(key):
            violation(f"rollup {key}: settlements say {sums.get(key)}, the row says {stored.get(key)}")


def check_ledger(store):
    posted, balances = collections.Counter(), collections.Counter()
    sums, kinds = collections.Counter(), dict(store.db.execute("SELECT id, kind FROM account"))
    for r in store.db.execute("SELECT t.tx, t.kind, t.at_us, t.organization, e.account, e.atoms"
                              " FROM ledger_tx t JOIN ledger_entry e ON e.tx = t.tx"):
        sums[r["tx"]] += r["atoms"]
        balances[r["account"]] += r["atoms"]
        if r["kind"] == "usage" and kinds[r["account"]] == "unbilled":
            posted[r["at_us"], r["organization"]] += r["atoms"]
    for tx, total in sums.items():
        if total != 0:
            violation(f"ledger tx {tx} sums to {total}")
    settled = collections.Counter()
    for s in store.settled.values():
        covered = sum(atoms for _, atoms in store.draws[s["rid"]])
        settled[s["settled_us"], store.payer[s["project"]]] += s["amount_atoms"] - covered
    for key in settled.keys() | posted.keys():
        if settled[key] != posted[key]:
            violation(f"batch {key[0]} of organization {key[1]}: {settled[key]} settled, {posted[key]} posted")
    for account, atoms in store.db.execute("SELECT account, posted_atoms FROM account_balance"):
        if balances[account] != atoms:
            violation(f"account {account}: its entries are {balances[account]}, its balance is {atoms}")


# ---- the ledger against the others ----

def check_clients(store, journal):
    seen = collections.Counter()
    for row in journal:
        if not row.get("request_id"):
            continue  # it never got an answer's head
        rid = rid_of(row["request_id"])
        seen[rid] += 1
        settlement = store.settled.get(rid)
        whole = row["complete"] and row["status"] == 200
        if whole and settlement is None:
            violation(f"request {rid}: the client has a whole answer and there is no settlement")
        elif whole and settlement["outcome"] not in FINISHED:
            violation(f"request {rid}: the client has a whole answer, the bill says {settlement['outcome']}")
        elif settlement is not None and row["status"] >= 400 and settlement["amount_atoms"] != 0:
            violation(f"request {rid}: the client got an error {row['status']} and was charged")
        if whole and settlement is not None and row.get("usage"):
            check_usage(store, rid, row["usage"])
    for rid, count in seen.items():
        if count > 1:
            violation(f"request {rid}: {count} answers have this id")


def check_usage(store, rid, usage):
    for name, meters in (("prompt_tokens", INPUT), ("completion_tokens", OUTPUT)):
        settled = store.tokens(rid, meters)
        if settled is not None and name in usage and usage[name] != settled:
            violation(f"request {rid}: the client was told {usage[name]} {name}, {settled} were settled")


def check_workers(store, journal):
    started, final = set(), collections.defaultdict(list)
    for row in journal:
        if row["event"] == "start":
            started.add(row["rid"])
        elif row["event"] == "final":
            final[row["rid"]].append(row)
    for rid, settlement in store.settled.items():
        if settlement["amount_atoms"] > 0 and rid not in started:
            violation(f"request {rid} was charged and no worker ran it")
        if settlement["outcome"] != "ok" or settlement["evidence"] != "upstream":
            continue
        said = [(row["input_tokens"], row["output_tokens"]) for row in final.get(rid, [])]
        told = (store.tokens(rid, INPUT), store.tokens(rid, OUTPUT))
        if not any(all(t is None or t == s for t, s in zip(told, both)) for both in said):
            violation(f"request {rid}: workers reported {said}, {told} was settled")
    for rid in started:
        if rid not in store.holds:
            violation(f"request {rid} reached a worker and was never held")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--db", required=True)
    parser.add_argument("--client-journal")
    parser.add_argument("--worker-journal")
    parser.add_argument("--allow-open", action="store_true", help="the daemon works: holds may be open")
    args = parser.parse_args()
    # Journals first: what they say has then been committed before the snapshot is taken.
    clients, workers = list(rows_of(args.client_journal)), list(rows_of(args.worker_journal))
    store = Store(args.db)
    check_requests(store, args.allow_open)
    check_funds(store)
    check_counts(store)
    check_rollups(store)
    check_ledger(store)
    check_clients(store, clients)
    if args.worker_journal:
        check_workers(store, workers)
    print(f"requests: {len(store.holds)}, settled: {len(store.settled)}, client rows: {len(clients)},"
          f" worker rows: {len(workers)}")
    print(f"violations: {len(violations)}")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
