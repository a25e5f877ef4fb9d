#!/usr/bin/env bash
# make bench: maasgated beside nginx as a bare proxy, in one run, on loopback.
#
#   bench/run.sh [--quick]     (make bench QUICK=1)    docs/performance.md says what the rows mean
#
# The proxies run on the first CPU, the client and the model servers on the second, each proxy in
# its turn (A B C D, A B C D, ...), so that noise of the machine meets all of them.  PIN=no leaves
# the placing to the kernel.  The table goes to bench/results/, of a quick run only to build/.
# Only processes started here are ended, by their pid.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${B:-build/${KIND:-release}}
quick=${QUICK:-}
[ "${1:-}" != --quick ] || quick=1
if [ -n "$quick" ]; then rounds=3 seconds=1 stream_rounds=1 stream_seconds=3 conversations=40
else rounds=7 seconds=3 stream_rounds=5 stream_seconds=5 conversations=200; fi
connections=64 streams=200 tokens=100 delay_ms=50 slow_delay_ms=500

dir=$(mktemp -d /tmp/maasgate-bench.XXXXXX) # short: a socket's path has at most 107 bytes
rows=$dir/rows
pids=() stores=()
on_proxy='' on_rest=''
if [ "${PIN:-yes}" = yes ] && [ "$(nproc)" -ge 2 ] && command -v taskset >/dev/null; then
    on_proxy='taskset -c 0' on_rest='taskset -c 1'
fi

say() { printf 'bench: %s\n' "$*" >&2; }
die() { printf 'bench: %s\n' "$*" >&2; exit 1; }

end_process() {
    kill -TERM "$1" 2>/dev/null || return 0
    wait "$1" 2>/dev/null || true
}

clean_up() {
    local code=$? i
    trap - EXIT INT TERM
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do end_process "${pids[i]}"; done
    [ "$code" = 0 ] || tail -n 5 "$dir"/*.log >&2 || true
    rm -rf "$dir" "${stores[@]}"
    exit "$code"
}

free_ports() {
    python3 - "$1" <<'END'
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(s.getsockname()[1] for s in held))
END
}

wait_for() { # what, pid, command that succeeds when it is there
    local what=$1 pid=$2
    shift 2
    for _ in $(seq 200); do
        "$@" >/dev/null 2>&1 && return
        kill -0 "$pid" 2>/dev/null || die "$what ended at once"
        sleep 0.05
    done
    die "$what is not ready after 10 s"
}

# --- the servers ------------------------------------------------------------------------------------

price='{requests: 0.001, input_uncached_tokens: 0.10/1M, output_text_tokens: 0.40/1M}'

settings() {
    cat <<END
listen: 127.0.0.1:$gate_port
metrics_listen: 127.0.0.1:$metrics_port
admin_socket: $dir/admin.sock
state_dir: $dir/state
loop_threads: 1
connections_max: 20000
connections_per_ip_max: 20000
idle_timeout_ms: 1h
default_requests_per_minute: 1000000000
default_tokens_per_minute: 1000000000000
default_concurrency: 1000000
END
}

# The plain ways, one backend each.
write_plain_config() {
    settings >"$dir/maasgate.yaml"
    cat >>"$dir/maasgate.yaml" <<END
backends:
  shm: {transport: shm, address: $dir/shm.sock, concurrency: 4096}
  shm2: {transport: shm, address: $dir/shm.sock, concurrency: 4096}
  uds: {transport: socket, address: "unix:$dir/uds.sock", concurrency: 4096}
  net: {transport: http, address: "http://127.0.0.1:$origin_port/v1", concurrency: 4096}
  tls: {transport: http, address: "https://127.0.0.1:$tls_port/v1", ca_file: $dir/tls.crt, http_version: 1.1, concurrency: 4096}
  h2: {transport: http, address: "https://127.0.0.1:$tls_port/v1", ca_file: $dir/tls.crt, concurrency: 4096}
models:
  base/shm: {capabilities: [chat], routes: [{backend: shm, model: ngram-general}], price: $price}
  # A session has at most 4,096 calls.
  base/live: {capabilities: [chat], routes: [{backend: shm, model: ngram-general}, {backend: shm2, model: ngram-general}], price: $price}
  base/uds: {capabilities: [chat], routes: [{backend: uds, model: ngram-general}], price: $price}
  base/net: {capabilities: [chat], routes: [{backend: net, model: ngram-general}], price: $price}
  base/tls: {capabilities: [chat], routes: [{backend: tls, model: ngram-general}], price: $price}
  base/h2: {capabilities: [chat], routes: [{backend: h2, model: ngram-general}], price: $price}
END
}

# One model with 1, one with 10 and one with 100 backends, over shared memory and over HTTP.  They
# all lead to the same worker and the same origin: it is the choice and the upkeep that is measured.
write_many_config() {
    local n i kind routes
    {
        settings
        echo backends:
        for i in $(seq 100); do
            echo "  shm$i: {transport: shm, address: $dir/shm.sock, concurrency: 64}"
            echo "  net$i: {transport: http, address: 'http://127.0.0.1:$origin_port/v1', concurrency: 64}"
        done
        echo models:
        for kind in shm net; do
            for n in 1 10 100; do
                routes=$(seq -f "{backend: $kind%g, model: ngram-general}" -s ', ' "$n")
                echo "  base/$kind-$n: {capabilities: [chat], routes: [$routes], price: $price}"
            done
        done
    } >"$dir/many.yaml"
}

# Four workers that remember beginnings of conversations, and a model that keeps a conversation on
# one of them beside a model that does not.
write_turns_config() {
    local i routes
    routes=$(seq -f '{backend: turn%g, model: ngram-general}' -s ', ' 4)
    {
        settings
        echo backends:
        for i in $(seq 4); do echo "  turn$i: {transport: shm, address: $dir/turn$i.sock}"; done
        cat <<END
models:
  base/none: {capabilities: [chat], routes: [$routes], price: $price}
  base/prefix: {capabilities: [chat], affinity: prefix, routes: [$routes], price: $price}
END
    } >"$dir/turns.yaml"
}

write_configs() {
    read -r gate_port metrics_port plain_port unbuffered_port origin_port slow_port slow_unbuffered_port \
        tls_port nginx_tls_port <<<"$(free_ports 9)"
    write_plain_config
    write_many_config
    write_turns_config
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=bench \
        -addext subjectAltName=IP:127.0.0.1,DNS:bench -keyout "$dir/tls.key" -out "$dir/tls.crt" 2>/dev/null
    cat >"$dir/nginx.conf" <<END
daemon off;
worker_processes 1;
pid $dir/nginx.pid;
error_log $dir/nginx.log;
events { worker_connections 32768; }
http {
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    client_body_temp_path $dir/nginx-body;
    proxy_temp_path $dir/nginx-proxy;
    fastcgi_temp_path $dir/nginx-fastcgi;
    uwsgi_temp_path $dir/nginx-uwsgi;
    scgi_temp_path $dir/nginx-scgi;
    upstream origin {
        server 127.0.0.1:$origin_port;
        keepalive 2048;
        keepalive_requests 1000000000;
    }
    upstream slow {
        server 127.0.0.1:$slow_port;
        keepalive 8192;
        keepalive_requests 1000000000;
    }
    upstream tls {
        server 127.0.0.1:$tls_port;
        keepalive 2048;
        keepalive_requests 1000000000;
    }
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    server { listen 127.0.0.1:$plain_port; location / { proxy_pass http://origin; } }
    server {
        listen 127.0.0.1:$unbuffered_port;
        location / { proxy_pass http://origin; proxy_buffering off; }
    }
    server {
        listen 127.0.0.1:$slow_unbuffered_port;
        location / { proxy_pass http://slow; proxy_buffering off; }
    }
    server {
        listen 127.0.0.1:$nginx_tls_port;
        location / {
            proxy_pass https://tls;
            proxy_ssl_verify on;
            proxy_ssl_name bench; # of addresses it checks no names
            proxy_ssl_trusted_certificate $dir/tls.crt;
        }
    }
}
END
    # What takes the TLS off in front of the origin is no part of what is measured.
    cat >"$dir/tls.conf" <<END
daemon off;
worker_processes 1;
pid $dir/tls.pid;
error_log $dir/tls.log;
events { worker_connections 8192; }
http {
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    client_body_temp_path $dir/tls-body;
    proxy_temp_path $dir/tls-proxy;
    fastcgi_temp_path $dir/tls-fastcgi;
    uwsgi_temp_path $dir/tls-uwsgi;
    scgi_temp_path $dir/tls-scgi;
    upstream origin { server 127.0.0.1:$origin_port; keepalive 2048; keepalive_requests 1000000000; }
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    ssl_certificate $dir/tls.crt;
    ssl_certificate_key $dir/tls.key;
    server { listen 127.0.0.1:$tls_port ssl http2; location / { proxy_pass http://origin; } }
}
END
}

write_bodies() {
    local way message="Tell me about rivers"
    for way in shm live uds net tls h2 {shm,net}-{1,10,100}; do
        printf '{"model":"base/%s","messages":[{"role":"user","content":"%s"}],"max_tokens":8}' \
            $way "$message" >"$dir/$way.json"
        printf '{"model":"base/%s","messages":[{"role":"user","content":"%s #delay=%s #tokens=%s"}],"stream":true,"stream_options":{"include_usage":true},"max_tokens":%s}' \
            $way "$message" $delay_ms $tokens $tokens >"$dir/$way-stream.json"
        sed "s/#delay=$delay_ms/#delay=$slow_delay_ms/" "$dir/$way-stream.json" >"$dir/$way-slow.json"
    done
}

start_worker() {
    $on_rest "$bin/maasgate-refworker" --listen "shm:$dir/shm.sock" --listen "unix:$dir/uds.sock" \
        --corpus backends/refworker/corpus >"$dir/worker.log" 2>&1 &
    pids+=($!)
    wait_for 'the worker' $! grep -q ready "$dir/worker.log"
}

# The configuration; then bodies of requests that must be answered before anything is measured.
start_gate() {
    local config=$1 body
    shift
    rm -rf "$dir/state"
    $on_proxy "$bin/maasgated" --config "$dir/$config" 2>"$dir/maasgated.log" &
    gate_pid=$!
    pids+=("$gate_pid")
    wait_for 'maasgated' "$gate_pid" curl -fs "http://127.0.0.1:$gate_port/readyz"
    export MAASGATE_ADMIN=$dir/admin.sock
    "$bin/maasgate" project create bench --budget 100000000 --budget-period total >/dev/null
    key=$("$bin/maasgate" key create bench 2>/dev/null | awk 'NR == 1 { print $1 }')
    for body in "$@"; do wait_for "the way of $body" "$gate_pid" ask "$body"; done
}

restart_gate() {
    end_process "$gate_pid"
    start_gate "$@"
}

ask() {
    curl -fsS --no-buffer --max-time 60 "http://127.0.0.1:$gate_port/v1/chat/completions" \
        -H "Authorization: Bearer $key" -H 'Content-Type: application/json' -d "@$dir/$1"
}

# The origin says byte for byte what the worker said, so that both sides move the same bytes.
start_origin() {
    ask shm.json >"$dir/answer.json"
    sed 's/#delay=[0-9]*/#delay=0/' "$dir/shm-stream.json" >"$dir/fast.json"
    ask fast.json >"$dir/answer.events"
    start_one_origin "$origin_port" $delay_ms
    start_one_origin "$slow_port" $slow_delay_ms
    wait_for 'the way to the origin' "$gate_pid" ask net.json
}

start_one_origin() {
    $on_rest "$bin/bench_origin" --answer "$dir/answer.json" --stream "$dir/answer.events" \
        --delay-ms "$2" --port "$1" >"$dir/origin-$2.log" 2>&1 &
    pids+=($!)
    wait_for 'the origin' $! curl -fs "http://127.0.0.1:$1/"
}

start_nginx() {
    $on_rest nginx -c "$dir/tls.conf" -e "$dir/tls.log" -p "$dir" >"$dir/tls.out.log" 2>&1 &
    pids+=($!)
    wait_for 'the TLS server' $! curl -fs --cacert "$dir/tls.crt" "https://127.0.0.1:$tls_port/"
    $on_proxy nginx -c "$dir/nginx.conf" -e "$dir/nginx.log" -p "$dir" >"$dir/nginx.out.log" 2>&1 &
    local master=$!
    pids+=("$master")
    wait_for nginx "$master" curl -fs "http://127.0.0.1:$plain_port/"
    wait_for 'nginx over TLS' "$master" curl -fs "http://127.0.0.1:$nginx_tls_port/"
    nginx_pid=$(pgrep -P "$master" | head -n 1)
}

# --- measuring --------------------------------------------------------------------------------------

# way -> where it is asked, with what, and whose CPU time counts
target() {
    body=$1 port=$gate_port cpu=$gate_pid
    case $1 in
    nginx) body=net port=$plain_port cpu=$nginx_pid ;;
    unbuffered) body=net port=$unbuffered_port cpu=$nginx_pid ;;
    slow) body=net port=$slow_unbuffered_port cpu=$nginx_pid ;;
    nginx-tls) body=net port=$nginx_tls_port cpu=$nginx_pid ;;
    direct) body=net port=$origin_port cpu=$nginx_pid ;;
    esac
}

# kind of row, way, mode, body suffix, then options of the client; one line to $rows
load() {
    local row=$1 way=$2 mode=$3 suffix=$4 line
    shift 4
    target "$way"
    line=$($on_rest "$bin/bench_load" "$mode" --port "$port" --path /v1/chat/completions \
        --body "$dir/$body$suffix.json" --key "$key" --cpu "$cpu" "$@") ||
        die "$row $way: not every answer was good: $line"
    echo "$row $way $line" >>"$rows"
}

measure_requests() {
    local round way
    for round in $(seq $rounds); do
        say "requests, round $round of $rounds"
        for way in nginx shm uds net; do
            load request $way request '' --connections $connections --seconds $seconds
        done
    done
}

measure_tls() {
    local round way
    for round in $(seq $stream_rounds); do
        say "requests over TLS, round $round of $stream_rounds"
        for way in nginx-tls tls h2; do
            load tls $way request '' --connections $connections --seconds $seconds
        done
    done
}

measure_many() {
    local round way
    restart_gate many.yaml {shm,net}-{1,10,100}.json
    for round in $(seq $stream_rounds); do
        say "1, 10 and 100 backends, round $round of $stream_rounds"
        for way in {shm,net}-{1,10,100}; do
            load many "$way" request '' --connections $connections --seconds $seconds
        done
    done
}

measure_turns() {
    local i way
    say 'conversations of many turns'
    for i in $(seq 4); do
        $on_rest "$bin/maasgate-refworker" --listen "shm:$dir/turn$i.sock" --prefix-cache \
            --corpus backends/refworker/corpus >"$dir/turn$i.log" 2>&1 &
        pids+=($!)
        wait_for 'a worker with a memory' $! grep -q ready "$dir/turn$i.log"
    done
    restart_gate turns.yaml
    for way in none prefix; do
        echo "turns $way $($on_rest bench/turns.py --port "$gate_port" --metrics-port "$metrics_port" \
            --key "$key" --model base/$way --conversations $conversations)" >>"$rows"
    done
}

measure_streams() {
    local round way
    for round in $(seq $stream_rounds); do
        say "streams, round $round of $stream_rounds"
        for way in unbuffered shm uds net; do
            load stream $way stream -stream --connections $streams --seconds $stream_seconds \
                --warmup 1.5
        done
    done
}

# Half of what the way did at most, and the origin alone at that same rate.
measure_latency() {
    local round way rate
    for round in $(seq $stream_rounds); do
        say "latency, round $round of $stream_rounds"
        for way in nginx shm uds net; do
            rate=$(bench/table.py "$rows" half-load $way)
            load latency $way rate '' --connections 256 --rate "$rate" --seconds $seconds
            load latency "direct" rate '' --connections 256 --rate "$rate" --seconds $seconds
            sed -i "\$s/^latency direct/latency direct-$way/" "$rows"
        done
    done
}

hold_idle() {
    local way=$1 line
    target "$way"
    $on_rest "$bin/bench_load" idle --port "$port" --path "$2" --connections 10000 --cpu "$cpu" \
        >"$dir/idle.log" &
    local holder=$!
    pids+=("$holder")
    for _ in $(seq 600); do
        grep -q ready "$dir/idle.log" && break
        kill -0 "$holder" 2>/dev/null || die "idle $way: the client ended"
        sleep 0.1
    done
    read -r _ line <"$dir/idle.log"
    echo "idle $way $line" >>"$rows"
    end_process "$holder"
}

# A fresh daemon: what earlier rows made it keep is not what connections cost.
measure_memory() {
    local way
    say 'memory: 10,000 idle connections, 1,000 and 5,000 streams'
    restart_gate maasgate.yaml shm.json
    load empty shm request '' --connections 1 --seconds 0.2
    hold_idle nginx /
    hold_idle shm /healthz
    restart_gate maasgate.yaml shm.json
    for way in unbuffered shm; do
        load streams1000 $way stream -stream --connections 1000 --seconds 2 --warmup 2
    done
    restart_gate maasgate.yaml live.json
    for way in slow live; do
        load streams5000 $way stream -slow --connections 5000 --seconds $stream_seconds --warmup 5
    done
}

measure_ledger() {
    say 'the ledger alone'
    echo "ledger - $($on_proxy "$bin/bench_ledger" $((seconds + 1)))" >>"$rows"
}

# The same behind a history: the stores lie below build/, where there is room, and go away again.
measure_history() {
    local store stored days
    store=$(mktemp -d "$PWD/build/bench-history.XXXXXX")
    stores+=("$store")
    for stored in 100000 $([ -n "$quick" ] || echo 10000000); do
        days=$((stored > 100000 ? 744 : 62))
        say "the ledger behind $stored requests of $days days"
        echo "history $stored $($on_proxy "$bin/bench_ledger" $seconds "$store" "$stored" $days)" >>"$rows"
        rm -f "$store"/ledger.*
    done
}

measure_sizes() {
    local name
    for name in maasgated maasgate maasgate-refworker libmaasworker.so; do
        [ -e "$bin/$name" ] || continue
        strip -o "$dir/stripped" "$bin/$name"
        echo "size $name bytes=$(stat -c %s "$dir/stripped")" >>"$rows"
    done
    echo "size nginx bytes=$(stat -Lc %s "$(command -v nginx)")" >>"$rows"
}

# --- the table --------------------------------------------------------------------------------------

cpu_model() { sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1; }

write_table() {
    local kernel file slug
    kernel=$(uname -r | cut -d- -f1)
    slug=$(echo "$(cpu_model | tr -cs 'A-Za-z0-9' '-' | tr 'A-Z' 'a-z' | sed 's/-*$//')-$(nproc)cpu-linux$kernel")
    file=bench/results/$(date -u +%Y-%m-%d)-$slug-${KIND:-release}.md
    [ -z "$quick" ] || file=build/bench-quick.md
    mkdir -p "$(dirname "$file")"
    {
        printf '# make bench, %s\n\n' "$(date -u '+%Y-%m-%d %H:%M UTC')"
        printf '%s, %s CPUs, Linux %s, %s, commit %s, %s; %s rounds%s.\n\n' "$(cpu_model)" "$(nproc)" \
            "$kernel" "$(nginx -v 2>&1 | sed 's/.*: //')" \
            "$(git rev-parse --short HEAD 2>/dev/null || echo none)" \
            "$([ -n "$on_proxy" ] && echo 'proxies on one CPU, the rest on another' || echo 'not pinned')" \
            $rounds "${quick:+ (quick)}"
        bench/table.py "$rows" table
    } >"$file"
    cat "$file"
    say "written to $file"
}

command -v nginx >/dev/null || die 'nginx is not there; make bench installs it'
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
ulimit -n "$(ulimit -H -n)"
write_configs
write_bodies
start_worker
start_gate maasgate.yaml shm.json uds.json
start_origin
start_nginx
measure_requests
measure_tls
measure_streams
measure_latency
measure_many
measure_turns
measure_memory
measure_ledger
measure_history
measure_sizes
write_table
