#!/bin/sh
# Checks deny.toml. cargo-deny is built into .cache/cargo-deny the first time, a few minutes.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
version=0.20.2
folder=$root/.cache/cargo-deny
if [ "$("$folder/bin/cargo-deny" --version 2>/dev/null || true)" != "cargo-deny $version" ]; then
    echo "cargo_deny: building cargo-deny $version into .cache/cargo-deny"
    cargo install --quiet --locked --root "$folder" --version "$version" cargo-deny
fi
cd "$root"
# Advisories need a database from the network; where it can be reached, `cargo deny check` looks there too.
exec "$folder/bin/cargo-deny" --log-level warn check bans licenses sources
