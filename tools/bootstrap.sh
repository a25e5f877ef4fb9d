#!/usr/bin/env bash
# Install the Debian packages that a group of targets needs, and nothing when all is there.
#
#   tools/bootstrap.sh [build] [test] [bench]      default: build
#
# With every package present no apt command runs, so this is silent, fast and works offline.
set -euo pipefail

say() { printf 'bootstrap: %s\n' "$*"; }
die() { printf 'bootstrap: %s\n' "$*" >&2; exit 1; }

installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# The sanitizer and fuzzer runtimes carry clang's version in their name.
clang_version() {
    { dpkg-query -W -f='${Depends}' clang 2>/dev/null || apt-cache depends clang 2>/dev/null; } |
        grep -o 'clang-[0-9]\+' | head -n 1 | cut -d- -f2 || true
}

packages() {
    case $1 in
    build) echo build-essential pkg-config dpkg-dev debian-archive-keyring ca-certificates xz-utils \
        curl python3 libjansson-dev libuv1-dev libssl-dev libcurl4-openssl-dev libnghttp2-dev libyaml-dev \
        libsystemd-dev zlib1g-dev libpcre2-dev tzdata ;;
    test) echo check libsubunit-dev clang clang-format llvm valgrind shellcheck pyflakes3 \
        python3-venv procps openssl spin nginx
        [ -n "$(clang_version)" ] && echo "libclang-rt-$(clang_version)-dev"
        # systemd-analyze checks our units; it needs no running systemd.
        command -v systemd-analyze >/dev/null || echo systemd ;;
    bench) echo nginx openssl procps ;;
    *) die "unknown group '$1'; the groups are build, test and bench" ;;
    esac
}

missing() {
    local group names name
    for group in "$@"; do
        names=$(packages "$group") || exit 1
        for name in $names; do
            installed "$name" || echo "$name"
        done
    done | sort -u
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        command -v sudo >/dev/null || die "not root and there is no sudo; as root run: $0 $groups"
        sudo "$@"
    fi
}

# Somebody else's apt run may hold the list lock, which apt-get update does not wait for.
update_lists() {
    local try
    for try in 1 2 3 4 5 6; do
        as_root apt-get -qq update && return
        [ "$try" = 6 ] || sleep 10
    done
    say "apt-get update failed; trying with the package lists that are here"
}

# A benchmark needs the nginx program, not a web server that runs from now on: policy-rc.d keeps
# the package from starting it.  A policy that the machine already has is left as it is.
policy=/usr/sbin/policy-rc.d
deny_services() {
    [ ! -e $policy ] || return 0
    as_root sh -c "printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy"
    trap 'as_root rm -f $policy' EXIT
    trap 'exit 130' INT TERM
}

install_packages() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -qq -o DPkg::Lock::Timeout=600 \
        -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold install --no-install-recommends "$@" \
        </dev/null >"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        die "apt-get could not install: $* (whole output: $log)"
    }
}

groups=${*:-build}
cd "$(dirname "$0")/.."
command -v dpkg-query >/dev/null || die "this is for Debian 12 and newer; see the package lists in $0"

# shellcheck disable=SC2086  # a list of words
want=$(missing $groups)
[ -n "$want" ] || exit 0

mkdir -p build
log=build/bootstrap.log
exec 9>build/.bootstrap.lock
flock 9
say "installing for ($groups):" $want
update_lists
# shellcheck disable=SC2086
want=$(missing $groups)
case " $want " in *[[:space:]]nginx[[:space:]]*) fresh_nginx=1; deny_services ;; esac
# shellcheck disable=SC2086
[ -z "$want" ] || install_packages $want
[ -z "${fresh_nginx-}" ] || ! command -v systemctl >/dev/null ||
    as_root systemctl --quiet disable nginx.service 2>/dev/null || true
say "done"
