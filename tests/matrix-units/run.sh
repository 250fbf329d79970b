#!/bin/sh
# Runs the suites of this folder, and golden files, on matrix units: those of Mesa's CPU driver, which has them from
# 26.1 on and is unpacked from Debian's packages into a cache folder (`cli/adapter/fetch-packages.sh`).
#   tests/matrix-units/run.sh [vitest's arguments]
# Exit code 77: nothing was tested, and why.
set -eu
cd "$(dirname "$0")/../.."

cache=${RCOD_MESA:-$PWD/node_modules/.cache/mesa} # as in vitest.config.ts
mkdir -p "$cache"
if ! cli/adapter/fetch-packages.sh "$cache" >"$cache/fetch.log" 2>&1; then
  printf '\n*** NOT TESTED: the kernels on matrix units (tests/matrix-units): %s\n\n' "$(tail -1 "$cache/fetch.log")" >&2
  exit 77
fi

# What starts Node again has to take the same way: see vitest.config.ts.
export RCOD_NODE="$cache/node" VK_DRIVER_FILES="$cache/icd/lvp_icd.json" VK_ICD_FILENAMES="$cache/icd/lvp_icd.json"
"$RCOD_NODE" node_modules/vitest/vitest.mjs run -c tests/matrix-units/vitest.config.ts "$@"
