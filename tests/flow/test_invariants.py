"""tests/oracle/invariants.py bites: the store of a short year, whole, then with one thing wrong in it.

Each invariant that can be asked of a store has a change that only it, or it first of all, must see.
"""
import random
import re
import shutil
import sqlite3
import subprocess
import sys

import pytest
from gate import BUILD, ROOT, SLOW

sys.path.insert(0, str(ROOT / "tests" / "oracle"))
import invariants  # noqa: E402
import traffic  # noqa: E402

pytestmark = pytest.mark.timeout(900 * SLOW)
SEED = 2033  # of a year that has all that is changed below


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    directory = tmp_path_factory.mktemp("year")
    traffic.Traffic(BUILD / "ledger_oracle", directory, random.Random(SEED), 8, 800).run()
    return directory / "ledger.db"


def ask(path):
    """The numbers of the invariants that do not hold, and what was said."""
    done = subprocess.run([sys.executable, ROOT / "tests/oracle/invariants.py", "--db", path],
                          capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == (0 if done.stdout.endswith("violations: 0\n") else 1)
    return re.findall(r"^(I\d+):", done.stdout, re.MULTILINE), done.stdout


@pytest.mark.short
def test_a_year_that_nobody_touched(store):
    assert ask(store)[0] == []


# Of the first row that fits; body: a piece of an issued document's JSON.
CHANGES = [
    ("I1", "UPDATE ledger_entry SET atoms = atoms + 1 WHERE tx = (SELECT min(tx) FROM ledger_tx WHERE kind = 'top_up')"
           " AND atoms > 0; UPDATE account_balance SET posted_atoms = posted_atoms + 1 WHERE account = (SELECT account"
           " FROM ledger_entry WHERE tx = (SELECT min(tx) FROM ledger_tx WHERE kind = 'top_up') AND atoms > 0)"),
    ("I2", "UPDATE account_balance SET posted_atoms = posted_atoms + 1 WHERE account = 33"),
    ("I2", "UPDATE project_spent SET atoms = atoms - 1 WHERE project = 1"),
    ("I3", "DELETE FROM request_open WHERE rid = (SELECT max(rid) FROM request_open)"),
    ("I4", "INSERT INTO request_open SELECT rid + 1, project, key, model, endpoint, price_version, estimate_in,"
           " max_out, n, hold_atoms, accepted_us, boot FROM request_open ORDER BY rid DESC LIMIT 1"),
    ("I5", "UPDATE ledger_tx SET at_us = at_us + 1 WHERE kind = 'usage' AND tx = (SELECT e.tx FROM ledger_entry e"
           " JOIN ledger_tx t ON t.tx = e.tx WHERE t.kind = 'usage' AND e.account % 32 = 1 LIMIT 1)"),
    ("I6", "UPDATE settlement SET outcome = 'failed_pre' WHERE rid = (SELECT min(rid) FROM settlement"
           " WHERE amount_atoms > 0)"),
    ("I6", "UPDATE settlement SET lines = replace(lines, '\"service_tier\":\"flex\"', '\"service_tier\":\"odd\"')"),
    ("I7", "UPDATE settlement SET lines = replace(lines, '\"context\":', '\"context\":-')"),
    ("I8", "UPDATE billing_period SET ends_us = ends_us + 1 WHERE id = 1"),
    ("I8", "DELETE FROM billing_period WHERE id = (SELECT max(id) FROM billing_period WHERE closed_us = 0)"),
    ("I8", "DELETE FROM ledger_entry WHERE tx = (SELECT min(tx) + 1 FROM ledger_tx WHERE kind = 'usage');"
           " DELETE FROM ledger_tx WHERE tx = (SELECT min(tx) + 1 FROM ledger_tx WHERE kind = 'usage')"),
    ("I8", "UPDATE ledger_tx SET at_us = at_us - 40000000000000 WHERE tx = (SELECT max(tx) FROM ledger_tx WHERE kind = 'usage')"),
    ("I8", "DELETE FROM charge WHERE id = (SELECT min(id) FROM charge)"),
    ("I8", "DELETE FROM payment WHERE id = (SELECT min(id) FROM payment)"),
    ("I9", "UPDATE usage_rollup SET qty = qty + 1 WHERE hour_us = (SELECT max(hour_us) FROM usage_rollup)"),
    ("I9", "UPDATE usage_rollup SET covered_atoms = covered_atoms + 1 WHERE hour_us = (SELECT min(hour_us)"
           " FROM usage_rollup)"),
    ("I9", "UPDATE settled_minute SET from_rid = from_rid + 1 WHERE minute_us = (SELECT min(minute_us) FROM settled_minute)"),
    ("I10", "UPDATE request_open SET hold_atoms = 0 WHERE rid = (SELECT min(rid) FROM settlement"
            " WHERE amount_atoms > 0)"),
    ("I11", "UPDATE fund SET amount_atoms = 1 WHERE id = (SELECT min(fund) FROM fund_balance WHERE drawn_atoms > 1)"),
    ("I11", "UPDATE fund_balance SET drawn_atoms = drawn_atoms + 1 WHERE fund = 1"),
    ("I12", "DROP TRIGGER document_stays_u"),
    ("I12", "UPDATE document SET number = series || '-900000' WHERE type = 380 AND number = (SELECT max(number)"
            " FROM document WHERE type = 380)"),
    ("I12", "UPDATE document SET gross_minor = gross_minor + 1 WHERE type = 380"),
    ("I13", "UPDATE document SET body = json_set(body, '$.totals.tax', '123456.00', '$.totals.gross', '1.00')"
            " WHERE type = 380 AND number = (SELECT min(number) FROM document WHERE type = 380)"),
    ("I14", "UPDATE document SET exact_atoms = exact_atoms + 1 WHERE type = 380"),
    ("I14", "DELETE FROM ledger_entry WHERE account % 32 = 4"),
    ("I15", "UPDATE document SET body = json_set(body, '$.lines[0].quantity', 1234567)"
            " WHERE type = 380 AND json_extract(body, '$.lines[0].category') = 'usage'"),
    ("I15", "UPDATE charge SET amount_atoms = amount_atoms + 1"),
    ("I15", "UPDATE document SET body = json_set(body, '$.lines[0].price_book', 'another') WHERE type = 380"
            " AND json_extract(body, '$.lines[0].category') = 'usage'"),
    ("I15", "UPDATE document SET body = replace(body, '\"list_unit_price\":\"', '\"list_unit_price\":\"1')"),
    ("I16", "UPDATE billing_period SET closed_us = starts_us + 1 WHERE closed_us <> 0"),
    ("I16", "UPDATE charge SET created_us = created_us + 40000000000000"),
    ("I17", "UPDATE credit_line SET net_minor = net_minor + 1"),
    ("I17", "UPDATE document SET body = json_set(body, '$.lines[0].net', '99999.00') WHERE type = 381"),
    ("I18", "UPDATE share SET amount_minor = amount_minor + 1 WHERE amount_minor > 0"),
    ("I18", "DELETE FROM share WHERE amount_minor < 0"),
    ("I19", "UPDATE price_version SET sha256 = zeroblob(32) WHERE id = 1"),
    ("I19", "UPDATE price_version SET effective_from_us = effective_from_us + 10000000000000 WHERE id = 1"),
    ("I19", "UPDATE request_open SET price_version = (SELECT list_version FROM price_layer y WHERE y.price_version ="
            " request_open.price_version) WHERE price_version IN (SELECT price_version FROM price_layer)"),
    ("I19", "UPDATE price_layer SET own_version = (SELECT max(own_version) FROM price_layer) WHERE price_version ="
            " (SELECT min(price_version) FROM price_layer)"),
    ("I19", "DELETE FROM price_layer"),
    ("I19", "UPDATE price_publication SET organization = organization + 1 WHERE owner_kind = 'contract'"),
    ("I19", "UPDATE price_publication SET effective_us = effective_us + 10000000000000 WHERE owner_kind = 'contract'"),
    ("I20", "INSERT INTO idempotency SELECT rid, project + 1, zeroblob(32), zeroblob(32), 0 FROM request_open LIMIT 1"),
    ("I20", "INSERT INTO idempotency_answer SELECT rid, 0, NULL, NULL, x'00' FROM settlement ORDER BY rid DESC LIMIT 1;"
            " DELETE FROM settlement WHERE rid = (SELECT max(rid) FROM settlement)"),
    ("I22", "UPDATE meta SET currency = 'XTS'"),
    ("I22", "UPDATE ledger_tx SET organization = organization + 1 WHERE kind = 'charge'"),
    ("I10", "UPDATE resale_hold SET hold_atoms = 0 WHERE rid = (SELECT min(rid) FROM resale WHERE amount_atoms > 0)"),
    ("I25", "DELETE FROM ledger_entry WHERE account % 32 = 12"),
    ("I27", "INSERT INTO hold_more SELECT rid, 1, 1, 0, NULL FROM resale_hold LIMIT 1"),
    ("I27", "INSERT INTO hold_more SELECT rid, 1, 1, 0, 1 FROM request_open WHERE rid NOT IN"
            " (SELECT rid FROM resale_hold) LIMIT 1"),
    ("I27", "DELETE FROM resale WHERE rid = (SELECT max(rid) FROM resale)"),
    ("I27", "DELETE FROM resale_hold WHERE rid = (SELECT max(rid) FROM resale); DELETE FROM resale"
            " WHERE rid = (SELECT max(rid) FROM resale)"),
    ("I27", "UPDATE resale SET lines = json_set(lines, '$[0][1]', 1234567) WHERE lines <> '[]'"),
    ("I27", "INSERT INTO resale_checkpoint SELECT rid, 1, 0, '[]' FROM settlement"
            " LIMIT 1"),
    ("I27", "UPDATE project SET wholesale = (SELECT max(wholesale) FROM project) WHERE wholesale IS NOT NULL"),
    ("I27", "UPDATE organization SET reseller = 9 WHERE reseller IS NOT NULL AND reseller <> 9"),
    ("I27", "INSERT INTO seller SELECT 99, 1, name, address, tax_id, series, tax_basis_points, 0 FROM seller LIMIT 1"),
    ("I27", "UPDATE document SET series = 'Y-2027' WHERE series LIKE 'ORG%'"),
    ("I25", "INSERT INTO cost_rollup VALUES (0, 1, 1, 1, 1, 1, 5, 0)"),
    *[("I26", f"UPDATE alert SET {change} WHERE id = (SELECT max(id) FROM alert WHERE threshold = 50 AND type LIKE '{kind}.%')")
      for kind, more in (("budget", "1"), ("credit", "1"), ("prepaid", "limit_atoms"))  # a top-up may be of another time
      for change in (f"spent_atoms = spent_atoms + {more}", "limit_atoms = 3 * limit_atoms, spent_atoms = spent_atoms - 1")],
]


@pytest.mark.short
@pytest.mark.parametrize("number, sql", CHANGES, ids=[f"{n}-{at}" for at, (n, _) in enumerate(CHANGES)])
def test_what_is_wrong_is_named(store, tmp_path, number, sql):
    path = tmp_path / "ledger.db"
    shutil.copy(store, path)
    db = sqlite3.connect(path)
    triggers = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        if name not in sql:
            db.execute(f"DROP TRIGGER {name}")
    before = db.total_changes
    for one in sql.split("; "):
        db.execute(one)
    assert db.total_changes > before or "DROP" in sql, "the year had nothing of that"
    for name, again in triggers:
        if name not in sql:
            db.execute(again)
    db.commit()
    db.close()
    numbers, said = ask(path)
    assert number in numbers, said[-2000:]


def test_every_invariant_is_asked_or_said_not_to_be():
    asked = {number for number, _, _ in invariants.CHECKS}
    assert asked | set(invariants.NOT_YET) == {f"I{n}" for n in range(1, 28)}
    assert asked <= {number for number, _ in CHANGES}
