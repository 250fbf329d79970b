"""Packs photographs for a machine that gets little data: at most 1280 pixels wide or high, one folder with a manifest.

    python3 pack_photos.py --root photos/usr/share --out packed && du -sm packed

Training takes the folder as --root. Where photographs are larger than that, their full size is lost: of the sizes that
data.py draws crops from, the largest one. All of the validation split is packed; of the training split as many as fit,
from every package in turn.
"""
import argparse
import hashlib
import io
import itertools
import json
import random
from pathlib import Path

from data import MANIFEST, load_photo, manifest_photos

LONG_SIDE = 1280


def by_turns(photos):
    """One photograph of every package in turn, so that as many kinds as possible are among the first ones."""
    packages = {}
    for photo in random.Random(0).sample(photos, len(photos)):
        packages.setdefault(photo["package"], []).append(photo)
    return [photo for turn in itertools.zip_longest(*packages.values()) for photo in turn if photo]


def jpeg(path, quality):
    buffer = io.BytesIO()
    load_photo(path, LONG_SIDE).save(buffer, "jpeg", quality=quality, subsampling=0)
    return buffer.getvalue()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("/usr/share"), help="root of the manifest's paths")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--quality", type=int, default=88, help="of the JPEGs; colour is kept at full size")
    parser.add_argument("--mib", type=float, default=31, help="the most that the photographs may take together")
    args = parser.parse_args()
    for split in ("train", "validation"):
        manifest_photos(args.root, split)  # checks all files
    photos = json.loads(MANIFEST.read_text())["photos"]
    splits = {split: [photo for photo in photos if photo["split"] == split] for split in ("validation", "train")}
    args.out.mkdir(parents=True, exist_ok=True)
    packed, size = [], 0
    for photo in splits["validation"] + by_turns(splits["train"]):
        data = jpeg(args.root / photo["file"], args.quality)
        if size + len(data) > args.mib * 2**20:
            break
        size += len(data)
        name = f"{photos.index(photo):03d}.jpg"
        (args.out / name).write_bytes(data)
        packed.append({**photo, "file": name, "original": photo["file"], "sha256": hashlib.sha256(data).hexdigest()})
    packed.sort(key=lambda photo: photo["file"])
    (args.out / MANIFEST.name).write_text(json.dumps({"photos": packed}, indent=1) + "\n")
    print(f"{len(packed)} of {len(photos)} photographs, {size / 2**20:.1f} MiB in {args.out}")


if __name__ == "__main__":
    main()
