#!/bin/sh
# Builds the images classifier-api and classifier-worker.
#
#   ./docker_build.sh [--gpu] [TAG]
#
# Behind a mirror or a company's certificate authority, name the standard configuration files; they
# are passed as build secrets and stay out of the images:
#
#   CA_FILE=/etc/ssl/certs/company.pem CARGO_CONFIG=~/.cargo/config.toml PIP_CONF=/etc/pip.conf \
#   APT_CONF=/etc/apt/apt.conf.d/proxy.conf ./docker_build.sh
#
# DOCKER names another docker client; it needs BuildKit (a client since 23.0 with buildx, or 20.10).
set -eu
cd "$(dirname "$0")"

variant=cpu
if [ "${1-}" = --gpu ]; then
    variant=gpu
    shift
fi
tag=${1:-latest}
docker=${DOCKER:-docker}

secret() { # ID FILE: adds the file as a secret; a missing one that was named is an error
    [ -n "$2" ] || return 0
    [ -r "$2" ] || { echo "docker_build.sh: cannot read $2" >&2; exit 2; }
    secrets="$secrets --secret id=$1,src=$2"
}
secrets=
secret ca "${CA_FILE-}"
secret cargo "${CARGO_CONFIG-}"
secret pip "${PIP_CONF-}"
secret apt "${APT_CONF-}"

# Word splitting of $secrets is wanted: it holds options.
# shellcheck disable=SC2086
build() { # NAME DOCKERFILE [OPTIONS]
    name=$1 file=$2
    shift 2
    echo "building $name:$tag from $file"
    DOCKER_BUILDKIT=1 "$docker" build $secrets "$@" --file "$file" --tag "$name:$tag" .
}
build classifier-api Dockerfile.api
case $variant in
cpu) build classifier-worker Dockerfile.worker ;;
gpu) build classifier-worker-gpu Dockerfile.worker --build-arg TENSORFLOW=gpu \
    --build-arg RUNTIME_IMAGE=nvidia/cuda:12.6.3-cudnn-runtime-ubuntu24.04 ;;
esac
