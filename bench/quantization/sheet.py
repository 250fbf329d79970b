"""A sheet for the eye: places of pictures that pictures.ts made, by edition, and below each its difference to f16, enlarged.

    python3 bench/quantization/sheet.py PICTURES --places 05-00.benchmark.t249:170,160 … --out docs/quantization.webp
"""
import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

GAP, HEADING = 6, 22


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, help="folder with one folder an edition, f16 among them")
    parser.add_argument("--places", nargs="+", required=True, help="NAME:LEFT,TOP")
    parser.add_argument("--editions", nargs="+", default=["f16", "int8", "mixed", "int4"])
    parser.add_argument("--side", type=int, default=176)
    parser.add_argument("--gain", type=int, default=8, help="of the differences")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    cell = args.side + GAP
    size = (len(args.editions) * cell - GAP, HEADING + 2 * len(args.places) * cell - GAP)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for column, edition in enumerate(args.editions):
        title = edition if edition == "f16" else f"{edition}, below it {args.gain} x (it - f16)"
        draw.text((column * cell + 4, 5), title, fill="black", font=ImageFont.load_default())
    for row, place in enumerate(args.places):
        name, _, corner = place.partition(":")
        left, top = (int(number) for number in corner.split(","))
        box = (left, top, left + args.side, top + args.side)
        cuts = [
            np.asarray(Image.open(args.pictures / edition / f"{name}.png").convert("RGB").crop(box), np.int16)
            for edition in args.editions
        ]
        for column, cut in enumerate(cuts):
            x, y = column * cell, HEADING + 2 * row * cell
            sheet.paste(Image.fromarray(cut.astype(np.uint8)), (x, y))
            if column > 0:
                difference = np.clip(128 + args.gain * (cut - cuts[0]), 0, 255).astype(np.uint8)
                sheet.paste(Image.fromarray(difference), (x, y + cell))
    sheet.save(args.out, quality=88, method=6)
    print(args.out, sheet.size, args.out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
