#!/bin/sh
# Fuzzes one target after another: tools/fuzz.sh SECONDS [TARGET…]. What has been learned stays in
# .cache/fuzz/corpus, inputs that did harm come to .cache/fuzz/findings. cargo-fuzz is built into .cache/cargo-fuzz
# the first time, and the targets into .cache/fuzz/target.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
version=0.13.2
folder=$root/.cache/cargo-fuzz
if [ "$("$folder/bin/cargo-fuzz" --version 2>/dev/null || true)" != "cargo-fuzz $version" ]; then
    echo "fuzz: building cargo-fuzz $version into .cache/cargo-fuzz"
    cargo install --quiet --locked --root "$folder" --version "$version" cargo-fuzz
fi
PATH=$folder/bin:$PATH
# The address sanitizer is not a feature of stable Rust, though its runtime comes with it.
export RUSTC_BOOTSTRAP=1

seconds=$1
shift
[ $# -gt 0 ] || set -- hdf5 archive bundle config image json multipart message
python3 "$root/fuzz/seeds.py" "$root/.cache/fuzz/corpus"
cd "$root"
for target in "$@"; do
    echo "fuzz: $target for $seconds s"
    mkdir -p "$root/.cache/fuzz/findings/$target"
    # Ten seconds on the clock beside the processor time that the targets measure, and half a gigabyte: see
    # docs/hostile.md.
    cargo fuzz run --target-dir "$root/.cache/fuzz/target" "$target" "$root/.cache/fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -timeout=10 -malloc_limit_mb=256 -rss_limit_mb=1024 -max_len=200000 \
        -print_final_stats=1 -artifact_prefix="$root/.cache/fuzz/findings/$target/"
done
