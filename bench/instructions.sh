#!/usr/bin/env bash
# Instructions per request of maasgated by thread, under callgrind: bench/instructions.sh [SECONDS]
#
# A count that other load on the machine does not move, for comparing two builds (B=build/KIND).
# It knows user space only.  How many operations share a commit is chance, and moves the ledger's
# figure by a tenth: CONNECTIONS=1 gives each a commit of its own, the most there can be, and is steady;
# 16, the default, still make smaller batches than real load.  valgrind counts a `rep stosb` of
# memset once a byte.  SHOW=N also prints the N most expensive functions of each thread.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${B:-build/${KIND:-release}}
seconds=${1:-5}
connections=${CONNECTIONS:-16}
. bench/gate.sh # dir, pids, port

start() {
    write_conf "$dir"
    "$bin/maasgate-refworker" --listen "shm:$dir/worker.sock" --corpus backends/refworker/corpus \
        >"$dir/worker.log" 2>&1 &
    pids+=($!)
    wait_for grep -q ready "$dir/worker.log"
    valgrind --tool=callgrind --callgrind-out-file="$dir/counted" --separate-threads=yes \
        --instr-atstart=no "$bin/maasgated" --config "$dir/maasgate.yaml" >"$dir/gate.log" 2>&1 &
    gate=$!
    pids+=("$gate")
    key=$(make_key "$bin" "$dir")
}

ask() {
    "$bin/bench_load" request --port "$port" --path /v1/chat/completions --body "$dir/body.json" \
        --key "$key" --connections "$connections" --warmup 0 --seconds "$1"
}

count() {
    ask 2 >/dev/null # what is done once is done before the counting
    callgrind_control -i on "$gate" >/dev/null 2>&1
    ask "$seconds" >"$dir/load.txt"
    callgrind_control -i off "$gate" >/dev/null 2>&1
    callgrind_control -d "$gate" >/dev/null 2>&1
}

# Threads are numbered in the order of their birth; which is which, their functions tell.
report() {
    local n file total name
    n=$(sed 's/units=\([0-9]*\).*/\1/' "$dir/load.txt")
    for file in "$dir"/counted*; do
        total=$(awk '/^(totals|summary):/ { t = $2 } END { print t + 0 }' "$file")
        [ "$total" -gt $((n * 1000)) ] || continue
        name=ledger
        if grep -q 'fn=.*MHD_epoll' "$file"; then name=loop; fi
        printf '%s: %d instructions a request (%d requests)\n' $name $((total / n)) "$n"
        [ -z "${SHOW:-}" ] || callgrind_annotate "$file" |
            grep -E '^ *[0-9,]+ \(' | sed 's/ \[.*//; s|[^ ]*/||' | head -n "$((SHOW + 1))"
    done
}

command -v valgrind >/dev/null || die 'valgrind is not there: tools/bootstrap.sh test'
start
count
report
