"""The measures of the pictures that pictures.ts made of the pairs of pairs.py: by edition, degradation and timestep.

PSNR-Y, SSIM-Y and sharpness are training/measure.py's, means over the crops. GMSD is the gradient magnitude similarity deviation
to the original (scripts/gmsd.ts). "to f16" is the PSNR of a picture against that of the edition f16, over all channels: the mean
and the least of the crops.
"""
import argparse
import json
import sys
from datetime import date
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))
from losses import luma
from measure import measures, psnr


def levels(path):
    """[1,3,H,W] of 0 … 255"""
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)[None].float()


def psnr_of_channels(a, b):
    return float(10 * torch.log10(255**2 / (a - b).square().mean().clamp(min=1e-12)))


def gmsd(a, b):
    """Prewitt gradients of luma halved by means of 2x2, constant 170; without the outermost pixels"""
    across = torch.tensor([[1.0, 0, -1]] * 3) / 3
    kernel = torch.stack([across, across.T])[:, None]
    x, y = (F.conv2d(F.avg_pool2d(luma(image), 2), kernel).square().sum(1).sqrt() for image in (a, b))
    return float(((2 * x * y + 170) / (x * x + y * y + 170)).std(correction=0))


def rows(pairs, pictures, editions):
    """Of the pictures whose original is among the pairs"""
    for path in sorted((pictures / "f16").glob("*.png")):
        name, degradation, timestep, _ = path.name.split(".")
        if not (pairs / f"{name}.original.png").exists():
            continue
        original = levels(pairs / f"{name}.original.png")
        low = Image.open(pairs / f"{name}.{degradation}.png")
        source = torch.from_numpy(np.array(low.resize((low.width * 4, low.height * 4), Image.Resampling.BICUBIC)))
        source = source.permute(2, 0, 1)[None].float()
        floats = levels(path)
        for edition in editions:
            if not (pictures / edition / path.name).exists():
                continue
            picture = levels(pictures / edition / path.name)
            values = measures(picture, original, source)
            values["gmsd"] = gmsd(picture, original)
            if edition != "f16":
                values["to_f16"] = psnr_of_channels(picture, floats)
                values["to_f16_luma"] = psnr(picture, floats)
            yield edition, degradation, timestep, name, values


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("pictures", type=Path, help="folder with one folder an edition, f16 among them")
    parser.add_argument("--editions", nargs="+", default=["f16", "int8", "int8-64", "mixed", "int4"])
    parser.add_argument("--json", type=Path, help="file to write all figures to")
    args = parser.parse_args()

    groups = {}
    for edition, degradation, timestep, name, values in rows(args.pairs, args.pictures, args.editions):
        groups.setdefault((degradation, timestep, edition), {})[name] = values
    table = []
    for (degradation, timestep, edition), crops in groups.items():
        mean = {key: float(np.mean([values[key] for values in crops.values()])) for key in next(iter(crops.values()))}
        if edition != "f16":
            floats = groups[degradation, timestep, "f16"]
            mean["psnr_loss"] = float(np.mean([floats[name]["psnr"] - values["psnr"] for name, values in crops.items()]))
            mean["most_psnr_loss"] = max(floats[name]["psnr"] - values["psnr"] for name, values in crops.items())
            mean["least_to_f16"] = min(values["to_f16"] for values in crops.values())
        table.append({"degradation": degradation, "timestep": int(timestep[1:]), "edition": edition, "crops": len(crops), **mean})
    if args.json:
        result = {"date": date.today().isoformat(), "rows": table}
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    print("| input | t | weights | PSNR-Y dB | lost, mean | most | SSIM-Y | sharpness | GMSD | to f16, mean | least |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for row in sorted(table, key=lambda row: (row["degradation"], row["timestep"])):
        cells = [row["degradation"], str(row["timestep"]), row["edition"], f"{row['psnr']:.3f}"]
        extra = ["", ""] if row["edition"] == "f16" else [f"{row['psnr_loss']:+.3f}", f"{row['most_psnr_loss']:+.3f}"]
        cells += [*extra, f"{row['ssim']:.4f}", f"{row['sharpness']:.3f}", f"{row['gmsd']:.4f}"]
        cells += ["", ""] if row["edition"] == "f16" else [f"{row['to_f16']:.1f} dB", f"{row['least_to_f16']:.1f} dB"]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
