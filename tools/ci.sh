#!/usr/bin/env bash
# The steps of `make ci`, one after the other; stops at the first failure.
#
# Each step's output goes to build/ci/STEP.log; what stands on the screen is one line a step with its
# seconds, the whole tests' output, and the end of the log of a step that failed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

# Each make below is its own master with its own jobs; variables of the command line stay exported.
unset MAKEFLAGS MFLAGS MAKELEVEL
export WERROR=1
logs=build/ci
began=$SECONDS
rm -rf "$logs"
mkdir -p "$logs"

step() {
    local name=$1 log=$logs/$1.log start=$SECONDS
    shift
    printf 'ci: [%4d s] %-10s ...\n' $((start - began)) "$name"
    if ! "$@" </dev/null >"$log" 2>&1; then
        tail -n 60 "$log"
        printf 'ci: FAILED at %s after %d s; the whole log is %s\n' "$name" $((SECONDS - start)) "$log"
        exit 1
    fi
    grep -hE '^[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1
    printf 'ci: [%4d s] %-10s ok, %d s\n' $((SECONDS - began)) "$name" $((SECONDS - start))
}

run() { make --no-print-directory "$@"; }

step packages run bootstrap-test
step deps     run deps
step lint     run lint
step gcc      run build-tests build-bench
step clang    run KIND=clang build-tests build-bench
step check    run check
step engines  run engines
step asan     run asan
step ubsan    run ubsan
step tsan     run tsan
step torture  run torture SHORT=1
step fuzz     run fuzz
step models   run models
step mutate   run mutate
step deaths   env MAASGATE_DEATHS=50 MAASGATE_STOPS='1 10' tests/run.sh --flow test_deaths.py

# The closing lines of all steps, added up: what was counted, in the words of `make check`.
cat "$logs"/*.log | awk -v seconds=$((SECONDS - began)) '
    /^[0-9]+ passed, [0-9]+ failed/ { passed += $1; failed += $3 }
    END { printf "ci: everything passed in %d s\n%d passed, %d failed\n", seconds, passed, failed
          exit failed > 0 }'
