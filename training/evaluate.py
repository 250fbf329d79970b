"""Figures of a trained model on photographs that it has not seen, against bicubic enlargement.

Every original is reduced to `--long-side` and cut into centred, non-overlapping crops; each crop is made
small twice, by plain bicubic and by the benchmark degradation (Gaussian blur of sigma 1.2, bicubic, Gaussian
noise of 8/255, JPEG 50; fixed seed), and restored at five timesteps, colour fix included.

PSNR and SSIM (Gaussian window 11, sigma 1.5) are taken on the luma of 8-bit pictures. Sharpness is the mean
gradient magnitude of luma over the original's. Shift is the largest difference of a channel's mean to the
enlarged input, in levels. Means are over crops.
"""
import argparse
import json
from pathlib import Path

import numpy as np
import torch

import data
from degradations import benchmark, degrade, from_image, shrink, to_image
from losses import luma, similarity
from model import COLOR_FIXES, RCOD_CONFIG

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
TIMESTEPS = (249, 374, 499, 624, 749)
DEGRADATIONS = {"benchmark": benchmark, "bicubic": lambda tensor, rng: shrink(tensor)}


def to_levels(tensor):
    """[N,3,H,W] in [0,1] -> the 8-bit levels an image file would hold, as floats"""
    return (tensor * 255).add(0.5).floor().clamp(0, 255)


def psnr(a, b):
    return float(10 * torch.log10(255**2 / (luma(a) - luma(b)).square().mean()))


def ssim(image, reference):
    """In doubles: in a flat sky the variances are differences of nearly equal numbers"""
    return float(similarity(luma(image.double()) / 255, luma(reference.double()) / 255))


def gradient(image):
    y = luma(image)
    return float((y.diff(dim=3)[:, :, :-1].square() + y.diff(dim=2)[:, :, :, :-1].square()).sqrt().mean())


def measures(image, reference, source):
    return {
        "psnr": psnr(image, reference),
        "ssim": ssim(image, reference),
        "sharpness": gradient(image) / gradient(reference),
        "shift": float((image.mean((2, 3)) - source.mean((2, 3))).abs().max()),
    }


@torch.no_grad()
def restore(pipeline, x, timestep, color_fix=RCOD_CONFIG["color_fix"]):
    """x [1,3,H,W] in [-1,1] -> restored 8-bit levels"""
    out = pipeline(x, torch.tensor([timestep])).clamp(-1, 1) * 0.5 + 0.5
    return to_levels(COLOR_FIXES[color_fix](out, x * 0.5 + 0.5))


def centred_crops(image, side):
    columns, rows = image.width // side, image.height // side
    left, top = (image.width - columns * side) // 2, (image.height - rows * side) // 2
    for row in range(rows):
        for column in range(columns):
            x, y = left + column * side, top + row * side
            yield image.crop((x, y, x + side, y + side))


def short_name(path):
    """Its last four parts: the names of the files alone are not unique"""
    return "/".join(path.parts[-4:])


def pairs(paths, crop, long_side, seed):
    """(path, degradation, input [1,3,H,W] in [-1,1], original in levels)"""
    for index, path in enumerate(paths):
        rng = np.random.default_rng([seed, index])
        for original in centred_crops(data.load_photo(path, long_side), crop):
            reference = from_image(original)
            for name, make in DEGRADATIONS.items():
                x = data.to_tensor([data.upsample(to_image(make(reference, rng)))])
                yield path, name, x, reference * 255


def evaluate(pipeline, paths, timesteps=TIMESTEPS, crop=512, long_side=1280, seed=1, color_fix=RCOD_CONFIG["color_fix"], per_image=False):
    """{degradation: {method: {psnr, ssim, sharpness, shift}}}, means over all crops"""
    rows = {}
    for path, kind, x, reference in pairs(paths, crop, long_side, seed):
        kind = f"{kind} {short_name(path)}" if per_image else kind
        source = to_levels(x * 0.5 + 0.5)
        images = {"bicubic": source, **{f"t={t}": restore(pipeline, x, t, color_fix) for t in timesteps}}
        for method, image in images.items():
            rows.setdefault(kind, {}).setdefault(method, []).append(measures(image, reference, source))
    return {
        kind: {
            method: {key: float(np.mean([value[key] for value in values])) for key in values[0]}
            for method, values in methods.items()
        }
        for kind, methods in rows.items()
    }


def summary(pipeline, paths):
    """Few figures for a training log: gains over bicubic at fidelity, and what realism costs and brings"""
    figures = {}
    for kind, methods in evaluate(pipeline, paths, (249, 749), crop=384, long_side=1024).items():
        base, faithful, real = methods["bicubic"], methods["t=249"], methods["t=749"]
        figures[kind] = (
            round(faithful["psnr"] - base["psnr"], 3),
            round(faithful["ssim"] - base["ssim"], 4),
            round(faithful["sharpness"], 3),
            round(real["psnr"] - faithful["psnr"], 3),
            round(real["sharpness"], 3),
        )
    return figures


@torch.no_grad()
def auto_accuracy(pipeline, original_vae, paths, thresholds, crop=512, long_side=1280, seed=1):
    """Share of degraded crops whose group by the predicted metric is that of the true one, and both groups' counts"""
    from stage_rcod import grouped_timesteps, pair_metric  # it imports this module

    true, predicted = [], []
    for index, path in enumerate(paths):
        rng = np.random.default_rng([seed, 7, index])
        for original in centred_crops(data.load_photo(path, long_side), crop):
            for _ in range(4):
                x = data.to_tensor([data.upsample(degrade(original, rng))])
                target = data.to_tensor([original])
                true.append(pair_metric(original_vae, x, target))
                predicted.append(pipeline.mem(pipeline.vae.encode(x)[0]))
    groups = [grouped_timesteps(torch.cat(values), thresholds) for values in (true, predicted)]
    table = {(a, b): int(((groups[0] == a) & (groups[1] == b)).sum()) for a in (249, 499, 749) for b in (249, 499, 749)}
    return float((groups[0] == groups[1]).float().mean()), table


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--originals", type=Path, help="folder of originals (default: the manifest's validation split)")
    parser.add_argument("--root", type=Path, default=Path("/usr/share"), help="root of the manifest's paths")
    parser.add_argument("--model", type=Path, default=Path(__file__).parents[1] / "models/rcod-tiny")
    parser.add_argument("--crop", type=int, default=512)
    parser.add_argument("--long-side", type=int, default=1280, help="originals are reduced to this first")
    parser.add_argument("--seed", type=int, default=1, help="seed of the degradations' noise")
    parser.add_argument("--color-fix", choices=list(COLOR_FIXES), default=RCOD_CONFIG["color_fix"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--per-image", action="store_true")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args()

    from export import load_base_vae, load_folder

    if args.originals:
        paths = sorted(path for path in args.originals.iterdir() if path.suffix.lower() in SUFFIXES)
    else:
        paths = data.manifest_photos(args.root, "validation")
    torch.set_num_threads(args.threads)
    pipeline, config = load_folder(args.model)
    result = evaluate(
        pipeline, paths, TIMESTEPS, args.crop, args.long_side, args.seed, args.color_fix, args.per_image
    )
    accuracy, table = auto_accuracy(
        pipeline, load_base_vae(args.model), paths, config["thresholds"], args.crop, args.long_side, args.seed
    )
    if args.json:
        counts = {f"{a} as {b}": count for (a, b), count in table.items()}
        print(json.dumps({**result, "auto": {"accuracy": accuracy, "counts": counts}}, indent=1))
        return
    print(f"{len(paths)} photos, crops of {args.crop}, long side {args.long_side}, colour fix {args.color_fix}")
    print(f"{'input':10s} {'method':8s} {'PSNR-Y dB':>10s} {'gain':>6s} {'SSIM-Y':>7s} {'gain':>7s} {'sharpness':>10s} {'shift':>6s}")
    for kind, methods in result.items():
        base = methods["bicubic"]
        for method, m in methods.items():
            print(
                f"{kind:10s} {method:8s} {m['psnr']:10.3f} {m['psnr'] - base['psnr']:+6.2f} {m['ssim']:7.4f} "
                f"{m['ssim'] - base['ssim']:+7.4f} {m['sharpness']:10.3f} {m['shift']:6.2f}"
            )
    print(f"auto picks the group of the true metric for {100 * accuracy:.1f} % of degraded crops; true as predicted:")
    print("  " + ", ".join(f"{a} as {b}: {count}" for (a, b), count in table.items()))


if __name__ == "__main__":
    main()
