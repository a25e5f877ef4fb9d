#!/usr/bin/env bash
# Every model in tests/models, whole, and every mutant that its MUTANTS lines name: those must fail.
#
#   tests/models/run.sh [NAME]       (make models)    the last line is `N passed, N failed`
#
# A model that finds nothing wrong proves little unless the same model without one of the guards does.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

work=build/models
passed=0 failed=0
mkdir -p "$work"

# Builds and runs the checker; its log is in $1/log.
explore() {
    local dir=$1 model=$2
    shift 2
    rm -rf "$dir" && mkdir -p "$dir" || return 1
    (cd "$dir" && spin -a "$@" "../../../tests/models/$model.pml" &&
        gcc -O2 -w -DSAFETY -DCOLLAPSE -DVECTORSZ=2048 -DMEMLIM=2000 -o pan pan.c && ./pan -m500000 -n) \
        >"$dir/log" 2>&1
}

# What the checker says, if its search was whole or has found something.
verdict() {
    if grep -q 'errors: 0' "$1" && ! grep -qE 'reached -DMEMLIM|max search depth too small|out of memory' "$1"; then
        echo right
    elif grep -q '^pan:1: ' "$1"; then
        grep -m 1 '^pan:1: ' "$1" | sed 's/^pan:1: //; s/ (at depth.*//'
    else
        echo broken
    fi
}

say() { printf 'models: %-32s %s\n' "$1" "$2"; }

count() { # ok or not, name, sentence
    if [ "$1" = yes ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
    say "$2" "$3"
}

check() {
    local model=$1 log=$work/$1/log result
    explore "$work/$model" "$model"
    result=$(verdict "$log")
    if [ "$result" = right ]; then
        count yes "$model" "holds in $(awk '/states, stored/ { print $1 }' "$log") states"
    else
        tail -n 20 "$log"
        count no "$model" "FAILED: $result"
    fi
}

check_mutant() {
    local model=$1 mutant=$2 dir=$work/$1-$2 result
    explore "$dir" "$model" "-D$mutant"
    result=$(verdict "$dir/log")
    case $result in
    right) count no "$model $mutant" 'FAILED: nothing was found' ;;
    broken) tail -n 20 "$dir/log"; count no "$model $mutant" 'FAILED: it could not be checked' ;;
    *) count yes "$model $mutant" "fails, as it must: $result" ;;
    esac
}

for file in tests/models/*.pml; do
    model=$(basename "$file" .pml)
    [ -z "${1-}" ] || [ "$1" = "$model" ] || continue
    check "$model"
    while read -r mutant; do
        check_mutant "$model" "$mutant"
    done < <(sed -n 's/^ \* MUTANTS: //p' "$file" | tr ' ' '\n')
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
