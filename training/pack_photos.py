"""Packs the photographs for a machine that gets little data: at most 1280 pixels wide or high, one folder with a manifest.

    python3 pack_photos.py --root photos/usr/share --out packed && du -sm packed

Training takes the folder as --root. Where photographs are larger than that, their full size is lost: of the sizes that
data.py draws crops from, the largest one.
"""
import argparse
import hashlib
import json
from pathlib import Path

from data import MANIFEST, load_photo, manifest_photos

LONG_SIDE = 1280


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("/usr/share"), help="root of the manifest's paths")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--quality", type=int, default=88, help="of the JPEGs; colour is kept at full size")
    args = parser.parse_args()
    paths = {split: manifest_photos(args.root, split) for split in ("train", "validation")}  # checks all files
    args.out.mkdir(parents=True, exist_ok=True)
    photos = []
    for index, photo in enumerate(json.loads(MANIFEST.read_text())["photos"]):
        if photo["split"] not in paths:
            continue
        name = f"{index:03d}.jpg"
        load_photo(args.root / photo["file"], LONG_SIDE).save(args.out / name, quality=args.quality, subsampling=0)
        digest = hashlib.sha256((args.out / name).read_bytes()).hexdigest()
        photos.append({**photo, "file": name, "original": photo["file"], "sha256": digest})
    (args.out / MANIFEST.name).write_text(json.dumps({"photos": photos}, indent=1) + "\n")
    size = sum(path.stat().st_size for path in args.out.iterdir())
    print(f"{len(photos)} photographs, {size / 2**20:.1f} MiB in {args.out}")


if __name__ == "__main__":
    main()
