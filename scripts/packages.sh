# shellcheck shell=bash
# The Debian 12 packages that functions-admin needs, and how they are installed. Sourced by quickstart and check; needs say and fail.
#
# A line is a package and what shows that it is there: a command, or a file (a path, which may hold wildcards).

# shellcheck disable=SC2034 # used by those who source this
packages_build='
gcc                   gcc
libc6-dev             /usr/include/stdio.h
make                  make
autoconf              autoreconf
automake              automake
pkg-config            pkg-config
libfcgi-dev           /usr/include/fcgiapp.h
libpq-dev             /usr/include/postgresql/libpq-fe.h
libjansson-dev        /usr/include/jansson.h
libjwt-dev            /usr/include/jwt.h
libsodium-dev         /usr/include/sodium.h
libcurl4-openssl-dev  /usr/include/*/curl/curl.h
libbrotli-dev         /usr/include/brotli/decode.h
libgit2-dev           /usr/include/git2.h
libssl-dev            /usr/include/openssl/evp.h
'
# shellcheck disable=SC2034
packages_run='
postgresql            initdb
nginx-light           nginx
openssl               openssl
curl                  curl
ca-certificates       /etc/ssl/certs/ca-certificates.crt
'
# Only where the stand-in for the edge runtime is used: a real edge-runtime needs neither.
# shellcheck disable=SC2034
packages_node='
nodejs                node
npm                   npm
'

# What ./check needs besides.
# shellcheck disable=SC2034
packages_check='
chromium              chromium
clang                 clang
clang-format          clang-format
clang-tidy            clang-tidy
cppcheck              cppcheck
groff-base            groff
iproute2              ip
libclang-rt-14-dev    /usr/lib/llvm-14/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a
libcmocka-dev         /usr/include/cmocka.h
pgbouncer             pgbouncer
prometheus            promtool
shellcheck            shellcheck
valgrind              valgrind
xz-utils              xz
'

# Debian keeps servers' programs out of an ordinary user's PATH, and initdb out of everybody's.
find_program() { # NAME
    local found
    case $1 in
        initdb)
            for found in $(compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -rV) "$(command -v initdb || true)"; do
                [ -x "$found" ] && { readlink -f "$found"; return 0; }
            done
            return 1
            ;;
        *) PATH=$PATH:/usr/sbin:/sbin command -v "$1" ;;
    esac
}

# The packages of the given lists that are missing, one a line.
missing_packages() { # LIST…
    local package proof
    while read -r package proof; do
        case $package:$proof in
            :) ;;
            *:/*) compgen -G "$proof" >/dev/null || printf '%s\n' "$package" ;;
            *) find_program "$proof" >/dev/null || printf '%s\n' "$package" ;;
        esac
    done <<<"$(printf '%s\n' "$@")"
}

# Installs packages with apt, as root or through sudo. Debian starts a server as soon as it is installed, on the usual ports, and
# makes a PostgreSQL cluster; neither is wanted here, so both are switched off while apt runs and back to what they were after it.
install_packages() { # LOG PACKAGE…
    local log=$1 root=() service
    shift
    [ "$EUID" -eq 0 ] || root=(sudo)
    command -v apt-get >/dev/null || fail "These Debian packages are missing: $*" 'this system has no apt-get; install what they hold in its own way, then start again.'
    [ "${#root[@]}" -eq 0 ] || command -v sudo >/dev/null || fail "These packages are missing: $*" "as root: apt-get install --no-install-recommends $*"

    say "Installing with apt: $*"
    # What Debian would start by itself, if it is new here.
    local -a new_services=()
    for service in nginx pgbouncer postgresql prometheus; do
        [ -e "/lib/systemd/system/$service.service" ] || new_services+=("$service")
    done
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive bash -s -- "$@" >>"$log" 2>&1 <<'EOF' || fail "apt could not install what is missing: $(apt_reason "$log")" "see $log; without network, install these packages yourself: $*"
set -e
policy=/usr/sbin/policy-rc.d cluster=/etc/postgresql-common/createcluster.d/functions-admin-quickstart.conf
undo() { [ -z "${made_policy-}" ] || rm -f "$policy"; rm -f "$cluster"; rmdir --ignore-fail-on-non-empty /etc/postgresql-common/createcluster.d /etc/postgresql-common 2>/dev/null || true; }
trap undo EXIT
if [ ! -e "$policy" ]; then
    made_policy=yes
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi
mkdir -p "${cluster%/*}"
printf 'create_main_cluster = false\n' > "$cluster"
apt-get -q -o APT::Update::Error-Mode=any update || echo 'the package lists could not be refreshed; trying with those at hand'
apt-get -q install -y --no-install-recommends "$@"
EOF
    # policy-rc.d keeps a server from starting now; without this it would start with the machine's next boot.
    if [ -d /run/systemd/system ]; then
        for service in ${new_services[@]+"${new_services[@]}"}; do
            [ -e "/lib/systemd/system/$service.service" ] || continue
            "${root[@]}" systemctl disable "$service.service" >>"$log" 2>&1 || true
            say "Debian's own $service service is installed but left off (systemctl enable --now $service would start it)"
        done
    fi
}

# The line of apt's output that says what went wrong.
apt_reason() { # LOG
    local line
    line=$(grep -E '^(E:|Err:)' "$1" | tail -n 1) || true
    case $line in
        *'resolve'*|*'onnect'*|*'etwork'*|*'fetch'*) printf 'the package archive cannot be reached (%s)' "$line" ;;
        *'enough free space'*|*'No space'*) printf 'the disk is full (%s)' "$line" ;;
        '') printf 'no reason was given' ;;
        *) printf '%s' "$line" ;;
    esac
}
