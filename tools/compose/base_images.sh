#!/bin/sh
# Makes local stand-ins for the base images of the Dockerfiles and of docker-compose.yml, from Debian
# packages and the Rust toolchain of this machine, for an engine that reaches no image registry.
# An image that the engine has already is left alone.
set -eu
docker=${DOCKER:-docker}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

have() { "$docker" image inspect "$1" >/dev/null 2>&1; }

from_debian() { # IMAGE FOLDER: builds one of the folders here
    if have "$1"; then return 0; fi
    echo "making $1 from Debian packages"
    DOCKER_BUILDKIT=1 "$docker" build --quiet --tag "$1" "$here/$2"
}

if ! have debian:bookworm-slim; then
    if ! command -v debootstrap >/dev/null; then
        [ "$(id -u)" = 0 ] || { echo "base_images.sh: apt-get install debootstrap" >&2; exit 2; }
        echo "installing debootstrap"
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq debootstrap >"$work/log"
    fi
    echo "making debian:bookworm-slim with debootstrap"
    debootstrap --variant=minbase bookworm "$work/debian" http://deb.debian.org/debian >"$work/log" 2>&1 \
        || { tail -n 20 "$work/log" >&2; exit 1; }
    rm -rf "$work"/debian/var/cache/apt/archives/*.deb "$work"/debian/var/lib/apt/lists/*
    tar -C "$work/debian" -c . | "$docker" import -c 'CMD ["bash"]' - debian:bookworm-slim
fi

if ! have rust:1-bookworm; then
    echo "making rust:1-bookworm from this machine's toolchain"
    toolchain=$(rustc --print sysroot)
    mkdir "$work/rust"
    for part in bin lib libexec; do
        [ ! -d "$toolchain/$part" ] || cp -a "$toolchain/$part" "$work/rust/"
    done
    cp "$here/rust/Dockerfile" "$work/rust/"
    DOCKER_BUILDKIT=1 "$docker" build --quiet --tag rust:1-bookworm "$work/rust"
fi

from_debian redis:7 redis
from_debian rabbitmq:4-management rabbitmq
