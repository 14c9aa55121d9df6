#!/bin/sh
# Runs one step of the Makefile: says what it does, and how long it took or that it failed.
#     tools/step.sh "what it does" command arguments…
set -u

what=$1
shift
start=$(date +%s)
printf '==> %s\n' "$what"
"$@"
status=$?
took=$(($(date +%s) - start))
if [ "$status" = 0 ]; then
    printf '==> %s: done in %s s\n' "$what" "$took"
else
    printf '==> %s: FAILED after %s s (exit %s): %s\n' "$what" "$took" "$status" "$*" >&2
fi
exit "$status"
