#!/usr/bin/env python3
"""What bench/run.sh measured, as a table: bench/table.py ROWS table | half-load WAY.

ROWS has one line a measurement: KIND WAY name=value ...  A figure is the median over the rounds; a
ratio is the median of the ratios round by round, so that a slow moment of the machine cancels out.
"""
import sys
from statistics import median

NAMES = {"nginx": "nginx `proxy_pass`", "unbuffered": "nginx `proxy_buffering off`",
         "shm": "maasgate, shared memory", "uds": "maasgate, unix socket",
         "net": "maasgate, HTTP upstream", "nginx-tls": "nginx `proxy_pass https`",
         "tls": "maasgate, HTTPS upstream", "h2": "maasgate, HTTPS upstream, HTTP/2"}
REQUEST_GOALS = {"shm": 1.0, "net": 1.6}
STREAM_GOALS = {"shm": 0.65}


def read_rows(path):
    rows = {}
    with open(path, encoding="ascii") as file:
        for line in file:
            kind, way, *pairs = line.split()
            values = {k: float(v) for k, v in (p.split("=") for p in pairs if "=" in p)}
            rows.setdefault((kind, way), []).append(values)
    return rows


def mid(measured, name):
    return median(m[name] for m in measured)


def ratio(measured, against, name):
    return median(a[name] / b[name] for a, b in zip(measured, against))


def verdict(value, goal, form="{:.2f}"):
    if goal is None:
        return "–"
    bound = form.format(goal)
    return f"<= {bound}: {'met' if value <= goal else 'missed'}"


def cpu_table(rows, kind, against, unit, goals):
    print(f"| {unit} | CPU us | user | kernel | ratio to nginx | goal | {unit}s/s |")
    print("|---|---|---|---|---|---|---|")
    base = rows[kind, against]
    for (k, way), m in rows.items():
        if k != kind:
            continue
        r = ratio(m, base, "cpu_us")
        low, high = min(x["cpu_us"] for x in m), max(x["cpu_us"] for x in m)
        print(f"| {NAMES[way]} | {mid(m, 'cpu_us'):.1f} ({low:.1f} to {high:.1f})"
              f" | {mid(m, 'user_us'):.1f} | {mid(m, 'sys_us'):.1f} | {r:.2f}"
              f" | {verdict(r, goals.get(way))} | {mid(m, 'per_s'):,.0f} |")
    print()


def latency_table(rows):
    print("| at half of the way's own maximum | requests/s | p50 us | p99 us | added p50 us"
          " | goal | added p99 us | goal |")
    print("|---|---|---|---|---|---|---|---|")
    for way in ("nginx", "shm", "uds", "net"):
        m, direct = rows["latency", way], rows["latency", "direct-" + way]
        added = {p: median(a[p] - b[p] for a, b in zip(m, direct)) for p in ("p50_us", "p99_us")}
        goals = (500, 1500) if way == "shm" else (None, None)
        print(f"| {NAMES[way]} | {mid(m, 'per_s'):,.0f} | {mid(m, 'p50_us'):.0f}"
              f" | {mid(m, 'p99_us'):.0f} | {added['p50_us']:.0f}"
              f" | {verdict(added['p50_us'], goals[0], '{:.0f}')} | {added['p99_us']:.0f}"
              f" | {verdict(added['p99_us'], goals[1], '{:.0f}')} |")
    print()


def many_table(rows):
    """The goal: what a request costs grows by at most a fifth."""
    print("| CPU us a request by backends of its model | 1 | 10 | 100 | 100 to 1 | goal |")
    print("|---|---|---|---|---|---|")
    for kind in ("shm", "net"):
        m = {n: rows["many", f"{kind}-{n}"] for n in (1, 10, 100)}
        r = ratio(m[100], m[1], "cpu_us")
        print(f"| {NAMES[kind]} | " + " | ".join(f"{mid(m[n], 'cpu_us'):.1f}" for n in m)
              + f" | {r:.2f} | {verdict(r, 1.2)} |")
    print()


def turns_table(rows):
    print("| conversations of many turns, four backends | requests | input from cache | at their home |")
    print("|---|---|---|---|")
    for way, name in (("none", "no affinity"), ("prefix", "`affinity: prefix`")):
        m = rows["turns", way][0]
        home = f"{m['home']:.1%}" if way == "prefix" else "–"
        print(f"| {name} | {m['requests']:,.0f} | {m['cached'] / m['input']:.1%} | {home} |")
    print()


HISTORY = (("settled a second, two threads of one CPU", "settled_per_s", "{:,.0f}", None),
           ("CPU us of the ledger thread a settled request", "ledger_cpu_us", "{:.2f}", 1.2),
           ("start after a clean end, ms", "open_ms", "{:.1f}", None),
           ("invoice of a month, ms", "invoice_ms", "{:.2f}", None),
           ("costs of a month day by day, ms", "usage_ms", "{:.2f}", None),
           ("a day by the model that served, ms", "served_day_ms", "{:.2f}", None),
           ("bytes a request on disk", "bytes_per_request", "{:.0f}", None),
           ("audit of everything, s", "audit_s", "{:.1f}", None),
           ("memory at its end, MB", "audit_rss_mb", "{:.0f}", None))


def history_table(rows):
    """What is stored may not make a request dearer: the goal is on CPU, the rest is shown."""
    sizes = [way for kind, way in rows if kind == "history"]
    print("| the ledger behind so many stored requests | " + " | ".join(f"{int(n):,}" for n in sizes)
          + " | ratio | goal |")
    print("|---" * (len(sizes) + 3) + "|")
    for name, key, form, goal in HISTORY:
        values = [rows["history", n][0][key] for n in sizes]
        r = values[-1] / values[0] if len(sizes) > 1 and values[0] else None
        print(f"| {name} | " + " | ".join(form.format(v) for v in values)
              + (" | – | – |" if r is None else f" | {r:.2f} | {verdict(r, goal)} |"))
    print()


def rest_table(rows):
    def megabytes(kind, way):
        return mid(rows[kind, way], "rss_kb") / 1024

    print("| other | nginx | maasgate | goal |")
    print("|---|---|---|---|")
    idle, live = megabytes("idle", "shm"), megabytes("streams1000", "shm")
    print(f"| resident memory after a start, MB | – | {megabytes('empty', 'shm'):.1f} | – |")
    print(f"| at 10,000 idle connections, MB | {megabytes('idle', 'nginx'):.1f} | {idle:.1f}"
          f" | {verdict(idle, 300, '{:.0f}')} |")
    print(f"| at 1,000 live streams, MB | {megabytes('streams1000', 'unbuffered'):.1f} | {live:.1f} | – |")
    nginx, ours = rows["streams5000", "slow"], rows["streams5000", "live"]
    live = megabytes("streams5000", "live")
    print(f"| at 5,000 live streams, MB | {megabytes('streams5000', 'slow'):.1f} | {live:.1f}"
          f" | {verdict(live, 400, '{:.0f}')} |")
    r = ratio(ours, nginx, "cpu_us")
    print(f"| CPU us a chunk at 5,000 live streams | {mid(nginx, 'cpu_us'):.1f} | {mid(ours, 'cpu_us'):.1f}"
          f" ({r:.2f}) | {verdict(r, STREAM_GOALS['shm'])} |")
    ledger = rows["ledger", "-"][0]
    print(f"| ledger alone, settled requests/s | – | {ledger['settled_per_s']:,.0f}"
          f" | >= 100,000: {'met' if ledger['settled_per_s'] >= 100000 else 'missed'} |")
    print(f"| the same per second of the ledger thread's CPU | – |"
          f" {ledger['settled_per_cpu_s']:,.0f} | – |")
    for (kind, name), m in rows.items():
        if kind == "size" and name != "nginx":
            nginx = f"{rows['size', 'nginx'][0]['bytes'] / 1024:,.0f}" if name == "maasgated" else "–"
            print(f"| size of {name}, stripped, KB | {nginx} | {m[0]['bytes'] / 1024:,.0f} | – |")
    print()


def main():
    rows = read_rows(sys.argv[1])
    if sys.argv[2] == "half-load":
        print(f"{mid(rows['request', sys.argv[3]], 'per_s') / 2:.0f}")
        return
    cpu_table(rows, "request", "nginx", "request", REQUEST_GOALS)
    cpu_table(rows, "tls", "nginx-tls", "request", {})
    cpu_table(rows, "stream", "unbuffered", "chunk", STREAM_GOALS)
    latency_table(rows)
    many_table(rows)
    turns_table(rows)
    history_table(rows)
    rest_table(rows)


if __name__ == "__main__":
    main()
