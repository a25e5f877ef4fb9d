"""Contracts, funds and periods, and what a period costs beside usage: for year.py, by the rules alone.

Money is a whole number of atoms, 1e-10 of the unit; time is in microseconds since 1970.
"""
import collections
import itertools
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from zoneinfo import ZoneInfo

NO_END = 2**63 - 1
NO_LIMIT = 9 * 10**18
US = 1000000
DAY_US, HOUR_US = 86400 * US, 3600 * US
KINDS = ["promo", "commit", "prepaid"]
FUNDS_A_REQUEST = 8
WHOLE = 10000  # basis points
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
METERS = ["requests", "input_uncached_tokens", "input_cached_tokens", "input_cache_write_tokens",
          "output_text_tokens", "output_reasoning_tokens", "images", "characters", "audio_ms",
          "compute_ms", "tensor_elements", "input_audio_tokens", "output_audio_tokens",
          "input_image_tokens", "output_image_tokens", "video_ms", "input_cache_write_1h_tokens",
          "input_video_tokens"]


def half_up(exact):
    """Half away from zero."""
    exact = Fraction(exact)
    size = (abs(exact) * 2 + 1) // 2
    return int(size) if exact >= 0 else -int(size)


def atoms_of(text):
    return int(Fraction(text) * 10**10)


def split(whole, weights):
    """Largest remainder; of equal ones the first."""
    parts = [whole * w // sum(weights) for w in weights]
    losses = sorted(range(len(weights)), key=lambda i: (-(whole * weights[i] % sum(weights)), i))
    for i in losses[:whole - sum(parts)]:
        parts[i] += 1
    return parts


# ---- local time ----

def local(zone, us):
    return (EPOCH + timedelta(microseconds=us)).astimezone(ZoneInfo(zone))


def day_start(zone, year, month, day):
    """The instant at which a local day begins; a day that is too large runs on."""
    naive = datetime(year, month, 1) + timedelta(days=day - 1)
    at = naive.replace(tzinfo=ZoneInfo(zone)).astimezone(timezone.utc)
    return (at - EPOCH) // timedelta(microseconds=1)


def month_after(year, month):
    return (year + 1, 1) if month == 12 else (year, month + 1)


def month_of(zone, us):
    """The local month that an instant lies in, as instants."""
    t = local(zone, us)
    return day_start(zone, t.year, t.month, 1), day_start(zone, *month_after(t.year, t.month), 1)


def days(zone, a, b):
    return (local(zone, b).date() - local(zone, a).date()).days


def day_text(zone, us):
    return local(zone, us).date().isoformat()


# ---- who pays ----

class Fund:
    def __init__(self, number, kind, model, priority, start, end, amount, created, period=None):
        self.id, self.kind, self.model, self.priority = number, kind, model, priority
        self.start, self.end, self.amount, self.created, self.period = start, end, amount, created, period
        self.drawn = self.marked = 0

    def left(self):
        return self.amount - self.drawn - self.marked

    def order(self):
        return (KINDS.index(self.kind), not self.model, self.period is None, self.priority, self.end,
                self.created, self.id)

    def serves(self, model, now):
        return self.left() > 0 and self.model in ("", model) and self.start <= now < self.end


class Period:
    def __init__(self, start, end):
        self.start, self.end, self.closed = start, end, False
        self.usage = collections.defaultdict(lambda: [0, 0, 0])  # line -> units, atoms, covered
        self.paid = collections.defaultdict(collections.Counter)  # line -> atoms by fund
        self.counts = collections.Counter()
        self.spent = collections.Counter()  # by project


class Contract:
    def __init__(self, starts, credit, zone, plan):
        self.starts, self.credit, self.zone, self.plan = starts, credit, zone, plan

    def money(self, name):
        return atoms_of(self.plan.get(name, "0"))

    def fee(self):
        return self.money("fee"), self.plan.get("fee_every", "month") == "year"


class Organization:
    def __init__(self, slug):
        self.slug = slug
        self.seller, self.series, self.tax_points = None, None, 0  # from whom it buys; how it numbers and taxes as one
        self.contracts = [Contract(0, NO_LIMIT, "UTC", {})]
        self.funds, self.periods, self.charges = [], [], []
        self.unbilled = self.receivable = self.held = 0  # held: on credit

    def contract(self, us):
        return [c for c in self.contracts if c.starts <= us][-1]

    def zone(self):
        return self.contracts[-1].zone

    def period_at(self, us):
        return next((p for p in self.periods if p.start <= us < p.end), None)

    def plan_draws(self, model, amount, now):
        """([(fund, atoms)], what credit must cover); None: it is not covered."""
        draws = []
        for fund in sorted(self.funds, key=Fund.order):
            if not amount or len(draws) == FUNDS_A_REQUEST:
                break
            if fund.serves(model, now):
                draws.append((fund, min(fund.left(), amount)))
                amount -= draws[-1][1]
        taken = self.unbilled + self.receivable + self.held + amount
        return None if amount and taken > self.contract(now).credit else (draws, amount)


class Project:
    def __init__(self, organization, budget, monthly):
        self.organization, self.budget, self.monthly = organization, budget, monthly
        self.held = self.total = 0


# ---- what a period costs beside usage ----

class Closing:
    """The charges of a period: [(kind, atoms)]."""

    def __init__(self, organization, period):
        self.o, self.period, self.zone = organization, period, organization.contract(period.end - 1).zone
        self.month = month_of(self.zone, period.start)
        starts = [c.starts for c in self.o.contracts if period.start < c.starts < period.end]
        edges = [period.start, *starts, period.end]
        self.segments = [(a, b, self.o.contract(a)) for a, b in zip(edges, edges[1:])]

    def by_days(self, amount, a, b):
        return half_up(Fraction(amount * days(self.zone, a, b), days(self.zone, *self.month)))

    def joined(self, terms):
        """(from, to, contract) with neighbours of the same terms as one."""
        for _, group in itertools.groupby(self.segments, lambda s: terms(s[2])):
            group = list(group)
            yield group[0][0], group[-1][1], group[0][2]

    def began(self, contract):
        """When contracts that ask for this fee began, one after the other."""
        at = self.o.contracts.index(contract)
        while at and self.o.contracts[at - 1].fee() == contract.fee():
            at -= 1
        return self.o.contracts[at].starts

    def fees(self):
        for a, b, contract in self.joined(Contract.fee):
            fee, yearly = contract.fee()
            if not fee:
                continue
            if not yearly:
                yield "subscription", self.by_days(fee, a, b)
                continue
            began = self.began(contract)
            first, year = local(self.zone, began), local(self.zone, self.period.start).year
            for y in (year, year + 1):
                due = began if y == first.year else day_start(self.zone, y, first.month, first.day)
                if y >= first.year and a <= due < b:
                    yield "subscription", fee
                    break

    def reserved(self):
        for a, b, contract in self.segments:
            for r in contract.plan.get("reserved", []):
                hours, rest = divmod(b - a, HOUR_US)
                hourly = atoms_of(r["hourly"]) * r["units"]
                yield "reserved", hourly * hours + half_up(Fraction(hourly * rest, HOUR_US))

    def charges(self, used):
        minimum = sum(self.by_days(c.money("minimum"), a, b)
                      for a, b, c in self.joined(lambda c: c.money("minimum")))
        listed = [*self.fees(), *self.reserved(), ("minimum", max(0, minimum - used))]
        return [(kind, amount) for kind, amount in listed if amount]
