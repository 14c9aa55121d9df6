#!/bin/bash
# Runs the demo against `docker compose up` with three workers, kills one of them, cuts another off
# from RabbitMQ for a while, and swaps the model; every prediction has to be answered.
#
#   tools/compose/test.sh        (make test-compose)
#
# The images are built from the Dockerfiles. CA_FILE and the other variables of docker_build.sh are
# honoured.
set -euo pipefail
cd "$(dirname "$0")/../.."
project=classifier-test-$$

say() { printf '\n== %s\n' "$*"; }
fail() { echo "test-compose: $*" >&2; exit 1; }

# Whether a client builds with BuildKit: one since 23.0 with its component buildx, an older one by itself.
can_build() { "$1" buildx version >/dev/null 2>&1 || "$1" --version 2>/dev/null | grep -q ' version 20\.'; }

docker=${DOCKER:-docker}
if [ -z "${DOCKER-}" ] && ! can_build docker; then
    for other in $(type -ap docker); do
        can_build "$other" && docker=$other && break
    done
fi

if ! "$docker" info >/dev/null 2>&1; then
    echo "test-compose: THERE IS NO DOCKER ENGINE HERE, SO NOTHING WAS TESTED" >&2
    exit 3
fi
can_build "$docker" || fail "$("$docker" --version) cannot build images: install its component buildx"
if "$docker" compose version >/dev/null 2>&1; then
    compose=("$docker" compose)
else
    compose=(docker-compose)
fi
export X_API_KEY="test-$RANDOM$RANDOM" PORT=${PORT:-5051} COMPOSE_PROJECT_NAME=$project DOCKER=$docker
export CLASSIFIER_URL=http://127.0.0.1:$PORT

finish() {
    status=$?
    [ $status -eq 0 ] || "${compose[@]}" logs --tail 40 || true
    [ -z "${client-}" ] || kill "$client" 2>/dev/null || true
    say "taking the fleet down"
    "${compose[@]}" down --volumes --timeout 45 || true
    rm -f "${answers-}"
    exit $status
}

say "making the images"
[ -n "${PULL_BASE_IMAGES-}" ] || tools/compose/base_images.sh
./docker_build.sh
cargo build --release --package classifier-cli
classifier=target/release/classifier

trap finish EXIT
say "starting RabbitMQ, Redis, one API and three workers"
"${compose[@]}" up --detach --scale worker=3
for _ in $(seq 120); do
    workers=$("$classifier" workers 2>/dev/null | grep -c ready || true)
    [ "$workers" -ge 3 ] && break
    sleep 1
done
[ "$workers" -ge 3 ] || fail "three workers should be ready, $workers are"

say "the demo"
"$classifier" swap digits
"$classifier" predict demo/images

# From here on a client asks all the time; each failed call is a line in this file.
answers=$(mktemp)
(
    while :; do
        "$classifier" predict demo/images >/dev/null 2>>"$answers" || echo "exit $?" >>"$answers"
        echo asked >>"$answers"
    done
) &
client=$!

say "killing one worker"
first=$("$docker" ps --quiet --filter "name=${project}.worker" | head -n 1)
# From outside, as the kernel would: a `docker kill` would count as stopped by hand and not be restarted.
kill -KILL "$("$docker" inspect --format '{{.State.Pid}}' "$first")"

say "cutting another worker off from RabbitMQ for 20 seconds"
second=$("$docker" ps --quiet --filter "name=${project}.worker" | grep -v "$first" | head -n 1)
"$docker" network disconnect "${project}_broker" "$second"
sleep 20
"$docker" network connect "${project}_broker" "$second"

say "swapping the model"
"$classifier" swap digits_small
"$classifier" swap digits

kill "$client" && wait "$client" 2>/dev/null || true
client=
asked=$(grep -c asked "$answers")
failed=$(grep -c exit "$answers" || true)
[ "$failed" -eq 0 ] || { cat "$answers" >&2; fail "$failed of $asked calls failed"; }

say "waiting for three workers again"
for _ in $(seq 60); do
    workers=$("$classifier" workers | grep -c ready || true)
    [ "$workers" -ge 3 ] && break
    sleep 1
done
[ "$workers" -ge 3 ] || fail "three workers should be ready again, $workers are"
echo "test-compose: $asked calls of 12 images during a kill, a partition and two swaps, none failed"
