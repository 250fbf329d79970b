#!/bin/sh
# Checks and times rcod-webgpu on this machine and prints one JSON object. Needs nothing: no network, no
# installed Node, no environment. Options: ./run.sh --help
case $0 in */*) here=${0%/*} ;; *) here=. ;; esac
here=$(cd "$here" && pwd)
exec "$here/node" "$here/bench-box.mjs" "$@"
