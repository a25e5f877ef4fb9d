"""What every invoice of a year must be: the rules of finance once more, in rational numbers.

It shares nothing with the daemon.  It is told what happened (requests with what they used, price
books, contracts, funds, credit notes: the commands of tests/oracle/ledger_main.c) and says what
the ledger must answer: whether a hold is admitted, what a request costs and which funds pay it,
each document to the last atom, each partner's statement.  Written from docs/finance.md and the
headers of billing/; where rates come from is rate.py.

Money is a whole number of atoms, 1e-10 of the unit; `minor` is whole cents or what the currency has.
"""
import collections
from fractions import Fraction

import rate
from terms import (DAY_US, METERS, NO_END, NO_LIMIT, US, WHOLE, Closing, Contract, Fund, Organization, Period, Project,
                   day_start, day_text, half_up, local, month_after, month_of, split)


class Year:
    def __init__(self, digits, tax_points):
        self.digits, self.unit, self.tax_points = digits, 10**(10 - digits), tax_points
        self.organizations, self.projects, self.rules = {}, {}, []
        self.list, self.own, self.books, self.versions, self.names = {}, {}, {}, {}, {}
        self.holds, self.documents, self.numbers = {}, {}, collections.Counter()
        self.credited, self.paid = collections.Counter(), collections.Counter()  # minor, by (invoice, line); by invoice
        self.approved = set()
        self.shares = []  # (document, issued, line, partner, model, net, points, minor)
        self.funds = 0
        self.now = 0

    # ---- facts ----

    def do(self, c, answer):
        """Applies a command; what it must have given.  `answer` gives what only the other side knows:
        ids, and the amount of a hold, which is the gateway's to choose."""
        self.now = c.get("now", self.now)
        return getattr(self, "do_" + c["do"])(c, answer)

    def do_tick(self, c, answer):
        return {}

    def do_audit(self, c, answer):
        return {"problems": []}

    def do_restart(self, c, answer):
        for rid in list(self.holds):
            self.release(self.holds.pop(rid))
        return {}

    def do_organization(self, c, answer):
        o = self.organizations[c["slug"]] = Organization(c["slug"])
        o.seller = self.organizations.get(c.get("reseller"))
        return {}

    def do_seller(self, c, answer):
        o = self.organizations[c["organization"]]
        o.series, o.tax_points = c["series"], c["tax_basis_points"]
        return {}

    def do_project(self, c, answer):
        self.projects[answer["id"]] = Project(self.organizations[c["organization"]], c.get("budget", NO_LIMIT),
                                              c["period"] == "month")
        if self.organizations[c["organization"]].seller:  # the reseller's project for it
            self.projects[answer["twin"]] = Project(self.organizations[c["organization"]].seller, NO_LIMIT, False)
        return {}

    def do_contract(self, c, answer):
        o = self.organizations[c["organization"]]
        old, plan = o.contracts[-1], dict(o.contracts[-1].plan)
        for name, value in c["plan"].items():
            plan[name] = value
            if value is None:
                del plan[name]
        o.contracts.append(Contract(c["starts"], c.get("credit", old.credit), c.get("time_zone", old.zone), plan))
        return {}

    def do_fund(self, c, answer):
        o = self.organizations[c["organization"]]
        self.funds += 1
        o.funds.append(Fund(self.funds, c["kind"], c.get("model", ""), c.get("priority", 0),
                            c.get("from", self.now), c.get("to", NO_END), c["amount"], self.now))
        if c["kind"] == "commit":
            self.charge(o, "commitment", c["amount"], self.now)
        return {"id": self.funds}

    def do_funds(self, c, answer):
        o = self.organizations[c["organization"]]
        return {"funds": [(f.id, f.kind, f.amount, f.drawn) for f in o.funds]}

    def charge(self, o, kind, amount, at, tax=None):
        o.charges.append((at, kind, amount, tax))
        o.unbilled += amount

    def do_charge(self, c, answer):
        tax = (c["tax_category"], c["tax_basis_points"]) if "tax_category" in c else None
        self.charge(self.organizations[c["organization"]], "other", c["amount"], self.now, tax)
        return {}

    def do_publish(self, c, answer):
        """The list, or the book of an organization on it: what that says of a meter holds instead.  The numbers
        of what comes of them are the ledger's; there is one for the list and for each that has a book."""
        if "for" in c:
            self.own[c["for"] + ("~" if c.get("resale") else "")] = c["book"], rate.read_book(c["text"])
        else:
            self.list = rate.read_book(c["text"])
        said = {slug: book for slug, book in self.own.items() if book[1]}
        self.versions = {slug: answer["versions"].get(slug) for slug in ("", *said)}
        for slug, version in self.versions.items():
            name, own = said.get(slug, ("list", {}))
            self.books[version] = {model: {**self.list.get(model, {}), **own.get(model, {})}
                                   for model in {**self.list, **own}}
            self.names[version] = {(model, meter): name if meter in own.get(model, {}) else "list"
                                   for model, meters in self.books[version].items() for meter in meters}
        return {"versions": self.versions} if set(answer["versions"]) == set(self.versions) else {"versions": "others"}

    def do_rule(self, c, answer):
        self.rules.append((c["model"], c["partner"], c["basis_points"], self.now))
        return {}

    # ---- requests ----

    def enter_period(self, o):
        p = o.period_at(self.now)
        if p:
            return p
        zone = o.contract(self.now).zone
        month = month_of(zone, self.now)
        ends = [p.end for p in o.periods if month[0] < p.end <= self.now]
        p = Period(max([month[0], *ends]), month[1])
        included = o.contract(self.now).money("included")
        if included and not ends:
            carried = sum(f.left() for f in o.funds if f.period and f.end == p.start)
            carried = carried * o.contract(self.now).plan.get("rollover_basis_points", 0) // WHOLE
            self.funds += 1
            o.funds.append(Fund(self.funds, "promo", "", 0, p.start, p.end, included + carried, self.now, p))
        o.periods.append(p)
        return p

    def do_many(self, c, answer):
        return {"of": [self.do(one, a) for one, a in zip(c["of"], answer["of"])]}

    def leg(self, number, c, amount):
        """What a project would hold: None when its budget or its organization does not cover it."""
        project = self.projects[number]
        o, period = project.organization, self.enter_period(project.organization)
        spent = period.spent[number] if project.monthly else project.total
        planned = o.plan_draws(c["model"], amount, self.now)
        if spent + project.held + amount > project.budget or planned is None:
            return None
        return {"number": number, "project": project, "amount": amount, "draws": planned[0], "credit": planned[1]}

    def versions_of(self, legs):
        """By the book of who pays; who buys from a reseller by that one's book for it, else as the reseller."""
        payer = legs[0]["project"].organization.slug
        version = self.versions.get(payer, self.versions[""])
        return [version, self.versions.get(payer + "~", version)]

    def do_hold(self, c, answer):
        """Of who buys from a reseller both hold it, or neither."""
        legs = [self.leg(c[who], c, answer[hold]) for who, hold in (("project", "hold"), ("customer", "retail_hold"))
                if who in c]
        if None in legs:
            return {"status": "NO_QUOTA"}
        for leg in legs:
            for fund, part in leg["draws"]:
                fund.marked += part
            leg["project"].organization.held += leg["credit"]
            leg["project"].held += leg["amount"]
        for leg, version in zip(legs, self.versions_of(legs)):
            leg["version"] = version
        self.holds[c["rid"]] = {"command": c, "legs": legs, "accepted": c.get("accepted", self.now)}
        return {"status": "OK"}

    def release(self, hold):
        for leg in hold["legs"]:
            for fund, part in leg["draws"]:
                fund.marked -= part
            leg["project"].organization.held -= leg["credit"]
            leg["project"].held -= leg["amount"]

    def bill(self, hold, version, period, usage):
        """Lines (meter, number, units, atoms)."""
        c = hold["command"]
        prices = self.books[version][c["model"]]
        before = {(meter, n): period.counts[c["model"], meter, item.series()]
                  for meter in usage for n, item in enumerate(prices.get(meter, []))}
        dims = {name: c.get(name) for name in rate.DIMS}
        usage = {meter: usage[meter] for meter in METERS if meter in usage}
        lines, _ = rate.rate(prices, usage, dims, hold["accepted"], before)
        for meter, n, units, _, _, _ in lines:
            if prices[meter][n].periodic():
                period.counts[c["model"], meter, prices[meter][n].series()] += units
        return [(meter, n, units, amount) for meter, n, units, _, amount, _ in lines]

    def do_settle(self, c, answer):
        hold = self.holds.pop(c["rid"])
        periods = [self.enter_period(leg["project"].organization) for leg in hold["legs"]]
        self.release(hold)
        paid = [self.pay(hold, leg, period, c["usage"] or {}) for leg, period in zip(hold["legs"], periods)]
        return {"status": "OK", **paid[0], **({"retail": paid[1]} if paid[1:] else {})}

    def pay(self, hold, leg, period, usage):
        project, number = leg["project"], leg["number"]
        lines = self.bill(hold, leg["version"], period, usage)
        amount = sum(line[3] for line in lines)
        paid, left = [], amount
        for fund, part in leg["draws"]:
            if left:
                paid.append((fund, min(part, left)))
                fund.drawn += paid[-1][1]
                left -= paid[-1][1]
        project.organization.unbilled += left
        project.total += amount
        period.spent[number] += amount
        purse = [[fund, part] for fund, part in paid]
        for meter, n, units, atoms in lines:
            key = hold["command"]["model"], METERS.index(meter), leg["version"], n
            rest = atoms
            while rest and purse:
                part = min(rest, purse[0][1])
                period.paid[key][purse[0][0]] += part
                purse[0][1] -= part
                rest -= part
                if not purse[0][1]:
                    purse.pop(0)
            for i, value in enumerate((units, atoms, atoms - rest)):
                period.usage[key][i] += value
        return {"amount": amount, "draws": [[f.id, part] for f, part in paid]}

    # ---- documents ----

    def number(self, series, zone):
        series = f"{series}-{local(zone, self.now).year}"
        self.numbers[series] += 1
        return f"{series}-{self.numbers[series]:06}"

    def series_of(self, document):
        seller = self.organizations[document["organization"]].seller
        return seller.series if seller else "Y"

    def find_period(self, o, month):
        """The first period of the month that is not closed, else (when the month is over) what follows the
        last one, or the last; all of the month when it has none."""
        year, number = map(int, month.split("-"))
        a, b = day_start(o.zone(), year, number, 1), day_start(o.zone(), *month_after(year, number), 1)
        found = [p for p in o.periods if a <= p.start < b]
        found = [p for p in found if not p.closed] or found[-1:]
        if not found:
            return Period(a, b)
        if found[0].closed and found[0].end < b <= self.now:
            return Period(found[0].end, b)
        return found[0]

    def add_line(self, d, line, exact, tax):
        minor = half_up(Fraction(exact, self.unit))
        d["lines"].append({**line, "line": len(d["lines"]) + 1, "exact": exact, "net": minor, "tax": tax})

    def given_back(self, period):
        """{line of usage: what it comes to}, where a volume price gives back of what was charged."""
        total, items, due = collections.Counter(), {}, {}
        for key, (units, _, _) in period.usage.items():
            model, meter, version, n = key
            items[key] = self.books[version][model][METERS[meter]][n]
            total[model, meter, items[key].series()] += units
        for key, (units, atoms, _) in sorted(period.usage.items()):
            if items[key].kind == "volume":
                _, right = items[key].close(0, units, total[key[0], key[1], items[key].series()], atoms)
                if right < atoms:
                    due[key] = right
        return due

    def add_back(self, d, period, due, tax):
        """A line that takes the usage back as it is owed, and the right one."""
        for key, right in due.items():
            units, atoms, covered = period.usage[key]
            of = dict(zip(("model", "meter", "version", "item"), (key[0], METERS[key[1]], *key[2:])))
            of["book"] = self.names[of["version"]][of["model"], of["meter"]]
            owed = max(0, right - covered)
            self.add_line(d, {"category": "reversal", **of, "units": -units, "covered": -covered}, covered - atoms, tax)
            self.add_line(d, {"category": "volume", **of, "units": units, "covered": right - owed}, owed, tax)

    def post_back(self, o, period, due):
        """What is owed becomes less; what funds paid too much is in new funds of the same kind."""
        for key, right in due.items():
            _, atoms, covered = period.usage[key]
            o.unbilled -= atoms - covered - max(0, right - covered)
            back, upto, before = covered - right, 0, 0
            for fund, part in sorted(period.paid[key].items(), key=lambda f: f[0].id) if back > 0 else []:
                upto += part
                share = half_up(Fraction(back * upto, covered)) - before
                before += share
                if share:
                    self.funds += 1
                    o.funds.append(Fund(self.funds, fund.kind, fund.model, fund.priority, self.now,
                                        max(fund.end, self.now + 31 * DAY_US), share, self.now))

    def draft(self, o, period):
        """The lines of an invoice; the closing is written into the books first."""
        contract = o.contract(period.end - 1)
        points = o.seller.tax_points if o.seller else self.tax_points
        category = contract.plan.get("tax_category", "S")
        points = 0 if category in ("Z", "E", "AE", "K", "G", "O") else points
        tax = category, contract.plan.get("tax_basis_points", points)
        d = {"lines": [], "organization": o.slug}
        due = self.given_back(period)
        used = sum(due.get(key, atoms) for key, (_, atoms, _) in period.usage.items())
        for kind, amount in Closing(o, period).charges(used):
            self.charge(o, kind, amount, period.end - 1)
        for (model, meter, version, n), (units, atoms, covered) in sorted(period.usage.items()):
            self.add_line(d, {"category": "usage", "model": model, "meter": METERS[meter], "version": version,
                              "item": n, "units": units, "covered": covered,
                              "book": self.names[version][model, METERS[meter]],
                              "reversed": (model, meter, version, n) in due}, atoms - covered, tax)
        self.add_back(d, period, due, tax)
        for at, kind, amount, own in o.charges:
            if period.start <= at < period.end:
                self.add_line(d, {"category": kind}, amount, own or tax)
        return d, contract

    def total(self, d):
        nets = collections.Counter()
        for line in d["lines"]:
            nets[line["tax"]] += line["net"]
        d["taxes"] = [(*group, net, half_up(Fraction(net * group[1], WHOLE))) for group, net in sorted(nets.items())]
        d["net"] = sum(line["net"] for line in d["lines"])
        d["tax"] = sum(group[3] for group in d["taxes"])
        d["exact"] = sum(line["exact"] for line in d["lines"])

    def do_approve(self, c, answer):
        o = self.organizations[c["organization"]]
        period = self.find_period(o, c["month"])
        if period.closed:
            return {"status": "CONFLICT"}
        self.approved.add((o.slug, period.start))
        return {}

    def do_issue(self, c, answer):
        o = self.organizations[c["organization"]]
        period = self.find_period(o, c["month"])
        if period.closed:
            return {"document": period.closed}
        if o.contract(period.end - 1).plan.get("approval") and (o.slug, period.start) not in self.approved:
            return {"status": "FORBIDDEN"}
        d, contract = self.draft(o, period)
        self.total(d)
        d.update(number=self.number(o.seller.series if o.seller else "Y", contract.zone), type=380, first=day_text(contract.zone, period.start),
                 period=(period.start // US * US, period.end // US * US), zone=contract.zone,
                 issued=day_text(contract.zone, self.now),
                 due=day_text(contract.zone, self.now + contract.plan.get("payment_days", 30) * DAY_US))
        if period not in o.periods:
            o.periods = sorted([*o.periods, period], key=lambda p: p.start)
        period.closed = d
        self.post_back(o, period, self.given_back(period))
        o.unbilled -= d["exact"]
        o.receivable += (d["net"] + d["tax"]) * self.unit
        self.documents[d["number"]] = d
        for line in d["lines"] if not o.seller else []:  # partners earn by what the operator sells
            if line["category"] == "volume" or (line["category"] == "usage" and not line["reversed"]):
                self.share(d["number"], line)
        return {"document": d}

    def tax_after(self, invoice, group, net):
        """All of a group gives all of its tax."""
        whole = next(g for g in invoice["taxes"] if g[:2] == group)
        return whole[3] if net == whole[2] else half_up(Fraction(net * group[1], WHOLE))

    def do_credit(self, c, answer):
        invoice = self.documents[c["invoice"]]
        d = {"lines": [], "organization": invoice["organization"], "type": 381, "refers_to": c["invoice"]}
        for line in invoice["lines"]:
            left = line["net"] - self.credited[c["invoice"], line["line"]]
            if c.get("line", 0) not in (0, line["line"]):
                continue
            if line.get("reversed") or line["category"] == "reversal":
                if c.get("amount"):
                    return {"status": "BAD_FIELD"}
                continue
            minor = half_up(Fraction(c["amount"]) * 10**self.digits) if c.get("amount") else left
            if minor > left:
                return {"status": "BAD_FIELD"}
            if minor > 0:
                d["lines"].append({"line": len(d["lines"]) + 1, "invoice_line": line["line"], "net": minor,
                                   "tax": line["tax"]})
        if not d["lines"]:
            return {"status": "BAD_FIELD"}
        taxes = []
        for group in sorted({line["tax"] for line in d["lines"]}):
            before = sum(self.credited[c["invoice"], line["line"]] for line in invoice["lines"] if line["tax"] == group)
            net = sum(line["net"] for line in d["lines"] if line["tax"] == group)
            taxes.append((*group, net, self.tax_after(invoice, group, before + net)
                          - self.tax_after(invoice, group, before)))
        d.update(taxes=taxes, net=sum(line["net"] for line in d["lines"]), tax=sum(t[3] for t in taxes), exact=0,
                 number=self.number(self.series_of(invoice) + "-CN", invoice["zone"]), issued=day_text(invoice["zone"], self.now))
        o = self.organizations[invoice["organization"]]
        o.receivable -= (d["net"] + d["tax"]) * self.unit
        self.documents[d["number"]] = d
        for line in d["lines"]:
            self.take_back(d["number"], c["invoice"], invoice["lines"][line["invoice_line"] - 1], line["net"])
            self.credited[c["invoice"], line["invoice_line"]] += line["net"]
        return {"document": d}

    def do_pay(self, c, answer):
        d, minor = self.documents[c["number"]], half_up(Fraction(c["amount"]) * 10**self.digits)
        notes = [n for n in self.documents.values() if n.get("refers_to") == c["number"]]
        if minor > d["net"] + d["tax"] - self.paid[c["number"]] - sum(n["net"] + n["tax"] for n in notes):
            return {"status": "BAD_FIELD"}
        self.paid[c["number"]] += minor
        self.organizations[d["organization"]].receivable -= minor * self.unit
        return {}

    def do_cut(self, c, answer):
        self.organizations[c["organization"]].period_at(self.now).end = self.now + 1
        return {}

    # ---- who else earns ----

    def parties(self, model):
        """{partner: points} by each one's newest rule, the more exact pattern first."""
        best = {}
        for number, (pattern, partner, points, since) in enumerate(self.rules):
            if pattern == model or (pattern.endswith("/") and model.startswith(pattern)):
                rank = len(pattern), since, number
                if partner not in best or rank > best[partner][0]:
                    best[partner] = rank, points
        order = list(self.organizations)  # as they were made
        return {p: best[p][1] for p in sorted(best, key=order.index) if best[p][1]}

    def write_share(self, document, line, partner, model, net, points, minor):
        if minor:
            self.shares.append((document, self.now, line, partner, model, net, points, minor))

    def share(self, document, line):
        parties = self.parties(line["model"])
        if not parties:
            return
        points = [*parties.values(), WHOLE - sum(parties.values())]
        for (partner, own), minor in zip(parties.items(), split(line["net"], points)):
            self.write_share(document, line["line"], partner, line["model"], line["net"], own, minor)

    def take_back(self, note, invoice, line, credit):
        given = [s for s in self.shares if s[0] == invoice and s[2] == line["line"]]
        if not given:
            return
        notes = {d["number"] for d in self.documents.values() if d.get("refers_to") == invoice}
        held = [s[7] + sum(t[7] for t in self.shares if t[0] in notes and t[2:4] == s[2:4]) for s in given]
        held.append(line["net"] - self.credited[invoice, line["line"]] - sum(held))
        for s, minor in zip(given, split(credit, held)):
            self.write_share(note, line["line"], s[3], s[4], credit, s[6], -minor)

    def do_statement(self, c, answer):
        year, month = map(int, c["month"].split("-"))
        a, b = day_start("UTC", year, month, 1), day_start("UTC", *month_after(year, month), 1)
        own = [s for s in self.shares if s[3] == c["partner"] and a <= s[1] < b]
        lines = [(s[0], s[2], s[4], s[5], s[6], s[7]) for s in sorted(own, key=lambda s: (s[1], s[0], s[2]))]
        return {"statement": {"lines": lines, "total": sum(line[5] for line in lines)}}
