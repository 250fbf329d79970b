#!/usr/bin/env bash
# Downloads the Debian 12 packages that manifest.json names and unpacks them into a folder, nothing is installed:
#   ./fetch_photos.sh photos && python3 train.py vae --root photos/usr/share
set -euo pipefail
folder=$(mkdir -p "${1:?usage: fetch_photos.sh FOLDER}" && cd "$1" && pwd)
manifest=$(cd "$(dirname "$0")" && pwd)/manifest.json
packages=$(python3 -c 'import json, sys; print(*json.load(open(sys.argv[1]))["packages"])' "$manifest")
debs=$(mktemp -d)
trap 'rm -rf "$debs"' EXIT
for package in $packages; do
  (cd "$debs" && apt-get -qq download "$package")
  dpkg-deb -x "$debs/$package"_*.deb "$folder"
done
# One game keeps its textures in an archive; the manifest names them beside it.
textures=$folder/usr/share/games/ufoai/base
python3 -m zipfile -e "$textures/0textures.pk3" "$textures"
du -sh "$folder"
