#!/bin/sh
# Sees that RabbitMQ and Redis are installed: the tests start servers of their own from these programs. And faketime,
# under which a test starts a worker whose clock is off.
set -eu

# RabbitMQ's programs stand in sbin on Debian, which is not in everybody's PATH.
PATH=$PATH:/usr/sbin:/usr/local/sbin
missing=
command -v rabbitmq-server >/dev/null 2>&1 || missing="$missing rabbitmq-server"
command -v redis-server >/dev/null 2>&1 || missing="$missing redis-server"
command -v faketime >/dev/null 2>&1 || missing="$missing faketime"
if [ -z "$missing" ]; then
    echo "servers: rabbitmq-server, redis-server and faketime are installed"
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "servers: installing$missing"
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
else
    echo "servers: the tests need$missing: install them (on Debian and Ubuntu: sudo apt-get install$missing)" >&2
    exit 1
fi
