"""A year of business, by a seed: who buys what under which contract, and what goes wrong.

Sends commands to ledger_oracle (tests/oracle/ledger_main.c) and keeps them with the answers.
Nothing here knows what anything costs.  Whole seconds are for what begins and ends (months,
funds, contracts); requests come between them, so that a batch never stands on an edge.
"""
import heapq
import itertools
import json
import random
import re
import subprocess
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import rate

US = 1000000
DAY_US = 86400 * US
START = int(datetime(2027, 1, 1, tzinfo=timezone.utc).timestamp()) * US
ZONES = ["UTC", "Europe/Berlin", "Asia/Shanghai", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia",
         "America/New_York", "Asia/Kolkata"]
# code, digits, the seller's tax in basis points, what a price is multiplied by to come to whole units now and then
CURRENCIES = [("USD", 2, 600, 1), ("EUR", 2, 1900, 1), ("JPY", 0, 1000, 150), ("KWD", 3, 0, 1), ("CNY", 2, 1300, 7)]
RESOLD = {"org1": "org0", "org2": "org0", "org4": "org3"}  # who buys from whom
BOUNDS = {"images": "images", "characters": "characters", "audio_ms": "audio_ms", "compute_ms": "compute_ms",
          "tensor_elements": "tensor_elements", "video_ms": "video_ms"}
OUTPUT = {"output_text_tokens", "output_reasoning_tokens", "output_audio_tokens", "output_image_tokens"}
MODELS = {
    "base/chat": ["input_uncached_tokens", "input_cached_tokens", "input_cache_write_tokens", "output_text_tokens",
                  "output_reasoning_tokens"],
    "base/embed": ["input_uncached_tokens"],
    "base/speech": ["characters", "audio_ms", "input_audio_tokens", "output_audio_tokens"],
    "domain/vision/draw": ["images", "input_uncached_tokens", "input_image_tokens", "output_image_tokens"],
    "domain/code/review": ["input_uncached_tokens", "input_cached_tokens", "output_text_tokens"],
    "industry/finance/risk": ["input_uncached_tokens", "output_text_tokens", "compute_ms"],
    "industry/mining/gas": ["tensor_elements", "compute_ms"],
    "industry/media/film": ["video_ms", "input_video_tokens", "input_cache_write_1h_tokens", "images"],
}


# ---- price books ----

def price(r, meter, by):
    """Often one that no quantity comes to exactly."""
    if meter == "images":
        return f"{r.randrange(1, 10**9) * by}/{r.choice([1, 1, 3])}"
    return f"{r.choice([0, 25000, 312501, r.randrange(1, 10**6)]) * by}/{r.choice([1, 3, 7, 1000, 999983])}"


def tiers(r, meter, by):
    ends = sorted(r.sample(range(5, 200), r.randrange(1, 4)))
    scale = 1 if meter in ("images", "requests") else 5000
    return ",".join([*(f"{end * scale}:{price(r, meter, by)}" for end in ends), f"*:{price(r, meter, by)}"])


def amount(r, meter, by):
    kind = r.choice(["unit", "unit", "unit", "graduated", "graduated", "volume", "package", "flat"])
    if kind in ("graduated", "volume"):
        return f"{kind} {tiers(r, meter, by)}"
    if kind == "package":
        units = r.randrange(1, 50) * (1 if meter in ("images", "requests") else 997)
        return f"package {r.randrange(1, 10**9) * by}/{units}"
    if kind == "flat":
        return f"flat {r.randrange(10**9) * by}/{r.choice(['request', 'period'])}"
    return f"unit {price(r, meter, by)}" + (f" list={price(r, meter, by)}" if r.random() < 0.2 else "")


def conditions(r, meter):
    """Of prices of which one holds for any request."""
    shape = r.random()
    if shape < 0.5:
        return [""]
    if shape < 0.65:
        ends = sorted(r.sample(range(1000, 60000), r.randrange(1, 3)))
        lows = [0, *(e + 1 for e in ends)]
        return [f" context={a}..{b}" for a, b in zip(lows, [*ends, ""])]
    if shape < 0.8:
        days = ",".join(d for d in rate.DAYS if r.random() < 0.6) or "Sun"
        return ["", f" time=UTC/{days}/0{r.randrange(3, 9)}:{r.randrange(60):02}-{r.randrange(12, 24)}:30"]
    if meter == "images":
        return ["", " size=1024x1024", " size=1024x1024 quality=hd"]
    return ["", " service_tier=flex", *([" quality=hd service_tier=flex"] if r.random() < 0.3 else [])]


def items(r, meter, by):
    if meter == "requests":
        return r.choice([["0/1"], [f"{r.randrange(10**7) * by}/1"], [amount(r, meter, by)]])
    lines = [f"included {r.randrange(1, 200000)}"] if r.random() < 0.25 else []
    lines += [amount(r, meter, by) + condition for condition in conditions(r, meter)]
    if len(lines) == 1 and lines[0].startswith("unit") and " " not in lines[0][5:]:
        return [lines[0][5:]]
    return lines


def book(r, currency, by):
    """Each book prices nearly every meter; two models have plain prices alone."""
    lines = []
    for model, meters in MODELS.items():
        plain = model in ("base/embed", "domain/code/review")
        for meter in ["requests", *meters]:
            if meter != "requests" and r.random() < 0.05:
                continue
            lines += [f"{model} {meter} {i}" for i in ([price(r, meter, by)] if plain else items(r, meter, by))]
    return canonical(f"currency {currency} book list", lines)


def canonical(head, lines):
    """In the order of models and meters; the prices of a meter stay as they are."""
    return "\n".join([head, *sorted(lines, key=lambda line: line.split(" ")[:2])]) + "\n"


def own_book(r, currency, by, name):
    """What an organization pays otherwise: of some models some meters; now and then nothing, and the list again."""
    lines = []
    for model, meters in MODELS.items() if r.random() < 0.8 else ():
        for meter in ["requests", *meters] if r.random() < 0.6 else ():
            if r.random() < 0.6:
                lines += [f"{model} {meter} {re.sub(' list=[^ ]*', '', i)}" for i in items(r, meter, by)]
    return canonical(f"currency {currency} book {name}", [re.sub(r" unit ([^ ]*)$", r" \1", line) for line in lines])


# ---- who there is ----

def money(r, low, high):
    return f"{r.randrange(low, high)}.{r.randrange(100):02}"


def plan(r):
    """What is bought beside usage: any mixture."""
    p = {"payment_days": r.choice([0, 14, 30, 45])}
    if r.random() < 0.5:
        p["fee"] = money(r, 1, 500)
        if r.random() < 0.3:
            p["fee_every"] = "year"
    if r.random() < 0.4:
        p["included"] = r.choice([money(r, 1, 40), money(r, 100, 3000)])
        if r.random() < 0.7:
            p["rollover_basis_points"] = r.choice([3333, 5000, 10000])
    if r.random() < 0.3:
        p["minimum"] = money(r, 1, 300)
    if r.random() < 0.25:
        p["reserved"] = [{"text": f"GPU {i}", "hourly": money(r, 0, 9), "units": r.randrange(1, 5)}
                         for i in range(r.randrange(1, 3))]
    if r.random() < 0.3:
        p |= r.choice([{"tax_category": "S", "tax_basis_points": r.choice([0, 500, 777])},
                       {"tax_category": r.choice(["Z", "AE"])}, {"tax_category": "E", "tax_basis_points": 0}])
    if r.random() < 0.2:
        p["approval"] = True
    return p


class Traffic:
    def __init__(self, binary, directory, dice, organizations, requests):
        self.r, self.now, self.events, self.order = dice, START, [], itertools.count()
        self.currency, self.digits, self.tax_points, self.by = dice.choice(CURRENCIES)
        self.pipe = subprocess.Popen([binary, directory, self.currency, str(self.digits), str(self.tax_points)],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.commands, self.answers = [], []
        self.zones, self.projects, self.approval, self.issued = {}, [], {}, []
        self.rid, self.open = 0, set()
        self.book = None
        self.own = random.Random(f"own {organizations} {requests} {self.currency}")
        self.own_names = itertools.count()
        self.plan_year(organizations, requests)

    # ---- sending ----

    def send(self, **command):
        """One command, a little later than the one before."""
        command = {"do": command.pop("do"), "now": self.now, **command}
        self.now += self.r.randrange(1000, 3000)
        self.pipe.stdin.write(json.dumps(command) + "\n")
        line = self.pipe.stdout.readline()
        assert line, f"the ledger died of {command}"
        self.commands.append(command)
        self.answers.append(json.loads(line))
        return self.answers[-1]

    def run(self):
        """All that was planned, in the order of time."""
        while self.events:
            at, _, event = heapq.heappop(self.events)
            self.now = max(at, self.now)
            if self.now % US > 900000:  # never on an edge
                self.now += US - self.now % US + 1000
            event()
        self.pipe.stdin.close()
        assert self.pipe.wait() == 0
        return self

    def at(self, us, event):
        heapq.heappush(self.events, (us, next(self.order), event))

    def between(self, low, high):
        """Some moment that is no edge of anything."""
        return low + self.r.randrange(max(1, (high - low) // US)) * US + self.r.randrange(2000, 800000)

    # ---- what happens when ----

    def month(self, zone, number):
        """The instants of a local month, counted from January of the year."""
        return [int(datetime(2027 + n // 12, n % 12 + 1, 1, tzinfo=ZoneInfo(zone)).timestamp()) * US
                for n in (number, number + 1)]

    def plan_year(self, organizations, requests):
        r = self.r
        self.at(START + 5000, self.publish)
        for i in range(organizations):
            slug = f"org{i}"
            self.zones[slug] = r.choice(ZONES)
            self.at(START + 10000, lambda s=slug: self.found(s))
            self.at(START + 366 * DAY_US, lambda s=slug: self.send(do="funds", organization=s))
            for month in range(12):
                self.plan_month(slug, month)
        for partner in ("partner-a", "partner-b", "partner-c"):
            self.at(START + 6000, lambda p=partner: self.send(do="organization", slug=p))
        for model, partner in (("industry/", "partner-a"), ("base/chat", "partner-b"), ("base/chat", "partner-c")):
            rule = {"do": "rule", "model": model, "partner": partner, "basis_points": 3000}
            self.at(START + 7000, lambda c=rule: self.send(**c))
        self.at(START + 367 * DAY_US, lambda: self.send(do="audit"))
        for _ in range(6):
            self.at(self.between(START + DAY_US, START + 300 * DAY_US), self.publish)
            self.at(self.between(START + US, START + 330 * DAY_US), self.rule)
            self.at(self.between(START + DAY_US, START + 360 * DAY_US), self.restart)
        for i in range(0, organizations, 3):
            for _ in range(self.own.randrange(2, 5)):
                at = START + self.own.randrange(DAY_US, 340 * DAY_US) // US * US + 1234
                self.at(at, lambda s=f"org{i}": self.publish_own(s))
        for n in range(4):  # what customers of a reseller pay
            self.at(START + (5 + 80 * n) * DAY_US + 2345, lambda: self.publish_own("org0", resale=True))
        for n in range(requests):
            self.at(self.between(START + US, START + 364 * DAY_US), self.burst if n % 8 == 0 else self.request)

    def plan_month(self, slug, number):
        """Now and then a cut, a new contract, money, a charge; afterwards the invoice."""
        r, (low, high) = self.r, self.month(self.zones[slug], number)
        low = max(low, START + 2 * US)
        text = f"2027-{number + 1:02}"
        if r.random() < 0.15:
            self.at(self.between(low, high), lambda: self.change(slug))
        if r.random() < 0.15:
            self.at(self.between(low, high - DAY_US), lambda: self.announce(slug, high))
        if r.random() < 0.08:
            self.at(self.between(low, high - DAY_US), lambda: self.cut(slug, text))
        for chance, event in ((0.3, self.fund), (0.2, self.charge)):
            if r.random() < chance:
                self.at(self.between(low, high), lambda e=event: e(slug))
        if r.random() < 0.9:  # what is asked for at the very end counts in the next month
            self.at(self.between(high + US, high + 40 * DAY_US), lambda: self.issue(slug, text))
        if r.random() < 0.3:
            self.at(high - r.randrange(1, 5) * US + 5000, lambda: self.request(slug, over=high + 7 * US + 3000))
        if number % 3 == 2 and slug == "org0":
            for partner in ("partner-a", "partner-b"):
                self.at(high + 20 * DAY_US, lambda p=partner: self.send(do="statement", partner=p, month=text))

    def publish(self):
        """In force an instant later."""
        self.book, self.published = book(self.r, self.currency, self.by), self.now + 1
        self.send(do="publish", text=self.book, models=list(MODELS))

    def publish_own(self, slug, **more):
        name = f"own-{next(self.own_names)}"
        text = own_book(self.own, self.currency, self.by, name)
        self.published = self.now + 1
        self.send(do="publish", text=text, book=name, models=list(MODELS), **{"for": slug}, **more)

    def found(self, slug):
        r = self.r
        self.send(do="organization", slug=slug, **({"reseller": RESOLD[slug]} if slug in RESOLD else {}))
        if slug in RESOLD.values():
            self.send(do="seller", organization=slug, series=slug.upper(), tax_basis_points=r.choice([0, 600, 1234]))
        self.approval[slug] = False
        self.contract(slug, self.now, credit=r.choice([0, 50 * 10**10, 9 * 10**18, 9 * 10**18]),
                      time_zone=self.zones[slug])
        for _ in range(r.randrange(1, 4)):
            budget = r.choice([{}, {}, {"budget": r.randrange(10**9, 10**12)}])
            answer = self.send(do="project", slug=f"p{len(self.projects)}", organization=slug,
                               period=r.choice(["month", "total"]), **budget)
            self.projects.append((slug, answer["id"], answer["twin"]))
        if r.random() < 0.7:
            self.fund(slug)

    def contract(self, slug, starts, **more):
        """A member that is not said again is gone."""
        new = plan(self.r)
        old = {"fee", "fee_every", "included", "rollover_basis_points", "minimum", "reserved", "tax_category",
               "tax_basis_points", "approval"}
        if self.r.random() < 0.4:  # only some of it changes
            new, old = {"payment_days": self.r.randrange(60)}, set()
        answer = self.send(do="contract", organization=slug, starts=starts,
                           plan={**dict.fromkeys(sorted(old)), **new}, **more)
        assert answer["status"] == "OK", answer
        if old:
            self.approval[slug] = new.get("approval", False)
        return answer

    def change(self, slug):
        """From now on; not while another one is announced."""
        if (slug, "announced") not in self.approval:
            self.contract(slug, self.now)

    def announce(self, slug, high):
        """From the first of next month on."""
        if (slug, "announced") in self.approval:
            return
        before = self.approval[slug]
        self.contract(slug, high, credit=self.r.choice([10**12, 9 * 10**18]))
        self.approval[slug, "announced"] = after = self.approval[slug]
        self.approval[slug] = before

        def begins():
            del self.approval[slug, "announced"]
            self.approval[slug] = after
            self.send(do="tick")
        self.at(high + 10, begins)

    def fund(self, slug):
        r = self.r
        more = {"model": r.choice(list(MODELS))} if r.random() < 0.2 else {}
        if r.random() < 0.6:
            more["to"] = (self.now // US + r.randrange(3600, 90 * 86400)) * US
        if r.random() < 0.2:
            more["priority"] = r.randrange(5)
        self.send(do="fund", organization=slug, kind=r.choice(["promo", "commit", "prepaid"]),
                  amount=r.randrange(1, 60 * 10**10), **more)

    def charge(self, slug):
        r = self.r
        more = {"tax_category": r.choice(["S", "E"]), "tax_basis_points": r.choice([0, 1900])}
        self.send(do="charge", organization=slug, amount=r.randrange(1, 10**12), **(more if r.random() < 0.5 else {}))

    def rule(self):
        r = self.r
        self.send(do="rule", partner=r.choice(["partner-a", "partner-b", "partner-c"]), basis_points=r.randrange(3333),
                  model=r.choice(["industry/", "industry/finance/risk", "domain/", "industry/media/film", "base/chat"]))

    def restart(self):
        self.send(do="restart")
        self.open.clear()

    # ---- requests ----

    def hold(self, slug=None):
        r = self.r
        self.rid += 1
        slug, project, twin = r.choice([p for p in self.projects if slug in (None, p[0])])
        whose = {"project": twin, "customer": project} if twin else {"project": project}
        model = r.choice(list(MODELS))
        usage = {"requests": 1}
        for meter in MODELS[model]:
            if r.random() < 0.8:
                few = meter in ("images",)
                usage[meter] = r.choice([0, 1, r.randrange(1, 5)]) if few else r.choice([0, 1, r.randrange(1, 40000)])
        most = {"input": 1 + sum(n for m, n in usage.items() if m in rate.INPUT) + r.choice([0, r.randrange(1000)]),
                "output": 1 + sum(n for m, n in usage.items() if m in OUTPUT) + r.choice([0, r.randrange(1000)])}
        most |= {BOUNDS[m]: n + r.randrange(3) for m, n in usage.items() if m in BOUNDS}
        words = {"service_tier": r.choice(["standard", "standard", "flex"])}
        if r.random() < 0.6:
            words |= {"size": r.choice(["1024x1024", "256x256"]), "quality": r.choice(["hd", "low"])}
        command = {"do": "hold", "rid": self.rid, **whose, "payer": RESOLD.get(slug, slug), "model": model, "most": most,
                   "accepted": max(self.published, self.now - r.randrange(2 * US)), **words}
        return command, {"do": "settle", "rid": self.rid, "usage": usage if r.random() < 0.95 else None}

    def ask(self, pairs, over=None):
        """Holds in one breath; each is settled a while later, unless the daemon forgets it first."""
        answers = self.send(do="many", of=[hold for hold, _ in pairs])["of"]
        settles = [settle for (_, settle), a in zip(pairs, answers) if a["status"] == "OK"]
        self.open.update(s["rid"] for s in settles)
        groups = [settles] if self.r.random() < 0.5 else [[s] for s in settles]
        for group in groups:
            later = self.now + self.r.choice([1000, self.r.randrange(2000, 5 * US), self.r.randrange(3600 * US)])
            self.at(over or later, lambda g=group: self.settle(g))

    def settle(self, group):
        left = [s for s in group if s["rid"] in self.open]
        if left:
            self.send(do="many", of=left)
        self.open.difference_update(s["rid"] for s in left)

    def request(self, slug=None, over=None):
        self.ask([self.hold(slug)], over)

    def burst(self):
        self.ask([self.hold() for _ in range(self.r.randrange(2, 12))])

    # ---- documents ----

    def cut(self, slug, month):
        """The period ends now and is invoiced, or later; the rest of the month is another one, used or not."""
        self.request(slug)
        if self.send(do="cut", organization=slug)["status"] != "OK":
            return
        if self.r.random() < 0.7:
            self.issue(slug, month)
        if self.r.random() < 0.7:
            self.now += 1000
            self.request(slug)
        high = self.month(self.zones[slug], int(month[5:]) - 1)[1]
        for _ in range(2):
            self.at(self.between(high + US, high + 40 * DAY_US), lambda: self.issue(slug, month))

    def issue(self, slug, month):
        if self.approval[slug] or (slug, "announced") in self.approval or self.r.random() < 0.1:
            self.send(do="approve", organization=slug, month=month)
        document = self.send(do="issue", organization=slug, month=month).get("document")
        if not document or not document["lines"]:
            return
        if self.r.random() < 0.25:
            self.at(self.between(self.now, self.now + 30 * DAY_US), lambda: self.pay(document))
        for _ in range(self.r.choice([0, 0, 0, 1, 3])):
            self.at(self.between(self.now, self.now + 60 * DAY_US), lambda: self.credit(document))

    def minor(self, text, part):
        """Some part of an amount, as text with the currency's digits."""
        whole = round(float(text) * 10**self.digits * part)
        return str(whole) if not self.digits else f"{whole // 10**self.digits}.{whole % 10**self.digits:0{self.digits}}"

    def pay(self, document):
        amount = self.minor(document["totals"]["gross"], 0.5)
        if float(amount) > 0:
            self.send(do="pay", number=document["number"], amount=amount)

    def credit(self, document):
        """All of it, a line, or a part of a line; some ask for more than is left."""
        line = self.r.choice(document["lines"])
        how = self.r.choice([{}, {"line": line["line"]}, {"line": line["line"], "amount": None}])
        if "amount" in how:
            how["amount"] = self.minor(line["net"], self.r.choice([0.01, 0.3, 0.7, 1]))
            if float(how["amount"]) <= 0:
                return
        self.send(do="credit", invoice=document["number"], **how)
