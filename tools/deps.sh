#!/usr/bin/env bash
# Build the two libraries that Debian's stable releases have only too old: libmicrohttpd and SQLite.
#
#   tools/deps.sh      -> build/deps/{include,lib,cflags,ldlibs,sbom.cdx.json,log}
#
# Their sources are Debian's own (sid), fetched by apt with a private configuration: its own sources
# list, lists and cache under build.  The mirror, the keyring and any proxy are those of this
# machine; its apt configuration is read and never changed.  A system library that is new enough is
# used as it is.  build/deps/cflags and build/deps/ldlibs are compiler response files (@file), so the
# Makefile need not know which way it went.
set -euo pipefail

#     source package  pkg-config     minimum  preferred
MHD=(  libmicrohttpd  libmicrohttpd  1.0.5    1.0.10)
SQL=(  sqlite3        sqlite3        3.51.3   3.53.4)
system_libraries="jansson libuv libcurl libnghttp2 yaml-0.1 openssl libsystemd zlib libpcre2-8"

sqlite_options="-DSQLITE_THREADSAFE=2 -DSQLITE_DEFAULT_MEMSTATUS=0 -DSQLITE_LIKE_DOESNT_MATCH_BLOBS
    -DSQLITE_MAX_EXPR_DEPTH=0 -DSQLITE_OMIT_DEPRECATED -DSQLITE_OMIT_SHARED_CACHE -DSQLITE_DQS=0
    -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_USE_ALLOCA"
mhd_options="--disable-shared --enable-static --with-pic --disable-https --disable-doc
    --disable-examples --disable-tools --disable-curl --disable-bauth --disable-dauth
    --disable-postprocessor --disable-dependency-tracking"
hardening="-O2 -g -fPIC -fstack-protector-strong -fstack-clash-protection
    -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3"
case $(uname -m) in x86_64 | i?86) hardening="$hardening -fcf-protection" ;; esac

began=$SECONDS
say() { printf 'deps: [%3d s] %s\n' $((SECONDS - began)) "$*"; }
die() { printf 'deps: %s\n' "$*" >&2; exit 1; }

cd "$(dirname "$0")/.."
final=$PWD/build/deps
root=$PWD/build/deps.new # takes the place of the former one when it is whole
mkdir -p build
exec 9>build/.deps.lock
flock 9

# What an existing build/deps was made by: this very script, on this release of the system.
stamp=$final/.stamp
key=$(cat "$0" /etc/os-release | sha256sum | cut -d' ' -f1)
if [ "$(cat "$stamp" 2>/dev/null)" = "$key" ]; then
    touch "$stamp"
    exit 0
fi
rm -rf "$root"
mkdir -p "$root"/{include,lib,log,src,apt/lists/partial,apt/cache/archives/partial}

# Run one step with its output in a log, and show the end of that log if it fails.
step() {
    local log=$root/log/$1.log
    shift
    "$@" </dev/null >>"$log" 2>&1 || {
        tail -n 25 "$log" >&2
        die "'$*' failed; whole output: $log"
    }
}

# --- where this machine takes Debian from ---------------------------------------------------------

# apt parses its own sources, one-line and deb822 alike.  Where package lists are here they say which
# repository is Debian's; where none are (a container image), the path has to.
debian_repositories() {
    {
        apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' 'Created-By: Packages' |
            sed -n 's/ Debian Debian$//p'
        apt-get --print-uris update | sed -n "s|^'\\(.*/debian/\\)dists/[^/]*/InRelease' .*|\\1|p"
    } 2>/dev/null | awk '!seen[$0]++'
}

# The keyring named beside that repository in the machine's sources; Debian's own if none is.
keyring_for() {
    local uri=${1%/} file ring
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources}; do
        [ ! -f "$file" ] || awk -v uri="$uri" '
            BEGIN { if (ARGV[1] ~ /\.sources$/) RS = "" }
            index($0, uri) && match($0, /(signed-by=|Signed-By:[ \t]*)\/[^] \t\n]+/) {
                s = substr($0, RSTART, RLENGTH); sub(/^[^\/]*/, "", s); print s
            }' "$file"
    done | {
        read -r ring || true
        for ring in "${ring-}" /usr/share/keyrings/debian-archive-keyring.{pgp,gpg}; do
            [ -z "$ring" ] || [ ! -r "$ring" ] || { echo "$ring"; return; }
        done
        die "no keyring to check Debian's signatures with; install debian-archive-keyring"
    }
}

# Hooks of the machine's own configuration (cache cleaners, desktop indexes) have no business here.
write_apt_conf() {
    cat >"$root/apt/apt.conf" <<CONF
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear Acquire::IndexTargets;
Acquire::IndexTargets::deb-src::Sources { MetaKey "\$(COMPONENT)/source/Sources";
    flatMetaKey "Sources"; ShortDescription "Sources"; Optional "no";
    Description "\$(RELEASE)/\$(COMPONENT) Sources"; flatDescription "\$(RELEASE) Sources"; };
Acquire::Languages "none";
Acquire::Retries "3";
Dir::Etc::sourcelist "$root/apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State::lists "$root/apt/lists";
Dir::Cache "$root/apt/cache";
CONF
}

private_apt() {
    local tool=$1
    shift
    "$tool" -c "$root/apt/apt.conf" "$@"
}

# apt refuses lists whose signature does not verify; nothing here tells it otherwise.
update_private_lists() {
    local uri
    write_apt_conf
    for uri in $(debian_repositories); do
        echo "deb-src [signed-by=$(keyring_for "$uri")] $uri sid main" >"$root/apt/sources.list"
        if private_apt apt-get -q -o APT::Update::Error-Mode=any update \
            </dev/null >>"$root/log/apt-update.log" 2>&1; then
            return
        fi
    done
    tail -n 10 "$root/log/apt-update.log" >&2 2>/dev/null || true
    die "no Debian repository of this machine gave the index of sid's sources"
}

# --- fetch and unpack -----------------------------------------------------------------------------

# The preferred version, or the newest there is at or above the minimum.
choose_version() {
    local name=$1 min=$3 preferred=$4 version best=
    for version in $(private_apt apt-cache showsrc --only-source "$name" |
        sed -n 's/^Version: //p' | sort -u); do
        dpkg --compare-versions "$version" ge "$min" || continue
        case $version in "$preferred" | "$preferred"[-+]*) echo "$version"; return ;; esac
        [ -n "$best" ] && dpkg --compare-versions "$version" lt "$best" || best=$version
    done
    [ -n "$best" ] || die "sid has no $name at or above $min, which is the least that is safe to use"
    echo "$best"
}

fetch() {
    local name=$1 version=$2
    mkdir -p "$root/src/$name"
    (cd "$root/src/$name" &&
        step "$name-fetch" private_apt apt-get -q source --download-only --only-source "$name=$version")
    # --no-check: apt has already held the hash of each file, the .dsc included, against the signed
    # index; the uploader's own signature in the .dsc is of a key this machine need not know.
    step "$name-unpack" dpkg-source --no-check -x "$root/src/$name/"*.dsc "$root/src/$name/tree"
}

# --- build ----------------------------------------------------------------------------------------

build_mhd() {
    cd "$root/src/libmicrohttpd/tree"
    [ -x configure ] || die "this libmicrohttpd source package has no configure script"
    # shellcheck disable=SC2086  # lists of words
    step libmicrohttpd ./configure --prefix="$root" $mhd_options CFLAGS="$(echo $hardening)"
    # A Debian patch may leave a Makefile.am newer than what was generated from it; what was
    # generated is complete, so no autotools are wanted for that.
    step libmicrohttpd make -j"$(nproc)" -C src/microhttpd libmicrohttpd.la \
        ACLOCAL=: AUTOCONF=: AUTOMAKE=: AUTOHEADER=:
    step libmicrohttpd cp src/microhttpd/.libs/libmicrohttpd.a "$root/lib/"
    step libmicrohttpd cp src/include/microhttpd.h "$root/include/"
}

build_sqlite() {
    cd "$root/src/sqlite3/tree"
    step sqlite3 ./configure --disable-tcl --disable-readline
    [ -f sqlite3.c ] || step sqlite3 make sqlite3.c
    # sqlite_cfg.h says that fdatasync, pread and pwrite are here; without it each commit is an fsync.
    # shellcheck disable=SC2086
    step sqlite3 "${CC:-gcc}" $hardening $sqlite_options -D_HAVE_SQLITE_CONFIG_H -I. \
        -c sqlite3.c -o sqlite3.o
    # The checksum on every page: an extension of SQLite's own that is not in the amalgamation.
    # shellcheck disable=SC2086
    step sqlite3 "${CC:-gcc}" $hardening $sqlite_options -DSQLITE_CORE -DSQLITE_CKSUMVFS_STATIC -I. \
        -c ext/misc/cksumvfs.c -o cksumvfs.o
    step sqlite3 ar rcs "$root/lib/libsqlite3.a" sqlite3.o cksumvfs.o
    step sqlite3 cp sqlite3.h "$root/include/"
}

# --- what it is made of ---------------------------------------------------------------------------

# One CycloneDX component per source package, with the hash of each of its files from the .dsc.
sbom_source() {
    local name=$1 version=$2 hash file files=
    while read -r hash _ file; do
        files="$files${files:+,}
        { \"type\": \"file\", \"name\": \"$file\",
          \"hashes\": [ { \"alg\": \"SHA-256\", \"content\": \"$hash\" } ] }"
    done < <(awk '/^Checksums-Sha256:/ { on = 1; next } /^[^ ]/ { on = 0 } on' "$root/src/$name/"*.dsc
        (cd "$root/src/$name" && for file in *.dsc; do
            printf '%s 0 %s\n' "$(sha256sum <"$file" | cut -d' ' -f1)" "$file"; done))
    printf '    { "type": "library", "name": "%s", "version": "%s",\n' "$name" "$version"
    printf '      "purl": "pkg:deb/debian/%s@%s?arch=source&distro=sid",\n' "$name" "$version"
    printf '      "components": [%s ] }' "$files"
}

# The Debian package that owns a pkg-config module, at the version installed here.
sbom_system() {
    local module=$1 package version
    package=$(dpkg-query -S "$(pkg-config --variable=pcfiledir "$module")/$module.pc" 2>/dev/null |
        head -n 1 | sed 's/: .*//; s/:.*//')
    version=$(dpkg-query -W -f='${Version}\n' "${package:=$module}" 2>/dev/null | head -n 1)
    printf '    { "type": "library", "name": "%s", "version": "%s",\n' "$package" "$version"
    printf '      "purl": "pkg:deb/debian/%s@%s?arch=%s" }' "$package" "$version" \
        "$(dpkg --print-architecture)"
}

write_sbom() {
    local module comma=
    {
        printf '{\n  "bomFormat": "CycloneDX",\n  "specVersion": "1.5",\n  "version": 1,\n'
        printf '  "metadata": { "component": { "type": "application", "name": "maasgate" } },\n'
        printf '  "components": [\n'
        for module in "${built[@]}"; do
            printf '%s' "$comma"
            # shellcheck disable=SC2086  # "name version"
            sbom_source $module
            comma=$',\n'
        done
        for module in $from_system $system_libraries; do
            printf '%s' "$comma"
            sbom_system "$module"
            comma=$',\n'
        done
        printf '\n  ]\n}\n'
    } >"$root/sbom.cdx.json"
}

# --- the story ------------------------------------------------------------------------------------

# shellcheck disable=SC2086
pkg-config --exists $system_libraries || die "libraries are missing; run tools/bootstrap.sh build first"

built=()
from_system=
wanted=()
plan() {
    if pkg-config --atleast-version="$3" "$2"; then
        say "$1 $(pkg-config --modversion "$2") of this system will do"
        from_system="$from_system $2"
    else
        wanted+=("$*")
    fi
}
plan "${MHD[@]}"
plan "${SQL[@]}"

if [ ${#wanted[@]} -gt 0 ]; then
    say "reading the signed index of Debian sid's sources"
    update_private_lists
    for want in "${wanted[@]}"; do
        name=${want%% *}
        # shellcheck disable=SC2086
        version=$(choose_version $want) || exit 1
        say "fetching $name $version"
        fetch "$name" "$version"
        built+=("$name $version")
    done
    say "compiling (${built[*]}); logs are in build/deps.new/log"
    jobs=()
    for name in "${built[@]%% *}"; do
        case $name in
        libmicrohttpd) (build_mhd) & ;;
        sqlite3) (build_sqlite) & ;;
        esac
        jobs+=($!)
    done
    for job in "${jobs[@]}"; do wait "$job" || failed=1; done
    [ -z "${failed-}" ] || exit 1
fi

# shellcheck disable=SC2086
{
    echo "-isystem build/deps/include $(pkg-config --cflags $from_system $system_libraries)" >"$root/cflags"
    echo "-Lbuild/deps/lib -Wl,--as-needed -lmicrohttpd -lsqlite3" \
        "$(pkg-config --libs $system_libraries) -lpthread -lm" >"$root/ldlibs"
}
write_sbom
# Keep what was fetched (small, and the SBOM speaks of it); drop the index and the object files.
rm -rf "$root/apt" "$root"/src/*/tree
echo "$key" >"$root/.stamp"
rm -rf "$final"
mv "$root" "$final"
say "done: ${built[*]-}${built:+, in build/deps}"
