#!/usr/bin/env bash
# The whole recipe on a machine with a GPU for a few minutes, then the model, its references and its figures:
#   python3 pack_photos.py --root photos/usr/share --out packed    # before, where the photographs are
#   ./gpu_day.sh packed OUT [MINUTES]                              # there; 9 minutes by default
# OUT gets the model folder, the tests' references, the checkpoints and a report. Started again with the same OUT it goes on. Without a GPU
# it does the same on the processor, so that it can be tried for a minute.
set -euo pipefail
photos=$(cd "${1:?usage: gpu_day.sh PHOTOS OUT [MINUTES]}" && pwd)
mkdir -p "${2:?usage: gpu_day.sh PHOTOS OUT [MINUTES]}"
out=$(cd "$2" && pwd)
minutes=${3:-9}
cd "$(dirname "$0")"
cuda=$(python3 -c 'import torch; print(int(torch.cuda.is_available()))')
options=()
if [ "$cuda" = 1 ]; then
  options=(--crops 64 --loaders "$(( $(nproc) - 2 > 1 ? $(nproc) - 2 : 1 ))")
fi
python3 train.py all --minutes "$minutes" --save-minutes 1 --root "$photos" --runs "$out/runs" "${options[@]}"
python3 export.py --root "$photos" --runs "$out/runs" --model "$out/rcod-tiny" --fixtures "$out/fixtures"
python3 knob.py --root "$photos" --model "$out/rcod-tiny" --write | tee "$out/knob.txt"
python3 evaluate.py --root "$photos" --model "$out/rcod-tiny" | tee "$out/figures.txt"
