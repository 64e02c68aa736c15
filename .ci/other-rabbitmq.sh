#!/usr/bin/env bash
# Installs the RabbitMQ of another Debian into a chroot, as root, and prints what to tell the tests of it.
#
#   .ci/other-rabbitmq.sh trixie /srv/trixie    RabbitMQ 4.0; sid has a later one
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

usage="usage: $0 <Debian's name> <new folder, as an absolute path>"
suite=${1:?$usage}
root=${2:?$usage}

[ -e "$root/usr/bin/apt-get" ] ||
    debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" >&2
# The node looks its own name up, and nothing is to start by itself.
printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod +x "$root/usr/sbin/policy-rc.d"
mountpoint -q "$root/proc" || mount --bind /proc "$root/proc"
chroot "$root" apt-get install --yes --no-install-recommends rabbitmq-server >&2

# What a node is told of has to be at the same path inside and outside.
mkdir -p "$root$(dirname "$root")"
ln -sfn / "$root$root"
start=$(echo "$root"/usr/lib/rabbitmq/lib/*/sbin)/chrooted-server
printf '#!/bin/sh\nexec chroot %s /usr/lib/rabbitmq/bin/rabbitmq-server "$@"\n' "$root" >"$start"
chmod +x "$start"
echo "export TMPDIR=$root/tmp RABBITMQ_SERVER=$start"
