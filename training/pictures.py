"""Sheets for the eye: photographs restored at the three stops, beside bicubic and the original.

    python3 pictures.py --out ../docs/rcod-tiny.png [--photos 3 --crop 192]
"""
import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

import data
from degradations import benchmark, from_image, to_image
from export import load_folder
from measure import restore
from model import RCOD_CONFIG

GAP, HEADING = 6, 22


def column_titles():
    return ["bicubic", *(f"{name}, t = {t}" for name, t in RCOD_CONFIG["timesteps"].items()), "original"]


def restored_row(pipeline, original, seed):
    """[bicubic, fidelity, neutral, realism, original] as 8-bit images"""
    low = to_image(benchmark(from_image(original), np.random.default_rng(seed)))
    x = data.to_tensor([data.upsample(low)])
    stops = [to_image(restore(pipeline, x, t) / 255) for t in RCOD_CONFIG["timesteps"].values()]
    return [data.upsample(low), *stops, original]


def main():
    repository = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("/usr/share"), help="root of the manifest's paths")
    parser.add_argument("--model", type=Path, default=repository / "models/rcod-tiny")
    parser.add_argument("--only", nargs="*", help="parts of the paths of the validation photographs to show")
    parser.add_argument("--long-side", type=int, default=1280)
    parser.add_argument("--crop", type=int, default=384, help="side of the restored crop")
    parser.add_argument("--show", type=int, default=224, help="side of its centre that is shown")
    parser.add_argument("--out", type=Path, default=repository / "docs/rcod-tiny.png")
    args = parser.parse_args()

    pipeline, _ = load_folder(args.model)
    paths = data.manifest_photos(args.root, "validation")
    if args.only:
        paths = [path for path in paths if any(part in str(path) for part in args.only)]
    titles = column_titles()
    cell = args.show + GAP
    sheet = Image.new("RGB", (len(titles) * cell - GAP, HEADING + len(paths) * cell - GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        draw.text((column * cell + 4, 5), title, fill="black", font=ImageFont.load_default())
    for row, path in enumerate(paths):
        original = data.centre(data.load_photo(path, args.long_side), args.crop, args.crop)
        for column, picture in enumerate(restored_row(pipeline, original, [1, row])):
            sheet.paste(data.centre(picture, args.show, args.show), (column * cell, HEADING + row * cell))
    sheet.save(args.out)
    print(args.out, sheet.size)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
