#!/usr/bin/env bash
# Builds the Debian package, and installs, upgrades and purges it in a Debian 12 of its own, with nginx beside it. Not part of ./check: it
# takes some minutes and needs root, debootstrap and a network.
#
#   tests/deploy/debian.sh [FOLDER]    FOLDER may hold a Debian 12 in base/ (tests/deploy/image.sh leaves one)
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
[ "$(id -u)" -eq 0 ] || { echo 'debian.sh: this needs root' >&2; exit 1; }
work=$(mktemp -d)
root=$work/root
finish() {
    umount "$root/proc" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

fail() { echo "debian.sh: $1" >&2; tail -20 "$work/log" >&2; exit 1; }
inside() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"; }

echo '== the package'
mkdir "$work/source"
git -C "$ROOT" archive HEAD | tar x -C "$work/source"
(cd "$work/source" && DEB_BUILD_OPTIONS='nocheck parallel=2' dpkg-buildpackage -us -uc -b) >"$work/log" 2>&1 || fail 'it does not build'
package=$(echo "$work"/functions-admin_*.deb)
# The version after it, with a change in a file of /etc.
dpkg-deb -R "$package" "$work/next"
sed -i 's/^Version: .*/&+next/' "$work/next/DEBIAN/control"
echo '# a new line of the package' >>"$work/next/etc/functions-admin/nginx/http.conf"
dpkg-deb --root-owner-group -b "$work/next" "$work/next.deb" >>"$work/log"

echo '== a Debian 12 with nginx'
if [ -n "${1-}" ] && [ -d "$1/base/etc" ]; then cp -a "$1/base" "$root"; else debootstrap --variant=minbase bookworm "$root" >>"$work/log" 2>&1 || fail 'debootstrap failed'; fi
cp /etc/resolv.conf "$root/etc/resolv.conf"
mount -t proc proc "$root/proc"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
cp "$package" "$work/next.deb" "$root/tmp/"
inside apt-get update >>"$work/log" 2>&1
inside apt-get install -y --no-install-recommends nginx-light "/tmp/${package##*/}" >>"$work/log" 2>&1 || fail 'it does not install'

echo '== installed'
inside functions-admin --version
inside id -nG www-data | grep -qw functions-admin || fail 'nginx cannot reach the socket'
[ "$(inside stat -c %U:%G:%a /etc/functions-admin/functions-admin.conf)" = root:functions-admin:640 ] || fail 'the configuration is for others to read'
inside ln -s ../sites-available/functions-admin /etc/nginx/sites-enabled/functions-admin
inside nginx -t >>"$work/log" 2>&1 || fail 'nginx does not take the site'
[ -f "$root/lib/systemd/system/functions-admin.service" ] || fail 'there is no unit'
[ -f "$root/lib/systemd/system/functions-admin.socket" ] || fail 'there is no socket unit'
for unit in multi-user.target.wants/functions-admin.service sockets.target.wants/functions-admin.socket; do
    [ ! -e "$root/etc/systemd/system/$unit" ] || fail "$unit is enabled before it is configured"
done
[ -s "$root/usr/share/functions-admin/runtime/main/index.ts" ] && [ -x "$root/usr/share/functions-admin/scripts/gateway" ]

echo '== upgraded: what was changed in /etc stays'
echo 'project_ref = abcdefghijklmnopqrst' >>"$root/etc/functions-admin/functions-admin.conf"
inside chmod 600 /etc/functions-admin/functions-admin.conf
sed -i 's/127.0.0.1:8010/127.0.0.1:8011/' "$root/etc/functions-admin/nginx/functions-admin.conf"
inside dpkg --force-confold -i /tmp/next.deb >>"$work/log" 2>&1 || fail 'it does not upgrade'
inside dpkg -s functions-admin | grep -q '^Version: .*+next$'
grep -q '^project_ref' "$root/etc/functions-admin/functions-admin.conf" || fail 'the configuration is lost'
[ "$(inside stat -c %a /etc/functions-admin/functions-admin.conf)" = 600 ] || fail 'its mode was changed'
grep -q 8011 "$root/etc/functions-admin/nginx/functions-admin.conf" || fail 'a change of the site is lost'
grep -q 'a new line of the package' "$root/etc/functions-admin/nginx/http.conf" || fail 'a file that nobody changed was not brought up to date'
inside nginx -t >>"$work/log" 2>&1 || fail 'nginx does not take the site any more'

echo '== purged'
inside dpkg --purge functions-admin >>"$work/log" 2>&1 || fail 'it does not go away'
for path in etc/functions-admin/nginx usr/bin/functions-admin etc/nginx/sites-enabled/functions-admin; do
    if [ -e "$root/$path" ] || [ -L "$root/$path" ]; then fail "$path was left behind"; fi
done
inside nginx -t >>"$work/log" 2>&1 || fail 'nginx does not start without it'
echo '== passed'
