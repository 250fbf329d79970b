"""PSNR, SSIM and sharpness of a trained model against bicubic, on photographs it has not seen.

Every original gives centred, non-overlapping crops; each crop is reduced to a quarter, once by
plain bicubic and once by the mild degradation of data.py with a fixed seed, and restored at every
timestep. All measures are taken on 8-bit RGB: PSNR over all channels, SSIM on luma (Gaussian
window 11, sigma 1.5), sharpness = mean absolute difference of neighbouring luma pixels (levels).
"""
import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import data
from export import load_folder
from model import RCOD_CONFIG, adain

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def to_levels(tensor):
    """[N,3,H,W] in [0,1] -> the 8-bit levels an image file would hold, as floats"""
    return (tensor * 255).add(0.5).floor().clamp(0, 255)


def luma(levels):
    red, green, blue = levels.unbind(1)
    return (0.299 * red + 0.587 * green + 0.114 * blue)[:, None]


def psnr(image, reference):
    return float(10 * torch.log10(255**2 / (image - reference).square().mean()))


def ssim(image, reference):
    a, b = luma(image), luma(reference)
    offsets = torch.arange(11) - 5.0
    line = torch.exp(-offsets.square() / (2 * 1.5**2))
    window = (line[:, None] * line / line.sum() ** 2)[None, None]
    mean_a, mean_b = F.conv2d(a, window), F.conv2d(b, window)
    var_a = F.conv2d(a * a, window) - mean_a.square()
    var_b = F.conv2d(b * b, window) - mean_b.square()
    covariance = F.conv2d(a * b, window) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    score = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return float((score / ((mean_a.square() + mean_b.square() + c1) * (var_a + var_b + c2))).mean())


def sharpness(image):
    y = luma(image)
    return float((y.diff(dim=2).abs().mean() + y.diff(dim=3).abs().mean()) / 2)


@torch.no_grad()
def restore(pipeline, x, timestep, color_fix="adain"):
    """x [1,3,H,W] in [-1,1] -> restored 8-bit levels"""
    out = pipeline(x, torch.tensor([timestep])).clamp(-1, 1) * 0.5 + 0.5
    return to_levels(adain(out, x * 0.5 + 0.5) if color_fix == "adain" else out)


def centred_crops(image, side):
    columns, rows = image.width // side, image.height // side
    left, top = (image.width - columns * side) // 2, (image.height - rows * side) // 2
    for row in range(rows):
        for column in range(columns):
            x, y = left + column * side, top + row * side
            yield image.crop((x, y, x + side, y + side))


def evaluate(pipeline, paths, timesteps, crop=512, long_side=1280, seed=1, color_fix="adain", per_image=False):
    """{degradation: {method: {psnr, ssim, sharpness}}}, means over all crops"""
    rows = {}

    def note(kind, method, image, target):
        measures = (psnr(image, target), ssim(image, target), sharpness(image))
        rows.setdefault(kind, {}).setdefault(method, []).append(measures)

    for index, path in enumerate(paths):
        rng = np.random.default_rng([seed, index])
        for target in centred_crops(data.load_photo(path, long_side), crop):
            reference = to_levels(data.to_tensor([target]) * 0.5 + 0.5)
            for kind, low in (("plain", data.plain(target)), ("mild", data.degrade(target, rng)[0])):
                kind = f"{kind} {path.parent.name}/{path.name}" if per_image else kind
                x = data.to_tensor([data.upsample(low)])
                note(kind, "original", reference, reference)
                note(kind, "bicubic", to_levels(x * 0.5 + 0.5), reference)
                for timestep in timesteps:
                    note(kind, f"t={timestep}", restore(pipeline, x, timestep, color_fix), reference)
    names = ("psnr", "ssim", "sharpness")
    return {
        kind: {method: dict(zip(names, np.mean(values, axis=0).tolist())) for method, values in methods.items()}
        for kind, methods in rows.items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--originals", type=Path, help="folder of originals (default: the manifest's validation split)")
    parser.add_argument("--root", type=Path, default=Path("/usr/share"), help="root of the manifest's paths")
    parser.add_argument("--model", type=Path, default=Path(__file__).parents[1] / "models/rcod-tiny")
    parser.add_argument("--crop", type=int, default=512)
    parser.add_argument("--long-side", type=int, default=1280, help="originals are reduced to this first")
    parser.add_argument("--seed", type=int, default=1, help="seed of the mild degradation")
    parser.add_argument("--color-fix", choices=["adain", "none"], default=RCOD_CONFIG["color_fix"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--per-image", action="store_true")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args()

    if args.originals:
        paths = sorted(path for path in args.originals.iterdir() if path.suffix.lower() in SUFFIXES)
    else:
        paths = data.manifest_photos(args.root, "validation")
    torch.set_num_threads(args.threads)
    pipeline = load_folder(args.model)
    timesteps = RCOD_CONFIG["timesteps"].values()
    result = evaluate(
        pipeline, paths, timesteps, args.crop, args.long_side, args.seed, args.color_fix, args.per_image
    )
    if args.json:
        print(json.dumps(result, indent=1))
        return
    print(f"{len(paths)} photos, crops of {args.crop}, long side {args.long_side}, colour fix {args.color_fix}")
    print(f"{'input':10s} {'method':10s} {'PSNR dB':>8s} {'SSIM':>7s} {'sharpness':>10s}")
    for kind, methods in result.items():
        for method, m in methods.items():
            print(f"{kind:10s} {method:10s} {m['psnr']:8.3f} {m['ssim']:7.4f} {m['sharpness']:10.3f}")


if __name__ == "__main__":
    main()
