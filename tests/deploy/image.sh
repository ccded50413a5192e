#!/usr/bin/env bash
# Builds the image from a local base, and runs it as an ordinary user with a read-only root over the quickstart's database. Not part of
# ./check: it takes three minutes the first time, and needs root and Debian's buildah and debootstrap.
#
#   tests/deploy/image.sh [FOLDER]     keeps base and layers in FOLDER (default: a new one, removed afterwards), for a faster second run
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
[ "$(id -u)" -eq 0 ] || { echo 'image.sh: this needs root' >&2; exit 1; }
for program in buildah debootstrap; do command -v $program >/dev/null || { echo "image.sh: install Debian's $program" >&2; exit 1; }; done

made=
[ $# -gt 0 ] || made=$(mktemp -d)
work=$(realpath -m "${1:-$made}")
mkdir -p "$work"
stack=$(mktemp -d)
container='' running=''
buildah=(buildah --root "$work/store" --runroot "$work/run" --storage-driver vfs)
finish() {
    [ -z "$running" ] || kill "$running" 2>/dev/null || true
    [ -z "$container" ] || "${buildah[@]}" rm "$container" >/dev/null 2>&1 || true
    FA_HOME=$stack "$ROOT/quickstart" down >/dev/null 2>&1 || true
    rm -rf "$stack"
    [ -z "$made" ] || rm -rf "$made"
}
trap finish EXIT

base=localhost/debian:bookworm-local
if ! "${buildah[@]}" inspect --type image "$base" >/dev/null 2>&1; then
    echo '== a base image of Debian 12'
    [ -d "$work/base/etc" ] || debootstrap --variant=minbase bookworm "$work/base" >"$work/debootstrap.log" 2>&1
    rm -rf "$work"/base/var/cache/apt/archives/*.deb "$work"/base/var/lib/apt/lists/*
    container=$("${buildah[@]}" from scratch)
    "${buildah[@]}" copy -q "$container" "$work/base" / >/dev/null
    "${buildah[@]}" commit -q "$container" "$base" >/dev/null
    "${buildah[@]}" rm "$container" >/dev/null
    container=
fi

echo '== the image'
# The packages come from where this machine gets its own.
"${buildah[@]}" bud --isolation chroot --network host --format docker --build-arg BASE="$base" -t functions-admin:local \
    -v /etc/apt:/etc/apt:ro -v /etc/resolv.conf:/etc/resolv.conf:ro -v /usr/share/keyrings:/usr/share/keyrings:ro \
    -f "$ROOT/deploy/docker/Dockerfile" "$ROOT" >"$work/build.log" 2>&1 || { tail -20 "$work/build.log" >&2; exit 1; }
container=$("${buildah[@]}" from localhost/functions-admin:local)
root=$("${buildah[@]}" mount "$container")
user=$("${buildah[@]}" config "$container" >/dev/null 2>&1; "${buildah[@]}" inspect --format '{{.OCIv1.Config.User}}' "$container")
[ "$user" = 10001:10001 ] || { echo "image.sh: the image's user is $user" >&2; exit 1; }
for program in gcc cc make ld python3; do
    [ ! -e "$root/usr/bin/$program" ] || { echo "image.sh: $program is in the image" >&2; exit 1; }
done
size() { "${buildah[@]}" images --format '{{.Name}} {{.Size}}' | awk -v name="$1" '$1 == name { print int($2) }' | head -n 1; }
over=$(($(size localhost/functions-admin) - $(size localhost/debian)))
echo "== $over MB over the base"
[ "$over" -lt 60 ] || { echo 'image.sh: the goal is below 60 MB over the base' >&2; exit 1; }

echo '== a database'
free_port() { node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })'; }
port=$(free_port)
FA_HOME=$stack FA_PORT=$(free_port) "$ROOT/quickstart" up --detach >"$work/quickstart.log" 2>&1 || { tail -5 "$work/quickstart.log" >&2; exit 1; }
owner=$(stat -c %u "$stack/run")
FA_HOME=$stack "$ROOT/quickstart" env | sed -n 's/^DATABASE_URL=//p' >"$stack/database_url"
# The database is the quickstart's, and knows the key of its installation.
sed -n 's/^master_key = //p' "$stack/conf/functions-admin.conf" | tr -d '\n' >"$stack/master_key"
head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$stack/jwt_secret"
chown "$owner" "$stack"/{database_url,master_key,jwt_secret}
chmod 400 "$stack"/{database_url,master_key,jwt_secret}

echo '== as an ordinary user, with a read-only root'
# shellcheck disable=SC2016 # expanded by that bash
# What a container runtime does, as far as it matters here: own mounts, a root that cannot be written, tmpfs on /run and /tmp.
unshare -m bash -euc '
    root=$1 stack=$2 owner=$3 port=$4
    mount --bind "$root" "$root"
    mount -o remount,ro,bind "$root"
    for folder in run tmp; do mount -t tmpfs -o mode=1777 none "$root/$folder"; done
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mkdir -p "$root$stack/run" "$root/run/secrets"
    mount --bind "$stack/run" "$root$stack/run"
    cp -p "$stack"/{database_url,master_key,jwt_secret} "$root/run/secrets/"
    mkdir "$root/tmp/functions" && chown "$owner" "$root/tmp/functions"
    ! chroot --userspec="$owner:$owner" "$root" touch /written 2>/dev/null
    exec chroot --userspec="$owner:$owner" "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin FUNCTIONS_ADMIN_PORT="$port" \
        FUNCTIONS_ADMIN_OPS_LISTEN=unix:/run/functions-admin/ops.sock FUNCTIONS_ADMIN_PROJECT_REF=abcdefghijklmnopqrst \
        DATABASE_URL_FILE=/run/secrets/database_url FUNCTIONS_ADMIN_MASTER_KEY_FILE=/run/secrets/master_key JWT_SECRET_FILE=/run/secrets/jwt_secret \
        FUNCTIONS_ADMIN_FUNCTIONS_DIR=/tmp/functions /usr/share/functions-admin/start
' image "$root" "$stack" "$owner" "$port" >"$work/container.log" 2>&1 &
running=$!
deadline=$((SECONDS + 30))
until FUNCTIONS_ADMIN_PORT=$port "$ROOT/deploy/docker/health" 2>/dev/null; do
    if [ "$SECONDS" -ge "$deadline" ] || ! kill -0 "$running" 2>/dev/null; then cat "$work/container.log" >&2; exit 1; fi
    sleep 0.1
done
[ "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/functions-admin/readyz")" = 200 ]
[ "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/functions-admin/v1/projects")" = 401 ]
kill -TERM "$running"
wait "$running" || { echo "image.sh: the container ended with $?" >&2; cat "$work/container.log" >&2; exit 1; }
running=
echo '== passed'
