"""The pairs that pictures.ts enlarges and figures.py compares: the photographs that training has not seen.

Cut and made small as training/measure.py does: 21 crops of 512 pixels, each as NAME.original.png and as NAME.DEGRADATION.png of
128 pixels.
"""
import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))
import data
from degradations import from_image, to_image
from measure import DEGRADATIONS, centred_crops


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path, help="folder to write to")
    parser.add_argument("--root", type=Path, default=Path("/usr/share"), help="root of the manifest's paths")
    parser.add_argument("--crop", type=int, default=512)
    parser.add_argument("--long-side", type=int, default=1280, help="originals are reduced to this first")
    parser.add_argument("--seed", type=int, default=1, help="seed of the degradations' noise")
    args = parser.parse_args()

    args.pairs.mkdir(parents=True, exist_ok=True)
    for index, path in enumerate(data.manifest_photos(args.root, "validation")):
        rng = np.random.default_rng([args.seed, index])
        for crop, original in enumerate(centred_crops(data.load_photo(path, args.long_side), args.crop)):
            name = f"{index:02}-{crop:02}"
            original.save(args.pairs / f"{name}.original.png")
            for degradation, make in DEGRADATIONS.items():
                to_image(make(from_image(original), rng)).save(args.pairs / f"{name}.{degradation}.png")


if __name__ == "__main__":
    main()
