"""The evaluator in C against the rules in rational numbers (tests/oracle/rate.py): random price
books, random usage, closes of periods, and the check that finds overlaps and holes."""
import pathlib
import random
import subprocess
import sys

import pytest
from gate import BUILD, ROOT, SLOW

sys.path.insert(0, str(ROOT / "tests" / "oracle"))
import rate  # noqa: E402

METERS = ["requests", "input_uncached_tokens", "input_cached_tokens", "input_cache_write_tokens",
          "output_text_tokens", "output_reasoning_tokens", "images", "characters", "audio_ms",
          "compute_ms", "tensor_elements", "input_audio_tokens", "output_audio_tokens",
          "input_image_tokens", "output_image_tokens", "video_ms", "input_cache_write_1h_tokens",
          "input_video_tokens"]
SIZES, QUALITIES, TIERS = ["256x256", "1024x1024", "512x512"], ["hd", "low"], ["standard", "flex", "batch"]
WEEK_US = 7 * 24 * 3600 * 1000000
MONEY_MAX = 9 * 10**18


def ask(questions):
    """All at once: one process, one line for each question."""
    done = subprocess.run([BUILD / "rate_oracle"], input="".join(questions), capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


# ---- random price books that say one price for everything ----

def price(r):
    """Often with atoms that no unit comes to exactly."""
    return f"{r.choice([0, 1, 5, 312500000, 25 * 10**9, r.randrange(10**r.randrange(1, 13))])}" \
           f"/{r.choice([1, 1, 3, 7, 1000, 60000, 1000000, r.randrange(1, 10**6)])}"


def tiers(r):
    ends = sorted(r.sample(range(1, 10**r.randrange(2, 9)), r.randrange(1, 6)))
    return ",".join([f"{end}:{price(r)}" for end in ends] + [f"*:{price(r)}"])


def amount(r):
    kind = r.choice(["unit", "unit", "unit", "graduated", "volume", "package", "flat"])
    if kind in ("graduated", "volume"):
        return f"{kind} {tiers(r)}"
    if kind == "flat":
        return f"flat {r.randrange(10**10)}/{r.choice(['request', 'period'])}"
    return f"{kind} {price(r)}" + (f" list={price(r)}" if r.random() < 0.3 else "")


def bands(r):
    if r.random() < 0.6:
        return [""]
    ends = sorted(r.sample(range(0, 10**r.randrange(2, 7)), r.randrange(1, 4)))
    return [f" context={low}..{high}" for low, high in zip([0] + [e + 1 for e in ends], ends)] \
        + [f" context={ends[-1] + 1}.."]


def hours(r):
    first = r.randrange(0, 23)
    days = r.sample(rate.DAYS, r.randrange(1, 8))
    return f" time=UTC/{','.join(d for d in rate.DAYS if d in days)}/{first:02}:{r.randrange(60):02}" \
           f"-{r.randrange(first + 1, 25):02}:00"


def meter_lines(r):
    """Each value of a dimension has its own bands; what names nothing takes the rest."""
    lines = [f"included {r.randrange(1, 10**r.randrange(1, 9))}"] if r.random() < 0.2 else []
    keys = [""]
    if r.random() < 0.3:
        keys += [f" size={s}" for s in r.sample(SIZES, r.randrange(1, 3))]
    elif r.random() < 0.2:
        keys += [f" service_tier={t}" for t in r.sample(TIERS[1:], r.randrange(1, 3))]
    if r.random() < 0.2:
        keys += [f"{k} quality=hd" for k in keys if "size" in k][:1]
    if r.random() < 0.2:  # beside another dimension it would be one of two that hold
        keys += [hours(r) if keys == [""] else key + hours(r) for key in keys[-1:]]
    for key in keys:
        # In the order of a condition list: context, then dimensions, then time.
        lines += [f"{amount(r)}{band}{key}" for band in bands(r)]
    if lines == [lines[0]] and lines[0].startswith("unit") and " " not in lines[0][5:]:
        return [lines[0][5:]]
    return lines


def make_book(r):
    meters = sorted(r.sample(METERS, r.randrange(1, 10)))
    lines = [f"m {meter} {line}" for meter in meters for line in meter_lines(r)[:32]]
    return "currency USD book b\n" + "\n".join(lines) + "\n"


def quantity(r):
    return r.choice([0, 1, 2, 3, 999, 1000000, r.randrange(10**r.randrange(1, 10))])


def question(r, prices):
    usage = {m: quantity(r) for m in r.sample(METERS, r.randrange(1, 8))}
    usage = {m: min(usage[m], 1) if m == "requests" else usage[m] for m in METERS if m in usage}
    dims = {"size": r.choice([*SIZES, "odd", "-"]), "quality": r.choice([*QUALITIES, "-"]),
            "service_tier": r.choice(TIERS)}
    before = {}
    if r.random() < 0.5:
        before = {(m, n): quantity(r) for m, items in prices.items() for n in range(len(items))}
    when = r.randrange(3 * WEEK_US)
    text = f"R m {when} {dims['size']} {dims['quality']} {dims['service_tier']} " \
           + (",".join(f"{m}={n}" for m, n in usage.items())) + " " \
           + (",".join(f"{m}/{n}={q}" for (m, n), q in before.items()) or "-") + "\n"
    return text, usage, {k: v for k, v in dims.items() if v != "-"}, when, before


def expected_bill(prices, usage, dims, when, before):
    lines, unpriced = rate.rate(prices, usage, dims, when, before)
    lines = [(*line[:5], line[5] if line[5] <= MONEY_MAX else -1) for line in lines]
    return (",".join("/".join(map(str, line)) for line in lines) or "-",
            ",".join(m for m in METERS if m in unpriced) or "-", sum(line[4] for line in lines))


def check_bill(answer, book, asked):
    text, usage, dims, when, before = asked
    prices = book["m"]
    lines, unpriced, total = expected_bill(prices, usage, dims, when, before)
    got_lines, got_unpriced, hold = answer.split(" ")
    assert (got_lines, got_unpriced) == (lines, unpriced), text
    if total and hold != "-":
        assert total <= int(hold), text  # nothing is charged that was not reserved


CASES = 120000 // (SLOW * SLOW)


@pytest.mark.short
def test_bills_agree():
    r = random.Random(4)
    questions, checks = [], []
    while len(checks) < CASES:
        text = make_book(r)
        book = rate.read_book(text)
        questions.append(f"B {len(text)}\n{text}")
        checks.append(None)
        for _ in range(60):
            asked = question(r, book["m"])
            questions.append(asked[0])
            checks.append((book, asked))
    answers = ask(questions)
    assert len(answers) == len(checks)
    for answer, check in zip(answers, checks):
        if check is None:
            assert answer == "ok"
        elif answer.startswith("error"):
            assert answer == "error BILLING_OVERFLOW" and expected_bill(
                check[0]["m"], *check[1][1:])[2] > MONEY_MAX // 32, check[1][0]
        else:
            check_bill(answer, *check)


@pytest.mark.short
def test_closes_agree():
    r = random.Random(17)
    questions, checks = [], []
    for _ in range(CASES // 12):
        text = f"m images {amount(r)}\n"
        item = rate.read_book(text)["m"]["images"][0]
        before, qty = r.choice([0, 0, quantity(r)]), quantity(r)
        total = before + qty + r.choice([0, quantity(r)])
        charged = min(MONEY_MAX, r.choice([0, item.charge(before, qty), r.randrange(10**12)]))
        questions.append(f"B {len(text)}\n{text}")
        questions.append(f"C m images 0 {before} {qty} {total} {charged}\n")
        checks += [None, (text, item, before, qty, total, charged)]
    for answer, check in zip(ask(questions), checks):
        if check is None:
            continue
        lines, comes_to = check[1].close(*check[2:])
        if answer.startswith("error"):
            assert comes_to > MONEY_MAX, check
            continue
        assert answer == (",".join(f"{q}/{a}" for q, a in lines) or "-") + f" {comes_to}", check
        assert check[5] + sum(a for _, a in lines) == comes_to


def flawed_lines(r):
    """Few conditions, so that overlaps and holes are common."""
    lines = []
    for _ in range(r.randrange(1, 6)):
        line = "unit 1/1"
        if r.random() < 0.5:
            low = r.randrange(0, 6)
            line += f" context={low}..{r.choice(['', low, r.randrange(low, 9)])}"
        for name, values in (("size", SIZES[:2]), ("quality", QUALITIES[:1]), ("service_tier", TIERS)):
            if r.random() < 0.25:
                line += f" {name}={r.choice(values)}"
        if r.random() < 0.2:
            line += " time=UTC/" + r.choice(["Mon", "Mon,Tue"]) + "/" + r.choice(["00:00-24:00", "01:00-02:00"])
        lines.append(line)
    return lines


def says_one_price(items, end):
    minutes = [0, 30, 60, 90, 120, 1440, 1500, 1530, 2880]  # from Monday
    monday = 4 * 24 * 3600 * 1000000
    for context in range(0, end + 1):
        for size in [*SIZES[:2], None]:
            for quality in ("hd", None):
                for tier in [*TIERS, None]:
                    for minute in minutes:
                        dims = {"size": size, "quality": quality, "service_tier": tier}
                        if rate.holding(items, context, dims, monday + minute * 60000000) is None:
                            return False
    return True


@pytest.mark.short
def test_overlaps_and_holes_are_found():
    r = random.Random(9)
    questions, expected = [], []
    for _ in range(2400 // (SLOW * SLOW)):
        text = "".join(f"m images {line}\n" for line in flawed_lines(r))
        items = rate.read_book(text)["m"]["images"]
        questions += [f"B {len(text)}\n{text}", "L m images 8\n"]
        expected += [(text, True), (text, says_one_price(items, 8))]
    answers = ask(questions)
    for answer, (text, good) in zip(answers, expected):
        assert (answer == "ok") == good, f"{answer}\n{text}"
    assert sum(good for _, good in expected[1::2]) > 100 // (SLOW * SLOW)  # both kinds were tried


def test_a_book_of_the_configuration_is_read(tmp_path):
    source = pathlib.Path(ROOT / "conf" / "maasgate.yaml.example")
    answers = ask([f"Y {source}\n"])
    book = rate.read_book("\n".join(answers[1:]))
    assert book["base/chat"]["output_text_tokens"][0].price == rate.Fraction(16000, 1)
