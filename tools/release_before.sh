#!/bin/sh
# Builds the release before: API and worker, beside which the tests run those of this one, into
# .cache/release-before; with --release all programs, optimized, for bench/, into .cache/release-before/release. What
# this release has compiled already is taken over where it is the same.
set -eu

# The last commit of the release before.
commit=09fcbc2a68b8f0eb5ed33a0314c99eb2913d705a
root=$(cd "$(dirname "$0")/.." && pwd)
folder=$root/.cache/release-before
profile=debug programs='classifier-api classifier-worker'
if [ "${1-}" = --release ]; then
    profile=release programs='classifier classifier-api classifier-worker' folder=$folder/release
fi
mkdir -p "$folder"
folder=$(cd "$folder" && pwd -P)

if [ "$(cat "$folder/commit" 2>/dev/null || true)" = "$commit" ]; then
    echo "release before: $commit is built"
    exit 0
fi
if ! git -C "$root" cat-file -e "$commit^{commit}" 2>/dev/null; then
    echo "release before: commit $commit is not in this clone: fetch the whole history (git fetch --unshallow)" >&2
    exit 1
fi
rm -rf "$folder/src"
mkdir -p "$folder/src"
git -C "$root" archive "$commit" | tar -x -C "$folder/src"

# The dependencies, as links: cargo replaces files and never writes into them.
if [ ! -d "$folder/target" ] && [ -d "$root/target/$profile/deps" ]; then
    mkdir -p "$folder/target/$profile"
    for part in .fingerprint build deps; do
        cp -al "$root/target/$profile/$part" "$folder/target/$profile/$part"
    done
    cp -a "$root/target/.rustc_info.json" "$folder/target/"
fi
# The same features of the dependencies as those of the tests, which the example brings with it.
cd "$folder/src"
CARGO_TARGET_DIR=$folder/target cargo build "$@" --locked --workspace --bins --example fragile_worker
for program in $programs; do
    cp -f "$folder/target/$profile/$program" "$folder/$program.new"
    mv -f "$folder/$program.new" "$folder/$program"
done
rm -rf "$folder/src" "$folder/target"
echo "$commit" > "$folder/commit"
