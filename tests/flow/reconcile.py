#!/usr/bin/env python3
"""Joins what clients saw, what workers did and what the ledger says.

The ledger by itself is looked at by tests/oracle/invariants.py, and journals are held against it
here.  One line for each violation, `violations: N` at the end, exit 1 when there is any.

  reconcile.py --db ledger.db [--client-journal FILE.jsonl] [--worker-journal FILE.jsonl] [--allow-open]
               [--fixed-budgets] [--archives DIR]

client journal  {"request_id": "req_..."|null, "status": 200, "complete": true,
                 "usage": {"prompt_tokens": 1, "completion_tokens": 2}|null, "stream": false,
                 "tokens": 2}   what the client has counted itself; left out where it has not
worker journal  {"rid": 123, "event": "start"|"final"|"cancel", "input_tokens": 1, "output_tokens": 2}
"""
import argparse
import collections
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "oracle"))
import invariants  # noqa: E402
from invariants import INPUT, OUTPUT, violation  # noqa: E402

DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32
FINISHED = {"ok", "ok_mismatch", "ok_nousage", "ok_unpriced", "ok_partial", "ok_filtered"}


def rows_of(path):
    """A line that a kill cut short is no row; only the last line can be one."""
    lines = pathlib.Path(path).read_text().splitlines() if path else []
    for number, line in enumerate(lines):
        try:
            yield json.loads(line)
        except ValueError:
            if number != len(lines) - 1:
                violation("journal", f"{path}:{number + 1}: this line is not JSON")


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
            violation("I4", f"request {rid}: the client has a whole answer and there is no settlement")
        elif whole and settlement["outcome"] not in FINISHED:
            violation("I4", f"request {rid}: the client has a whole answer, the bill says {settlement['outcome']}")
        elif settlement is not None and row["status"] >= 400 and settlement["amount_atoms"] != 0:
            violation("I6", f"request {rid}: the client got an error {row['status']} and was charged")
        if settlement is not None and "tokens" in row and (store.tokens(rid, OUTPUT) or 0) > row["tokens"]:
            violation("I7", f"request {rid}: the client has {row['tokens']} tokens and pays for {store.tokens(rid, OUTPUT)}")
        if whole and settlement is not None and row.get("usage"):
            check_usage(store, rid, row["usage"])
    for rid, count in seen.items():
        if count > 1:
            violation("I3", f"request {rid}: {count} answers have this id")


def check_usage(store, rid, usage):
    for name, meters in (("prompt_tokens", INPUT), ("completion_tokens", OUTPUT)):
        settled = store.tokens(rid, meters)
        less = store.settled[rid]["outcome"] == "ok_mismatch" and settled is not None and settled < usage.get(name, 0)
        if settled is not None and name in usage and usage[name] != settled and not less:
            violation("I7", f"request {rid}: the client was told {usage[name]} {name}, {settled} were settled")


def check_workers(store, journal):
    started, final = set(), collections.defaultdict(list)
    for row in journal:
        if row["event"] == "start":
            started.add(row["rid"])
        elif row["event"] == "final":
            final[row["rid"]].append(row)
    for rid, settlement in store.settled.items():
        if rid < 0:
            continue  # what a reseller asks for the same work
        if settlement["amount_atoms"] > 0 and rid not in started:
            violation("I6", f"request {rid} was charged and no worker ran it")
        if settlement["outcome"] != "ok" or settlement["evidence"] != "upstream":
            continue
        said = [(row["input_tokens"], row["output_tokens"]) for row in final.get(rid, [])]
        told = (store.tokens(rid, INPUT), store.tokens(rid, OUTPUT))
        if not any(all(t is None or t == s for t, s in zip(told, both)) for both in said):
            violation("I7", f"request {rid}: workers reported {said}, {told} was settled")
    for rid in started:
        if rid not in store.holds:
            violation("I4", f"request {rid} reached a worker and was never held")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--client-journal")
    parser.add_argument("--worker-journal")
    invariants.add_arguments(parser)
    args = parser.parse_args()
    # Journals first: what they say has then been committed before the snapshot is taken.
    clients, workers = list(rows_of(args.client_journal)), list(rows_of(args.worker_journal))
    store = invariants.check(args)
    check_clients(store, clients)
    if args.worker_journal:
        check_workers(store, workers)
    print(f"requests: {len(store.holds)}, settled: {len(store.settled)}, client rows: {len(clients)},"
          f" worker rows: {len(workers)}")
    return invariants.verdict()


if __name__ == "__main__":
    sys.exit(main())
