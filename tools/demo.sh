#!/usr/bin/env bash
# make demo: a worker, the daemon, two customers with keys, one request of each kind, the usage,
# invoices, a credit note, a payout statement, an audit; then everything ends again.
# make run:  the same set-up on PORT, in the foreground, with build/demo/env to source.
#
# Each begins with an empty ledger.  Only processes started here are ended, by their pid.
set -euo pipefail
cd "$(dirname "$0")/.."

mode=${1:-demo}
bin=build/${KIND:-release}
home=$PWD/build/demo
dir=$home
[ "$mode" = demo ] || dir=$home/run # so that `make demo` does not disturb a running `make run`
daemon_pid='' worker_pid='' short=''

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
die() { printf 'demo: %s\n' "$*" >&2; exit 1; }

end_process() {
    [ -n "$1" ] && kill -TERM "$1" 2>/dev/null || return 0
    wait "$1" 2>/dev/null || true
}

clean_up() {
    local code=$?
    trap - EXIT INT TERM
    end_process "$daemon_pid"
    end_process "$worker_pid"
    [ -z "$short" ] || rm -f "$short"
    [ "$mode" = demo ] || [ -z "$daemon_pid" ] || rm -f "$home/env" # its keys are worth nothing now
    if [ -n "$daemon_pid" ] && [ "$code" != 0 ] && [ "$code" -lt 128 ]; then
        printf '\ndemo: the end of %s:\n' "$dir/maasgated.log" >&2
        tail -n 15 "$dir/maasgated.log" >&2
    fi
    exit "$code"
}

# The first argument when nothing listens there, else any port that is free.
free_port() {
    python3 - "$1" <<'END'
import socket, sys
for port in (int(sys.argv[1]), 0):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            continue
        print(s.getsockname()[1])
        break
END
}

make_directory() {
    mkdir -p "$dir"
    chmod 700 "$dir" # the admin socket's directory must be nobody else's
    exec 9>"$dir/lock"
    flock -n 9 || die "another 'make $mode' is running in $dir"
    [ "$mode" = demo ] || rm -f "$home/env"
    rm -rf "$dir/state" "$dir"/*.sock "$dir"/*.log "$dir/maasgate.yaml"
    # A socket's path has at most 107 bytes; a deep checkout is reached through a short link.
    if [ ${#dir} -gt 90 ]; then
        short=$(mktemp -u /tmp/maasgate-demo.XXXXXX)
        ln -s "$dir" "$short"
    fi
}

write_config() {
    port=$(free_port "${PORT:-$([ "$mode" = run ] && echo 8080 || echo 0)}")
    [ -z "${PORT:-}" ] || [ "$port" = "$PORT" ] || die "port $PORT is taken"
    metrics_port=$(free_port 0)
    sed -e "s|@DIR@|${short:-$dir}|g" -e "s|@PORT@|$port|g" -e "s|@METRICS_PORT@|$metrics_port|g" \
        conf/demo/demo.yaml >"$dir/maasgate.yaml"
    url=http://127.0.0.1:$port
    export MAASGATE_ADMIN=${short:-$dir}/admin.sock
}

# Up to 20 s; the process must not end meanwhile.
wait_for() {
    local what=$1 pid=$2
    shift 2
    for _ in $(seq 200); do
        "$@" >/dev/null 2>&1 && return
        kill -0 "$pid" 2>/dev/null || die "$what ended at once"
        sleep 0.1
    done
    die "$what is not ready after 20 s"
}

start() {
    "$bin/maasgate-refworker" --listen "shm:${short:-$dir}/worker.sock" \
        --corpus backends/refworker/corpus >"$dir/worker.log" 2>&1 9>&- &
    worker_pid=$!
    wait_for 'the worker' "$worker_pid" grep -q ready "$dir/worker.log"
    "$bin/maasgated" --config "$dir/maasgate.yaml" 2>"$dir/maasgated.log" 9>&- &
    daemon_pid=$!
    wait_for 'the daemon' "$daemon_pid" curl -fs --max-time 2 "$url/readyz"
}

# Prints the new key alone; that it is shown only once needs no saying here.
new_key() {
    "$bin/maasgate" key create "$@" 2>"$dir/cli.log" || { cat "$dir/cli.log" >&2; return 1; }
}

make_keys() {
    "$bin/maasgate" project create demo --name 'Demo Organisation' --budget 1000.00 \
        --budget-period month --buyer-name 'Demo Organisation'
    key=$(new_key demo --label demo)
    key_tiny=$(new_key demo --label tiny --rpm 3)
    # A mine on a subscription that includes some usage, and whose own industry model is built by a partner.
    "$bin/maasgate" org create mine --name 'Mine' --buyer-name 'Mine Operations'
    "$bin/maasgate" contract set mine --fee 300.00 --fee-every year --included 0.0050 --tax-rate 1300
    "$bin/maasgate" project create mine-shift --org mine --budget 100.00
    key_mine=$(new_key mine-shift --label shift)
    "$bin/maasgate" org create builder --name 'Builder of mining models'
    "$bin/maasgate" share set industry/mining/ builder --basis-points 3000
    # A small chat request holds between 0.0010 and 0.0019: one fits, a second never does.
    "$bin/maasgate" project create broke --name 'Nearly Broke' --budget 0.0019 --budget-period total
    key_broke=$(new_key broke --label broke)
    wait_for 'the way to the worker' "$daemon_pid" curl -fs --max-time 2 \
        -H "Authorization: Bearer $key" "$url/v2/models/base/simple/ready"
}

# --- make demo --------------------------------------------------------------------------------------

# What a person would type, then what comes back in a readable form.
call() {
    local show=$1 path=$2 body=$3
    printf '$ curl %s -d '\''%s'\''\n' "\$BASE$path" "${body:0:160}"
    curl -sS --fail-with-body --no-buffer --max-time 60 "$url$path" -H "Authorization: Bearer ${4:-$key}" \
        -H 'Content-Type: application/json' -d "$body" | python3 tools/demo_show.py "$show"
}

sixteen() { seq -s, "$1" "$2" "$3"; }

ask_everything() {
    say 'A base model: base/chat'
    call chat /v1/chat/completions '{"model":"base/chat","max_tokens":60,"messages":[{"role":"user","content":"What does a gateway do?"}]}'
    say 'A domain model, by its own base URL, streamed: domain/code/review'
    call stream /domain/code/v1/chat/completions '{"model":"review","stream":true,"stream_options":{"include_usage":true},"max_tokens":60,"messages":[{"role":"user","content":"Review a function that frees a buffer twice."}]}'
    say 'An industry model, named by the path alone: industry/finance/risk'
    call chat /industry/finance/v1/chat/completions '{"max_tokens":60,"messages":[{"role":"user","content":"What is the risk of a long bond?"}]}'
    say 'A scene of an industry, a recipe over its parents: industry/mining/safety/gas-warning'
    call chat /v1/chat/completions '{"model":"industry/mining/safety/gas-warning","max_tokens":40,"messages":[{"role":"user","content":"Methane 1.2 percent, rising."}]}'
    say 'The same scene for a customer on a subscription'
    call chat /v1/chat/completions '{"model":"industry/mining/safety/gas-warning","max_tokens":40,"messages":[{"role":"user","content":"Methane 1.4 percent, rising fast."}]}' "$key_mine"
    say 'An embedding: base/embed'
    call embedding /v1/embeddings '{"model":"base/embed","input":"a text to compare"}'
    say 'An image: base/image'
    call image:build/demo/image.png /v1/images/generations '{"model":"base/image","prompt":"a quiet harbour","size":"256x256"}'
    say 'A text that goes on: base/chat again, by the older endpoint'
    call completion /v1/completions '{"model":"base/chat","prompt":"The house at the end of the street","max_tokens":40}'
    say 'Documents in the order of their likeness to a question: base/rank'
    call ranking /v1/rerank '{"model":"base/rank","query":"credit risk","documents":["tomatoes in a garden","the risk of a credit","boats on the sea"],"return_documents":true}'
    say 'A moderation: base/guard'
    call moderation /v1/moderations '{"model":"base/guard","input":"I will kill time until noon."}'
    say 'A tensor inference: base/simple'
    call tensors /v2/models/base/simple/infer \
        "{\"inputs\":[{\"name\":\"INPUT0\",\"shape\":[1,16],\"datatype\":\"INT32\",\"data\":[$(sixteen 1 1 16)]},{\"name\":\"INPUT1\",\"shape\":[1,16],\"datatype\":\"INT32\",\"data\":[$(sixteen 10 10 160)]}]}"
}

show_money() {
    local month number
    month=$(date -u +%Y-%m)
    say 'What was metered (maasgate usage --project demo)'
    "$bin/maasgate" usage --project demo
    say "The invoice so far, pay as you go (maasgate invoice $month --org demo)"
    "$bin/maasgate" invoice "$month" --org demo
    say 'Issued before the month is over (--until-now --issue), and added again by other code'
    "$bin/maasgate" invoice "$month" --org demo --until-now --issue --json >"$dir/invoice.json"
    python3 tools/demo_show.py invoice <"$dir/invoice.json"
    number=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["number"])' <"$dir/invoice.json")
    say "One line of it is taken back (maasgate credit-note $number 'a wrong price' --line 1)"
    "$bin/maasgate" credit-note "$number" 'a wrong price' --line 1
    say "The other customer's invoice: a subscription and what it includes (maasgate invoice --org mine)"
    "$bin/maasgate" invoice "$month" --org mine --until-now --issue
    say "What the builder of the industry model has earned (maasgate payout $month builder)"
    "$bin/maasgate" payout "$month" builder
    say 'Everything recomputed from the rows (maasgate audit)'
    "$bin/maasgate" audit
}

# --- make run ---------------------------------------------------------------------------------------

write_env() {
    (umask 077 && cat >"$home/env.new" <<END
export OPENAI_BASE_URL=$url/v1
export OPENAI_API_KEY=$key
export MAASGATE_ADMIN=$MAASGATE_ADMIN
export MAASGATE_KEY_TINY=$key_tiny
export MAASGATE_KEY_BROKE=$key_broke
export MAASGATE_METRICS_URL=http://127.0.0.1:$metrics_port/metrics
END
    )
    mv "$home/env.new" "$home/env"
}

stay() {
    say "maasgate is ready at $url (Ctrl-C ends it)"
    cat <<END
  . build/demo/env       sets OPENAI_BASE_URL, OPENAI_API_KEY and more for any OpenAI SDK
  $bin/maasgate models   what can be called, and for how much
  $bin/maasgate usage    what was used
END
    wait "$daemon_pid" || die "the daemon ended with $?"
}

case $mode in demo | run) ;; *) die "usage: tools/demo.sh [run]" ;; esac
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
make_directory
write_config
say "Setting up in ${dir#"$PWD"/}: a reference worker and maasgated"
start
make_keys
if [ "$mode" = run ]; then
    write_env
    stay
else
    ask_everything
    show_money
    say 'Done. make run keeps it up for your own SDK; README.md goes on from here.'
fi
