#!/usr/bin/env bash
# Style checked by machine: tools/lint.sh prints every breach as file:line: sentence, fails on any.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

files() { git ls-files -co --exclude-standard -- "$@" | while read -r f; do [ ! -f "$f" ] || echo "$f"; done; }
failed=0
verdict() {
    if [ "$1" = 0 ]; then printf 'lint: %-8s ok\n' "$2"; else printf 'lint: %-8s FAILED\n' "$2"; failed=1; fi
}

mapfile -t c_files < <(files '*.c' '*.h')
mapfile -t scripts < <(files '*.sh' '.ci/run'; files tools tests bench ':!tests/fuzz/corpus' | while read -r f; do
    case $f in *.sh) ;; *) head -c 64 "$f" | head -n 1 | grep -aqE '^#!.*\b(ba)?sh$' && echo "$f" ;; esac
done)

# layers, doors, banned calls, floats, comments, sizes
python3 tools/lint_c.py --stats "${c_files[@]}"
verdict $? c

# The first place in each file tells enough: make format mends them all.
[ ${#c_files[@]} = 0 ] || clang-format --dry-run -Werror "${c_files[@]}" 2>&1 | awk -F: '
    / error: / { count[$1]++; if (count[$1] == 1) { first[$1] = $2; order[++n] = $1 } }
    END { for (i = 1; i <= n; i++)
              printf "%s:%s: here and %d more: not as clang-format writes it; run make format\n",
                     order[i], first[order[i]], count[order[i]] - 1 }'
verdict $? format

bad=0
for script in "${scripts[@]}"; do bash -n "$script" || bad=1; done
shellcheck --severity=warning --format=gcc "${scripts[@]}" || bad=1
verdict $bad shell

files '*.py' | tr '\n' '\0' | xargs -0 -r pyflakes3
verdict $? python

# In C this is checked by lint_c.py, which knows a comment from a string.
{ files '*.py' '*.sql' '*.yaml' Makefile; printf '%s\n' "${scripts[@]}"; } | grep -v '^tools/lint' |
    tr '\n' '\0' | xargs -0 -r awk '/(^|[^[:alnum:]_])(TODO|FIXME|XXX)([^[:alnum:]_]|$)/ && !/#[0-9]/ {
        print FILENAME ":" FNR ": a thing left for later names its issue: #N"; bad = 1 } END { exit bad }'
verdict $? later

# Messages cannot be mended once others have them, so these are told and do not fail.
git log --no-merges --format='%h %s' 2>/dev/null | while read -r hash subject; do
    [[ $subject =~ ^[a-zA-Z0-9_./-]+(,\ [a-zA-Z0-9_./-]+)*:\ [^\ ].*$ ]] ||
        echo "$hash: warning: the subject is not 'area: what': $subject"
    [ ${#subject} -le 60 ] || echo "$hash: warning: the subject has ${#subject} characters, 60 are enough"
done

exit $failed
