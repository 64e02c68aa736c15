#!/usr/bin/env bash
# Sets up what the Makefile's commands need, as far as it is missing.
#
#   .ci/setup.sh package '.[test]'    .venv with the package in it, editable
#   .ci/setup.sh rabbitmq             the RabbitMQ server, not running: tests start nodes of their own
set -euo pipefail
cd "$(dirname "$0")/.."
export DEBIAN_FRONTEND=noninteractive

python="${PYTHON:-python3}"

fail() {
    echo "error: $*" >&2
    exit 1
}

# Run a command and show its output only when it fails.
quietly() {
    local log
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        fail "failed: $*"
    fi
    rm -f "$log"
}

can_use_apt() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null
}

apt_install() {
    echo "Installing $* ..."
    quietly apt-get update
    quietly apt-get install --yes --no-install-recommends -o DPkg::Lock::Timeout=120 "$@"
}

require_python() {
    command -v "$python" >/dev/null || fail "$python was not found: install Python 3.10 or later."
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        fail "Python 3.10 or later is needed, $python is $("$python" -V 2>&1): name another by PYTHON=... make."
}

# Debian ships Python without the part of venv that puts pip into it.
require_venv() {
    "$python" -c 'import ensurepip, venv' 2>/dev/null && return
    can_use_apt ||
        fail "$python cannot create virtual environments: install python3-venv (apt-get install python3-venv)."
    apt_install python3-venv
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python cannot create virtual environments, with python3-venv installed: install its ensurepip module."
}

install_package() {
    require_python
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        require_venv
        echo 'Creating .venv ...'
        quietly "$python" -m venv --clear .venv
    fi
    echo "Installing $1 into .venv ..."
    # A plain path in site-packages: the import hook that setuptools would put there costs every start 12 ms.
    .venv/bin/python -m pip install --quiet --config-settings editable_mode=compat --editable "$1"
}

has_rabbitmq() {
    [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || command -v rabbitmq-server >/dev/null
}

# Debian starts a service as soon as it is installed, unless this file forbids it.
install_rabbitmq() {
    local policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        trap "rm -f $policy" EXIT
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod +x $policy
    fi
    apt_install rabbitmq-server
}

require_rabbitmq() {
    has_rabbitmq && return
    can_use_apt ||
        fail 'the tests need a RabbitMQ server: install it (apt-get install rabbitmq-server), it need not run.'
    install_rabbitmq
    has_rabbitmq || fail 'rabbitmq-server was installed and is still not found.'
}

case "${1:-}" in
    package) install_package "${2:?what pip shall install}" ;;
    rabbitmq) require_rabbitmq ;;
    *) fail "usage: $0 package <what pip shall install> | rabbitmq" ;;
esac
