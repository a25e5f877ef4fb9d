#!/usr/bin/env bash
# A daemon and a worker to be measured: what bench/instructions.sh and bench/turns.sh share.
# Sourced.  `dir` is a folder of its own, `pids` what is ended with the script; both are then gone.

me=$(basename "$0" .sh)
dir=$(mktemp -d "/tmp/maasgate-$me.XXXXXX")
pids=()

die() { printf '%s: %s\n' "$me" "$*" >&2; exit 1; }

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
    for _ in $(seq 300); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    find "$dir" -name '*.log' -exec cat {} + >&2
    die "not ready after 30 s: $*"
}

# write_conf FOLDER: maasgate.yaml there, of one loop thread and a worker over shared memory; sets `port`.
write_conf() {
    port=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
    cat >"$1/maasgate.yaml" <<END
listen: 127.0.0.1:$port
admin_socket: $1/admin.sock
state_dir: $1/state
loop_threads: 1
default_requests_per_minute: 1000000000
default_tokens_per_minute: 1000000000000
backends:
  shm: {transport: shm, address: $1/worker.sock}
models:
  base/shm:
    capabilities: [chat]
    routes: [{backend: shm, model: ngram-general}]
    price: {requests: 0.001, input_uncached_tokens: 0.10/1M, output_text_tokens: 0.40/1M}
END
}

# make_key BUILD FOLDER: of a project that may spend anything.
make_key() {
    wait_for curl -fs "http://127.0.0.1:$port/readyz"
    export MAASGATE_ADMIN=$2/admin.sock
    "$1/maasgate" project create bench --budget 100000000 --budget-period total >/dev/null
    "$1/maasgate" key create bench 2>/dev/null | awk 'NR == 1 { print $1 }'
}

trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
echo '{"model":"base/shm","messages":[{"role":"user","content":"Tell me about rivers"}],"max_tokens":8}' \
    >"$dir/body.json"
