"""The ablation table: short runs of stage c, equal in steps and batches, from the same base, evaluated at the three stops.

    for part in ldg das vpim; do python3 train.py rcod --steps 300 --name without-$part --without $part; done
    python3 train.py rcod --steps 300 --name complete && python3 ablation.py
"""
import argparse
from pathlib import Path

import torch

import data
from measure import evaluate
from model import RCOD_CONFIG
from stage_rcod import Generator, load_base, merged_pipeline

RUNS = ("complete", "without-ldg", "without-das", "without-vpim")


def load_run(runs, name):
    generator = Generator(*load_base(runs))
    generator.load_state_dict(torch.load(runs / f"{name}.pt", map_location="cpu")["generator"])
    pipeline = merged_pipeline(generator)
    if name == "without-vpim":
        prompted, tokens = pipeline.prompted, pipeline.prompted.tokens
        prompted.tokens = lambda x: tokens(torch.zeros_like(x))  # as it was trained
    return pipeline


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("/usr/share"), help="root of the manifest's paths")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--crop", type=int, default=384)
    parser.add_argument("--long-side", type=int, default=1024)
    args = parser.parse_args()
    paths = data.manifest_photos(args.root, "validation")
    stops = tuple(RCOD_CONFIG["timesteps"].values())
    print("| run | input | " + " | ".join(f"t = {t}: PSNR-Y gain dB, SSIM-Y gain, sharpness" for t in stops) + " |")
    print("| --- " * (2 + len(stops)) + "|")
    for name in RUNS:
        result = evaluate(load_run(args.runs, name), paths, stops, args.crop, args.long_side)
        for kind, methods in result.items():
            base = methods["bicubic"]
            cells = (
                f"{m['psnr'] - base['psnr']:+.2f}, {m['ssim'] - base['ssim']:+.4f}, {m['sharpness']:.3f}"
                for m in (methods[f"t={t}"] for t in stops)
            )
            print(f"| {name} | {kind} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
