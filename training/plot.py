"""Draws the training curves (curves.png) from the logs of the stages. Needs Matplotlib."""
import argparse
import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def read_log(path):
    """{column: [values]}"""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return {key: [float(row[key]) for row in rows] for key in rows[0]}


def read_validation(path):
    """[[step, minutes, figures ...]] of the last run in the file: steps start again at every run"""
    with open(path, newline="") as file:
        rows = [[float(value) for value in row] for row in csv.reader(file)]
    start = max([i for i in range(1, len(rows)) if rows[i][0] <= rows[i - 1][0]], default=0)
    return rows[start:]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--name", default="rcod", help="stage c's run")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("curves.png"))
    args = parser.parse_args()

    figure, axes = plt.subplots(2, 2, figsize=(11, 7))
    vae, prior, rcod = (read_log(args.runs / f"{name}.csv") for name in ("vae", "prior", args.name))
    axes[0, 0].plot(vae["minutes"], vae["square"])
    axes[0, 0].set(title="a: autoencoder, squared error", yscale="log")
    axes[0, 1].plot(prior["minutes"], prior["loss"], label="all timesteps")
    axes[0, 1].plot(prior["minutes"], prior["early"], label="t < 333")
    axes[0, 1].set(title="b: prior, squared error of the noise")
    axes[0, 1].legend()
    ratio = [a / b for a, b in zip(rcod["square"], rcod["bicubic"])]
    axes[1, 0].plot(rcod["minutes"], ratio)
    axes[1, 0].set(title="c: RCOD, squared error over bicubic's (all timesteps)", xlabel="minutes")
    validation = read_validation(args.runs / f"{args.name}.validation.csv")
    minutes = [row[1] for row in validation]
    axes[1, 1].plot(minutes, [row[2] for row in validation], "o-", label="benchmark degradation")
    axes[1, 1].plot(minutes, [row[7] for row in validation], "o-", label="bicubic ÷4")
    axes[1, 1].set(title="c: validation, PSNR-Y over bicubic at t = 249, dB", xlabel="minutes")
    axes[1, 1].axhline(0, color="grey", linewidth=0.5)
    axes[1, 1].legend()
    for axis in axes.flat:
        axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(args.out, dpi=90)


if __name__ == "__main__":
    main()
