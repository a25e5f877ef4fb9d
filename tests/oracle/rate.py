"""What usage costs by the text of a price book: the rules once more, in rational numbers.

It shares nothing with the daemon but the text (billing/pricebook.h says its form) and is written
from the rules alone, so that a mistake would have to be made twice to go unseen:

  a line is its quantity times its price, rounded half to even to whole atoms
  of the prices of a meter that fit a request, the one that names most dimensions holds
  included units of a period come first; graduated units cost what their tier says, volume units
  the dearest tier's price until the close and then the price of the tier that the total is in,
  packages count when they are begun, a flat amount once a request or once a period
"""
from datetime import datetime, timedelta, timezone
from fractions import Fraction

DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
DIMS = ("size", "quality", "service_tier")
INPUT = {"input_uncached_tokens", "input_cached_tokens", "input_cache_write_tokens",
         "input_cache_write_1h_tokens", "input_audio_tokens", "input_image_tokens",
         "input_video_tokens"}
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def atoms(exact):
    return round(exact)  # Python rounds a Fraction half to even


def ceiling(exact):
    return -(-exact.numerator // exact.denominator)


def price_of(text):
    amount, units = text.split("/")
    return Fraction(int(amount), int(units))


class Item:
    """One line of a book, behind its model and meter."""

    def __init__(self, text):
        words = text.split(" ")
        if len(words) == 1:
            words = ["unit", *words]
        self.kind, amount = words[0], words[1]
        self.context, self.dims, self.time, self.list = (0, None), {}, None, None
        for word in words[2:]:
            name, value = word.split("=")
            if name == "context":
                low, high = value.split("..")
                self.context = int(low), int(high) if high else None
            elif name == "time":
                self.time = self.hours(value)
            elif name == "list":
                self.list = price_of(value)
            else:
                self.dims[name] = value
        getattr(self, "read_" + self.kind)(amount)

    def read_unit(self, text):
        self.price = price_of(text)

    def read_package(self, text):
        self.amount, self.units = (int(n) for n in text.split("/"))

    def read_flat(self, text):
        amount, self.each = text.split("/")
        self.amount = int(amount)

    def read_included(self, text):
        self.free = int(text)

    def read_graduated(self, text):
        self.tiers = []
        for tier in text.split(","):
            end, price = tier.split(":")
            self.tiers.append((None if end == "*" else int(end), price_of(price)))

    read_volume = read_graduated

    @staticmethod
    def hours(text):
        _, days, windows = text.split("/")
        return {DAYS.index(d) for d in days.split(",")}, [w.split("-") for w in windows.split(",")]

    def fits(self, context, dims, accepted_us):
        low, high = self.context
        if context < low or (high is not None and context > high):
            return False
        if any(dims.get(name) != value for name, value in self.dims.items()):
            return False
        if self.time is None:
            return True
        when = EPOCH + timedelta(microseconds=accepted_us)
        clock = when.strftime("%H:%M")
        return when.weekday() in self.time[0] and any(a <= clock < b for a, b in self.time[1])

    def names(self):
        return len(self.dims) + (self.time is not None)

    def series(self):
        """What a period counts it by: all but its amounts."""
        return self.kind, getattr(self, "each", None), self.context, tuple(sorted(self.dims.items())), str(self.time)

    def tier_parts(self, before, end):
        """(units, price) of what lies after `before` up to `end` in each tier."""
        start = 0
        for up_to, price in self.tiers:
            stop = end if up_to is None else up_to
            units = min(stop, end) - max(start, before)
            if units > 0:
                yield units, price
            start = stop

    def periodic(self):
        return self.kind not in ("unit", "flat") or (self.kind == "flat" and self.each == "period")

    def packages(self, before, end):
        return ceiling(Fraction(end, self.units)) - ceiling(Fraction(before, self.units))

    def charge(self, before, qty):
        """What a request pays for qty units that come after `before` others of the period."""
        if self.kind == "unit":
            return atoms(qty * self.price)
        if self.kind == "graduated":
            return sum(atoms(units * price) for units, price in self.tier_parts(before, before + qty))
        if self.kind == "volume":
            return atoms(qty * max(price for _, price in self.tiers))
        if self.kind == "package":
            return self.packages(before, before + qty) * self.amount
        if self.kind == "flat":
            return 0 if self.each == "period" and before else self.amount
        return 0

    def close(self, before, qty, total, charged):
        """([(units, atoms)...], what the period comes to): the first line takes back what was charged."""
        if not self.periodic():
            return [], charged
        if self.kind == "graduated":
            right = [(u, atoms(u * p)) for u, p in self.tier_parts(before, before + qty)]
        elif self.kind == "volume":
            price = next(p for up_to, p in self.tiers if up_to is None or total <= up_to)
            right = [(qty, atoms(qty * price))] if qty else []
        elif self.kind == "package":
            count = self.packages(before, before + qty)
            right = [(count, count * self.amount)] if count else []
        elif self.kind == "flat":
            right = [(1, self.amount)] if qty and not before else []
        else:
            right = []
        comes_to = sum(amount for _, amount in right)
        if comes_to == charged:
            return [], comes_to
        return ([(qty, -charged)] if charged else []) + right, comes_to


def read_book(text):
    """{model: {meter: [Item...]}}; the place in the list is the number of the item."""
    book = {}
    for line in text.splitlines():
        if not line.startswith("currency "):
            model, meter, item = line.split(" ", 2)
            book.setdefault(model, {}).setdefault(meter, []).append(Item(item))
    return book


def holding(items, context, dims, accepted_us):
    """The number of the item that holds; None when none does or two do equally."""
    fit = [n for n, i in enumerate(items) if i.kind != "included" and i.fits(context, dims, accepted_us)]
    if not fit:
        return None
    most = max(items[n].names() for n in fit)
    best = [n for n in fit if items[n].names() == most]
    return best[0] if len(best) == 1 else None


def rate(prices, usage, dims, accepted_us, before=None):
    """Lines (meter, item, units, before, atoms, atoms at list) and the meters without a price."""
    before, lines, unpriced = before or {}, [], set()
    context = sum(qty for meter, qty in usage.items() if meter in INPUT)

    def line(meter, number, qty):
        item = prices[meter][number]
        had = before.get((meter, number), 0) if item.periodic() else 0
        amount = item.charge(had, qty)
        lines.append((meter, number, qty, had, amount,
                      amount if item.list is None else atoms(qty * item.list)))

    for meter, qty in usage.items():
        items = prices.get(meter)
        if not qty:
            continue
        if not items:
            unpriced.add(meter)
            continue
        if items[0].kind == "included":
            free = min(qty, max(0, items[0].free - before.get((meter, 0), 0)))
            if free:
                line(meter, 0, free)
            qty -= free
        if qty:
            number = holding(items, context, dims, accepted_us)
            if number is None:
                unpriced.add(meter)
            else:
                line(meter, number, qty)
    return lines, unpriced
