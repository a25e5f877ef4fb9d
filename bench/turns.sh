#!/usr/bin/env bash
# CPU of maasgated a request, user and kernel, of two builds in turns: bench/turns.sh OLD NEW [ROUNDS]
#
# OLD and NEW are build folders, say that of another worktree and build/release.  Both daemons stand there
# all the time, on CPU 0; the load goes to one and then to the other, a round is a pair of turns, and what
# counts is the median of the pairs' ratios: load of others meets both.  Requests over shared memory that
# are not streamed; of one loop thread; CONNECTIONS=64 SECONDS_A_TURN=3 SHOW=1 (each round).
set -euo pipefail

[ $# -ge 2 ] || { sed -n '2s/^# //p' "$0" >&2; exit 2; }
builds=("$(realpath "$1")" "$(realpath "$2")") rounds=${3:-16}
connections=${CONNECTIONS:-64} seconds=${SECONDS_A_TURN:-3}
cd "$(dirname "$0")/.."
load=build/release/bench_load
gates=() ports=() keys=()
. bench/gate.sh # dir, pids, port

start() {
    local bin=$1 d=$dir/$2 key
    mkdir "$d"
    write_conf "$d"
    taskset -c 1 "$bin/maasgate-refworker" --listen "shm:$d/worker.sock" \
        --corpus backends/refworker/corpus >"$d/worker.log" 2>&1 &
    pids+=($!)
    wait_for grep -q ready "$d/worker.log"
    taskset -c 0 "$bin/maasgated" --config "$d/maasgate.yaml" >"$d/gate.log" 2>&1 &
    pids+=($!) gates+=($!) ports+=("$port")
    key=$(make_key "$bin" "$d")
    keys+=("$key")
}

# "THREAD NANOSECONDS" of each, oldest first: main, ledger, .., loop.
cpu() {
    local task
    for task in $(printf '%s\n' "/proc/$1/task/"* | sort -t/ -k5n); do
        echo "${task##*/} $(cut -d' ' -f1 "$task/schedstat")"
    done
}

# "BUILD LEDGER LOOP" in microseconds a request.  The first of the two busiest threads is the ledger's.
turn() {
    local before after n
    sleep 0.3 # what the turn before left unfinished is over
    before=$(cpu "${gates[$1]}")
    n=$(taskset -c 1 "$load" request --port "${ports[$1]}" --path /v1/chat/completions \
        --body "$dir/body.json" --key "${keys[$1]}" --connections "$connections" --warmup 0 \
        --seconds "$seconds" | sed 's/units=\([0-9]*\).*/\1/')
    after=$(cpu "${gates[$1]}")
    join <(sort <<<"$before") <(sort <<<"$after") | awk -v n="$n" '{ print ($3 - $2) / 1000 / n, $1 }' |
        sort -rn | head -n 2 | sort -k2n | awk -v b="$1" '{ us = us " " $1 } END { print b us }'
}

report() {
    python3 - "$1" <<'END'
import statistics, sys
turns = [line.split() for line in open(sys.argv[1])]
of = [[(float(a), float(b)) for which, a, b in turns if which == build] for build in "01"]
for name, cpu in (("ledger", lambda t: t[0]), ("loop", lambda t: t[1]), ("both", sum)):
    old, new = [[cpu(t) for t in rounds] for rounds in of]
    print(f"{name}: {statistics.median(old):.1f} us a request, then {statistics.median(new):.1f};"
          f" of the pairs {statistics.median(b / a for a, b in zip(old, new)):.3f} ({len(old)} rounds)")
END
}

[ -x "$load" ] || die 'build/release/bench_load is not there: make build-bench'
for i in 0 1; do start "${builds[$i]}" "$i"; done
for i in 0 1; do turn "$i" >/dev/null; done # what is done once is done before
for _ in $(seq "$rounds"); do
    for i in 0 1; do turn "$i"; done
done >"$dir/turns"
[ -z "${SHOW:-}" ] || cat "$dir/turns"
report "$dir/turns"
