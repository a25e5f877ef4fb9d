#!/usr/bin/env bash
# All tests, counted: the last line is `N passed, N failed`.
#
#   tests/run.sh                        the units, then the flow tests (make check)
#   tests/run.sh --flow [PYTEST ARGS]   the flow tests alone (make flow)
#   tests/run.sh --kind asan --short    the units and the short flow tests of build/asan
#   tests/run.sh --engines [PYTEST ARGS]  real engines (make engines)
#   tests/run.sh --soak SECONDS         load for so long; memory and descriptors must stay flat
#
# MAASGATE_BUILD= names another build folder.  The flow tests start the real daemon and real workers; see tests/flow/README.md.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

kind=${KIND:-release} short='' soak='' engines='' units=yes
while [ $# -gt 0 ]; do
    case $1 in
    --flow) units='' ;;
    --engines) engines=yes units='' ;;
    --short) short=yes ;;
    --kind) kind=${2:?which build?} && shift ;;
    --soak) soak=${2:?how many seconds?} units='' && shift ;;
    *) break ;;
    esac
    shift
done
build=${MAASGATE_BUILD:-build/$kind}
export MAASGATE_BUILD=$build
export ASAN_OPTIONS=detect_leaks=1:halt_on_error=1:exitcode=66
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1:exitcode=66
export TSAN_OPTIONS=halt_on_error=1:exitcode=66:second_deadlock_stack=1:suppressions=$PWD/tests/tsan.supp
passed=0 failed=0

# ThreadSanitizer of older compilers cannot live with much address randomisation.
run_unit() {
    local runner=()
    [ "$kind" != tsan ] || runner=(setarch -R)
    # The limit of a test is there for one that hangs, not for a machine that is busy.  The leak
    # check of each forked test reads all memory, freed memory that is kept back included.
    ASAN_OPTIONS=$ASAN_OPTIONS:quarantine_size_mb=8 CK_TIMEOUT_MULTIPLIER=20 \
        "${runner[@]}" "$build/unit"
}

# Adds the counts of a log's closing line; a run that has none counts as one failure.
count() {
    local log=$1 code=$2 good bad
    good=$(tail -n 5 "$log" | grep -oE '[0-9]+ passed' | tail -n 1 | cut -d' ' -f1)
    bad=$(tail -n 5 "$log" | grep -oE '[0-9]+ (failed|errors?)' | awk '{ n += $1 } END { print n + 0 }')
    [ "$code" = 0 ] || [ "$bad" != 0 ] || bad=1
    [ $((${good:-0} + bad)) -gt 0 ] || bad=1
    passed=$((passed + ${good:-0})) failed=$((failed + bad))
}

# make_venv NAME LIST...: build/NAME with those packages, their hashes checked; made once for each version of the lists.
make_venv() {
    local venv=build/$1 want list args=()
    shift
    want=$(cat "$@" | sha256sum)
    [ "$(cat "$venv/.stamp" 2>/dev/null)" != "$want" ] || return 0
    echo "tests: making $venv from $*"
    rm -rf "$venv"
    if ! /usr/bin/python3 -m venv "$venv"; then
        tools/bootstrap.sh test && rm -rf "$venv" && /usr/bin/python3 -m venv "$venv" || return 1
    fi
    for list in "$@"; do args+=(-r "$list"); done
    "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --no-deps \
        "${args[@]}" || return 1
    echo "$want" >"$venv/.stamp"
}

# They mostly wait, so all of them run three files at a time; chosen ones run in their order.
run_flow() {
    local args=(-v --tb=short --durations=8)
    [ -z "$short" ] || args+=(-m short)
    [ $# -gt 0 ] || args+=(-n 3 --dist loadfile)
    make_venv venv tests/requirements.txt && (cd tests/flow && PYTHONDONTWRITEBYTECODE=1 ../../build/venv/bin/python -m pytest "${args[@]}" "$@")
}

# Real engines behind the gateway; llama-server and a model with its weights come with the packages.
run_engines() {
    make_venv venv-engines tests/requirements.txt tests/flow/engines/requirements.txt &&
        (cd tests/flow/engines && PYTHONDONTWRITEBYTECODE=1 ../../../build/venv-engines/bin/python -m pytest \
            -v --tb=short --durations=8 "$@")
}

logs=build/tests
mkdir -p "$logs"
if [ -n "$units" ]; then
    run_unit 2>&1 | tee "$logs/unit-$kind.log"
    count "$logs/unit-$kind.log" "${PIPESTATUS[0]}"
fi
if [ -n "$engines" ]; then
    run_engines "$@" 2>&1 | tee "$logs/engines.log"
    count "$logs/engines.log" "${PIPESTATUS[0]}"
elif [ -n "$soak" ]; then
    make_venv venv tests/requirements.txt && build/venv/bin/python tests/flow/soak.py "$soak" 2>&1 | tee "$logs/soak.log"
    count "$logs/soak.log" "${PIPESTATUS[0]}"
else
    run_flow "$@" 2>&1 | tee "$logs/flow-$kind.log"
    count "$logs/flow-$kind.log" "${PIPESTATUS[0]}"
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
