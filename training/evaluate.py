"""Figures of a trained model on photographs that it has not seen, against bicubic enlargement.

measure.py says what is measured and how; besides, the share of crops whose group the model's own metric finds.
"""
import argparse
import json
from pathlib import Path

import numpy as np
import torch

import data
from degradations import degrade
from export import load_base_vae, load_folder
from measure import TIMESTEPS, centred_crops, evaluate
from model import COLOR_FIXES, RCOD_CONFIG
from stage_rcod import grouped_timesteps, pair_metric

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


@torch.no_grad()
def auto_accuracy(pipeline, original_vae, paths, thresholds, crop=512, long_side=1280, seed=1):
    """Share of degraded crops whose group by the predicted metric is that of the true one, and both groups' counts"""
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
    print(f"{'input':10s} {'method':8s} {'PSNR-Y dB':>10s} {'gain':>6s} {'SSIM-Y':>7s} {'gain':>7s} {'sharpness':>10s} {'deviation':>10s} {'shift':>6s}")
    for kind, methods in result.items():
        base = methods["bicubic"]
        for method, m in methods.items():
            print(
                f"{kind:10s} {method:8s} {m['psnr']:10.3f} {m['psnr'] - base['psnr']:+6.2f} {m['ssim']:7.4f} "
                f"{m['ssim'] - base['ssim']:+7.4f} {m['sharpness']:10.3f} {m['deviation']:10.4f} {m['shift']:6.2f}"
            )
    print(f"auto picks the group of the true metric for {100 * accuracy:.1f} % of degraded crops; true as predicted:")
    print("  " + ", ".join(f"{a} as {b}: {count}" for (a, b), count in table.items()))


if __name__ == "__main__":
    main()
