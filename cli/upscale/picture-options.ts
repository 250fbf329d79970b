/** Options that decide what a result is: of `rcod upscale`, and of the jobs of a fleet. */
import type { Command } from "commander";
import { InvalidArgumentError, Option } from "commander";
import { MIN_REGION, MIN_TILE } from "../../src/rcod/settings/options.ts";
import { parseInteger, parseNumber } from "../command.ts";
import { SCALE } from "../engine.ts";
import { usageError } from "../errors.ts";
import type { ImageFormat } from "../image/formats.ts";
import { FORMATS, FORMAT_NAMES } from "../image/formats.ts";
import type { ProfileMode } from "../image/profile.ts";
import type { Size, SizeOptions } from "./sizing.ts";

const REALISM_WORDS = ["fidelity", "neutral", "realism", "auto"] as const;

/** What the options of this file say. */
export interface PictureOptions extends SizeOptions {
  readonly format?: ImageFormat;
  /** Of JPEG, WebP and AVIF. */
  readonly quality?: number;
  readonly lossless?: boolean;
  readonly depth?: 8 | 16;
  /** Default "keep". */
  readonly profile?: ProfileMode;
  readonly strip?: boolean;
  readonly realism?: (typeof REALISM_WORDS)[number] | number;
  readonly timestep?: number;
  readonly color?: "adain" | "wavelet" | "none";
  readonly seed?: number;
  readonly tile?: number;
  readonly region?: number;
}

/** Throws `CliError` (exit code 2) for options that cannot be meant together. */
export function checkPictureOptions({ format, quality, depth, reference }: PictureOptions): void {
  if (quality !== undefined && format !== undefined && !FORMATS[format].hasQuality) {
    throw usageError(`--quality is for JPEG, WebP and AVIF; ${FORMATS[format].name} has none`);
  }
  if (reference === true && depth === 16) {
    throw usageError("--depth 16 is not for --reference, which rounds to 8 bits as its model does");
  }
}

/** Size and file of results. */
export function addResultOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        "--scale <n>",
        "result's sides by the input's, from 1 to 4 (default 4); 1 restores and keeps the size",
      )
        .argParser(parseNumber(1, SCALE))
        .conflicts(["width", "height", "fit"]),
    )
    .option(
      "--width <n>",
      "of results; the height follows, or with --height both are the most that there may be",
      parseInteger(1),
    )
    .option("--height <n>", "of results; the width follows", parseInteger(1))
    .addOption(
      new Option("--fit <WxH>", "results as large as fit into W × H pixels")
        .argParser(parseBox)
        .conflicts(["width", "height"]),
    )
    .option(
      "--max-megapixels <n>",
      "make results smaller that would have more millions of pixels",
      parseNumber(0.001, 10_000),
    )
    .addOption(
      new Option(
        "--format <f>",
        "format of results (default: the input's, PNG where that cannot be written)",
      ).choices(FORMAT_NAMES),
    )
    .option(
      "--quality <n>",
      "of JPEG and WebP (default 95) and AVIF (default 90), from 1 to 100",
      parseInteger(1, 100),
    )
    .addOption(
      new Option(
        "--lossless",
        "WebP and AVIF without any loss (default: as the input, if it is a WebP)",
      ).conflicts("quality"),
    )
    .addOption(
      new Option("--depth <bits>", "of results (default: the input's, in PNG and TIFF)")
        .choices(["8", "16"])
        .argParser(parseDepth),
    )
    .addOption(
      new Option(
        "--profile <mode>",
        "keep the file's colours and their profile, or convert to sRGB",
      )
        .choices(["keep", "srgb"])
        .default("keep"),
    )
    .option("--strip", "write no EXIF, XMP, IPTC, resolution and text, only the profile");
}

/** Between what is faithful and what looks real. */
export function addRealismOptions(command: Command): Command {
  return command
    .option(
      "--realism <r>",
      "fidelity, neutral, realism, auto (chosen for each image), or a number from 0 to 1",
      parseRealism,
    )
    .addOption(
      new Option("--timestep <t>", "diffusion timestep from 0 to 999, instead of --realism")
        .argParser(parseNumber(0, 999))
        .conflicts("realism"),
    )
    .addOption(
      new Option("--color <method>", "colour correction towards the input").choices([
        "adain",
        "wavelet",
        "none",
      ]),
    );
}

/** How the engine computes. */
export function addEngineOptions(command: Command): Command {
  return command
    .option(
      "--seed <n>",
      "sample the encoding with this seed (default: its mode)",
      parseInteger(0, 2 ** 32 - 1),
    )
    .option(
      "--tile <n>",
      "side in output pixels above which the VAE works in tiles of that side, at least 64 (default: only where the whole does not fit the GPU)",
      parseInteger(MIN_TILE),
    )
    .option(
      "--region <n>",
      `side in pixels of the enlarged picture above which it is computed in regions, at least ${MIN_REGION} (default: as large as fit the GPU, only where the whole does not)`,
      parseInteger(MIN_REGION),
    )
    .option("--reference", "reproduce the reference implementation, quirks included");
}

function parseBox(text: string): Size {
  const [, width, height] = /^(\d+)[x×](\d+)$/i.exec(text) ?? [];
  const box = { width: Number(width), height: Number(height) };
  if (box.width >= 1 && box.height >= 1) return box;
  throw new InvalidArgumentError("It must be a width and a height in pixels, such as 3840x2160.");
}

function parseDepth(text: string): 8 | 16 {
  if (text === "8" || text === "16") return text === "8" ? 8 : 16;
  throw new InvalidArgumentError("Allowed choices are 8, 16.");
}

function parseRealism(text: string): (typeof REALISM_WORDS)[number] | number {
  const word = REALISM_WORDS.find((candidate) => candidate === text);
  if (word !== undefined) return word;
  try {
    return parseNumber(0, 1)(text);
  } catch {
    throw new InvalidArgumentError(
      `It must be ${REALISM_WORDS.join(", ")} or a number from 0 to 1.`,
    );
  }
}
