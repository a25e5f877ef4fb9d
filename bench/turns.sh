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
dir=$(mktemp -d /tmp/maasgate-turns.XXXXXX)
pids=() gates=() ports=() keys=()

die() { printf 'turns: %s\n' "$*" >&2; exit 1; }

clean_up() {
    local code=$? pid
    trap - EXIT INT TERM
    for pid in "${pids[@]}"; do
        kill -TERM "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$dir"
    exit "$code"
}

wait_for() {
    for _ in $(seq 100); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    cat "$dir"/*/*.log >&2
    die "not ready after 10 s: $*"
}

start() {
    local bin=$1 d=$dir/$2 port
    mkdir "$d"
    port=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
    cat >"$d/maasgate.yaml" <<END
listen: 127.0.0.1:$port
admin_socket: $d/admin.sock
state_dir: $d/state
loop_threads: 1
default_requests_per_minute: 1000000000
default_tokens_per_minute: 1000000000000
backends:
  shm: {transport: shm, address: $d/worker.sock}
models:
  base/shm:
    capabilities: [chat]
    routes: [{backend: shm, model: ngram-general}]
    price: {requests: 0.001, input_uncached_tokens: 0.10/1M, output_text_tokens: 0.40/1M}
END
    taskset -c 1 "$bin/maasgate-refworker" --listen "shm:$d/worker.sock" \
        --corpus backends/refworker/corpus >"$d/worker.log" 2>&1 &
    pids+=($!)
    wait_for grep -q ready "$d/worker.log"
    taskset -c 0 "$bin/maasgated" --config "$d/maasgate.yaml" >"$d/gate.log" 2>&1 &
    pids+=($!) gates+=($!) ports+=("$port")
    wait_for curl -fs "http://127.0.0.1:$port/readyz"
    export MAASGATE_ADMIN=$d/admin.sock
    "$bin/maasgate" project create bench --budget 100000000 --budget-period total >/dev/null
    keys+=("$("$bin/maasgate" key create bench 2>/dev/null | awk 'NR == 1 { print $1 }')")
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

trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
[ -x "$load" ] || die 'build/release/bench_load is not there: make build-bench'
echo '{"model":"base/shm","messages":[{"role":"user","content":"Tell me about rivers"}],"max_tokens":8}' \
    >"$dir/body.json"
for i in 0 1; do start "${builds[$i]}" "$i"; done
for i in 0 1; do turn "$i" >/dev/null; done # what is done once is done before
for _ in $(seq "$rounds"); do
    for i in 0 1; do turn "$i"; done
done >"$dir/turns"
[ -z "${SHOW:-}" ] || cat "$dir/turns"
report "$dir/turns"
