"""What the ledger answered, in the words of year.py, and where the two differ."""
from datetime import datetime, timedelta
from fractions import Fraction

from terms import EPOCH, atoms_of
from year import Year


def minor_of(text, digits):
    return int(Fraction(text) * 10**digits)


def us_of(text):
    return (datetime.fromisoformat(text.replace("Z", "+00:00")) - EPOCH) // timedelta(microseconds=1)


def read_line(line, digits):
    read = {"line": line["line"], "net": minor_of(line["net"], digits),
            "tax": (line["tax_category"], line["tax_basis_points"])}
    if "invoice_line" in line:
        return {**read, "invoice_line": line["invoice_line"]}
    read |= {"category": line["category"], "exact": atoms_of(line["exact"])}
    if line["category"] in ("usage", "reversal", "volume"):
        read |= {"model": line["model"], "meter": line["meter"], "version": line["price_version"],
                 "book": line["price_book"],
                 "item": line.get("item", 0), "units": line["quantity"], "covered": atoms_of(line["covered"]),
                 "reversed": line.get("reversed", False)}
    return read


def read_document(d):
    """The JSON of a document, as Year says it."""
    digits, totals = d["minor_digits"], d["totals"]
    read = {"number": d["number"], "type": d["type"], "organization": d["organization"], "issued": d["issue_date"],
            "lines": [read_line(line, digits) for line in d["lines"]],
            "taxes": [(t["category"], t["basis_points"], minor_of(t["taxable"], digits), minor_of(t["tax"], digits))
                      for t in d["taxes"]],
            "net": minor_of(totals["net"], digits), "tax": minor_of(totals["tax"], digits)}
    assert minor_of(totals["gross"], digits) == read["net"] + read["tax"]
    if d["type"] == 381:
        return {**read, "exact": 0, "refers_to": d["refers_to"]}
    exact = atoms_of(totals["exact"])
    assert atoms_of(totals["rounding"]) == read["net"] * 10**(10 - digits) - exact
    p = d["period"]
    return {**read, "exact": exact, "due": d["due_date"], "zone": p["time_zone"], "first": p["first_day"],
            "period": (us_of(p["from"]), us_of(p["to"]))}


def read_answer(answer, digits):
    read = dict(answer)
    if answer.get("document"):
        read["document"] = read_document(answer["document"])
    if answer.get("statement"):
        s = answer["statement"]
        read["statement"] = {"total": minor_of(s["total"], digits), "lines": [
            (line["document"], line["line"], line["model"], minor_of(line["net"], digits), line["basis_points"],
             minor_of(line["amount"], digits)) for line in s["lines"]]}
    if "funds" in answer:
        read["funds"] = [(f["id"], f["kind"], atoms_of(f["amount"]), atoms_of(f["drawn"])) for f in answer["funds"]]
    if "of" in answer:
        read["of"] = [read_answer(a, digits) for a in answer["of"]]
    return read


def differences(expected, got, where=""):
    """Sentences: what the ledger said otherwise.  Only what is expected is looked at."""
    if isinstance(expected, dict) and isinstance(got, dict):
        for name, value in expected.items():
            yield from differences(value, got.get(name), f"{where}.{name}" if where else name)
    elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for i, (a, b) in enumerate(zip(expected, got)):
            yield from differences(a, b, f"{where}[{i}]")
    elif expected != got:
        yield f"{where} must be {expected!r}, the ledger says {got!r}"


def replay(commands, answers, digits, tax_points, enough=10):
    """(the year, [sentence...]): all that differs, until that is enough: one mistake leads to others."""
    year, found = Year(digits, tax_points), []
    for at, (c, answer) in enumerate(zip(commands, answers)):
        expected = {"status": "OK", **year.do(c, answer)}
        got = read_answer(answer, digits)
        found += [f"command {at} ({c['do']}): {text}" for text in differences(expected, got)]
        if len(found) >= enough:
            break
    return year, found
