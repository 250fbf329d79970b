"""Makes the knob even: the table from realism (0 to 1) to timesteps, by the sharpness of restored validation photographs.

    python3 knob.py --root photos/usr/share            # measures and prints
    python3 knob.py --root photos/usr/share --write    # also puts the table into the model's rcod_config.json

PSNR and sharpness are measured over the timesteps on one centred crop of every photograph, made small in both ways of
measure.py, and the table's nine entries lie where sharpness has gone equal parts of its way. Printed are their figures, and
the share of the whole change of sharpness that each quarter of the knob makes.
"""
import argparse
import json
from pathlib import Path

import numpy as np
import torch

import data
from degradations import from_image, to_image
from export import load_folder, write_json
from measure import DEGRADATIONS, measures, restore, to_levels
from model import RCOD_CONFIG

QUARTERS = 4


def inputs(paths, crop, long_side, seed=1):
    """[(degradation, input in [-1,1], original in levels)], one crop a photograph"""
    for index, path in enumerate(paths):
        rng = np.random.default_rng([seed, index])
        reference = from_image(data.centre(data.load_photo(path, long_side), crop, crop))
        for name, make in DEGRADATIONS.items():
            yield name, data.to_tensor([data.upsample(to_image(make(reference, rng)))]), reference * 255


def figures(pipeline, pairs, timesteps, color_fix):
    """{degradation: [[PSNR, sharpness] of every timestep]}, means over the photographs"""
    rows = {}
    for name, x, reference in pairs:
        source = to_levels(x * 0.5 + 0.5)
        made = [measures(restore(pipeline, x, t, color_fix), reference, source) for t in timesteps]
        rows.setdefault(name, []).append([[m["psnr"], m["sharpness"]] for m in made])
    return {name: np.mean(values, axis=0) for name, values in rows.items()}


def even_table(measured, entries=2 * QUARTERS + 1):
    """Indices of the timesteps whose sharpness lies nearest to equal steps from the first to the last, among those ways on
    which no input loses sharpness or gains PSNR from one entry to the next. `measured` as of `figures`.

    A network that has seen each timestep a few times is not even in itself: neighbours differ more than their order says.
    """
    sharpness = np.mean([values[:, 1] for values in measured.values()], axis=0)
    wanted = np.linspace(sharpness[0], sharpness[-1], entries)
    rising = np.concatenate([values * [-1, 1] for values in measured.values()], axis=1)
    # Of the best way to each timestep as the entry so far: its cost, and its entries.
    ways = {0: (0.0, [0])}
    for target in wanted[1:]:
        ways = {
            j: min((cost + (sharpness[j] - target) ** 2, [*way, j]) for cost, way in before)
            for j in range(len(sharpness))
            if (before := [each for i, each in ways.items() if i < j and (rising[j] >= rising[i]).all()])
        }
    last = len(sharpness) - 1
    if last not in ways:
        raise ValueError(f"no {entries} of these timesteps have rising sharpness and falling PSNR: measure more of them")
    return ways[last][1]


def shares(sharpness):
    """Of the whole change of sharpness, what each quarter of nine stops makes"""
    ends = sharpness[:: (len(sharpness) - 1) // QUARTERS]
    return np.diff(ends) / (ends[-1] - ends[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    repository = Path(__file__).parents[1]
    parser.add_argument("--root", type=Path, default=Path("/usr/share"), help="root of the manifest's paths")
    parser.add_argument("--model", type=Path, default=repository / "models/rcod-tiny")
    parser.add_argument("--crop", type=int, default=320)
    parser.add_argument("--long-side", type=int, default=1024)
    parser.add_argument("--measured", type=int, default=41, help="timesteps from which the table is taken")
    parser.add_argument("--write", action="store_true", help="put the table into rcod_config.json")
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    pipeline, config = load_folder(args.model)
    pairs = list(inputs(data.manifest_photos(args.root, "validation"), args.crop, args.long_side))
    first, last = (RCOD_CONFIG["timesteps"][end] for end in ("fidelity", "realism"))
    # Denser towards the end, where sharpness moves.
    places = 1 - np.linspace(1, 0, args.measured) ** 1.5
    timesteps = [round(float(t)) for t in first + (last - first) * places]
    color_fix = config["color_fix"]
    measured = figures(pipeline, pairs, timesteps, color_fix)
    chosen = even_table(measured)
    table = [timesteps[i] for i in chosen]
    print("realism_timesteps", table)
    at_stops = {name: values[chosen] for name, values in measured.items()}
    print("| realism | timestep |" + "".join(f" {name}: PSNR-Y dB | sharpness |" for name in at_stops))
    print("| --- | --- |" + " --- | --- |" * len(at_stops))
    for index, stop in enumerate(table):
        cells = "".join(f" {values[index, 0]:.2f} | {values[index, 1]:.3f} |" for values in at_stops.values())
        print(f"| {index / (len(table) - 1):.3f} | {stop} |{cells}")
    for name, values in at_stops.items():
        print(f"{name}: quarters {[f'{share:.0%}' for share in shares(values[:, 1])]}")
    if args.write:
        write_json(args.model / "rcod_config.json", {**config, "realism_timesteps": table})


if __name__ == "__main__":
    main()
