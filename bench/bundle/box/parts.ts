/** What the bundle runs, as command lines, the most valuable first. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Environment } from "./adapters.ts";
import type { Command } from "./child.ts";
import type { ModeName, Options, PartName } from "./options.ts";

/** Where things lie. */
export interface Places {
  /** The unpacked bundle. */
  readonly here: string;
  readonly node: string;
  readonly goldens: string;
  readonly tiny: string;
}

/** A process with an end. */
export interface Part {
  readonly name: PartName | "doctor";
  readonly mode: ModeName | null;
  /** It is ended after this many seconds. */
  readonly limitS: number;
  /** `seconds`: what is left for it; it should end before by itself. */
  command(seconds: number): Command;
}

/** What decides how the parts look. */
export interface Situation extends Places {
  readonly options: Options;
  readonly environment: Environment;
  /** Modes that this adapter has. */
  readonly modes: readonly ModeName[];
  readonly isSoftware: boolean;
}

interface Mode {
  readonly toggles: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Kernels that verify is made to take: its cases are smaller than what the engine takes them for. */
  readonly variants: readonly string[];
}

/** Dawn rounds timestamps to 65 µs unless told not to: longer than most kernels take on a large GPU. */
const EXACT_TIMES = "-timestamp_quantization";
const NATIVE_F16 = [EXACT_TIMES, "allow_unsafe_apis", "vulkan_enable_f16_on_nvidia"];
const MATRIX_FEATURE = "chromium-experimental-subgroup-matrix";
const MODES: Readonly<Record<ModeName, Mode>> = {
  default: { toggles: [EXACT_TIMES], env: {}, variants: [] },
  f16: { toggles: NATIVE_F16, env: { RCOD_WITHOUT_FEATURES: MATRIX_FEATURE }, variants: [] },
  // What these refuse runs in the matrix variants that GPUs with units take anyway.
  matrix: {
    toggles: NATIVE_F16,
    env: {},
    variants: ["conv2d=matrix-patch-8", "linear=matrix", "attention=matrix"],
  },
};

/** Seconds of a process for what is not measuring: starting, opening the device, compiling the last case. */
const OVERHEAD_S = 15;
const REHEARSAL_SIDE = 16;
/** Whoever has a budget ends what it has begun first. */
const budgetOf = (seconds: number): string =>
  String(Math.max(1, Math.floor(seconds - Math.min(OVERHEAD_S, seconds / 2))));

/** Of a whole bundle, or of the repository that one without models and golden files is unpacked beside. */
export function findPlaces(here: string): Places {
  const place = (inBundle: string, inRepository: string): string =>
    [join(here, inBundle), join(process.cwd(), inRepository)].find((path) => existsSync(path)) ??
    join(here, inBundle);
  return {
    here,
    // Under a C library of its own, Node takes the dynamic linker for its executable.
    node: process.env["RCOD_NODE"] ?? process.execPath,
    goldens: place("goldens", "tests/fixtures/goldens"),
    tiny: place("models/rcod-tiny", "models/rcod-tiny"),
  };
}

type RcodSituation = Pick<Situation, "here" | "node" | "environment">;

function rcod(
  { here, node, environment }: RcodSituation,
  mode: ModeName,
  args: readonly (string | undefined)[],
): Command {
  const { toggles, env } = MODES[mode];
  const given = args.filter((arg) => arg !== undefined);
  return {
    file: node,
    args: [join(here, "bin/rcod.js"), `--dawn-toggles=${toggles.join(",")}`, ...given, "--json"],
    // Tables that somebody has measured before would be taken.
    env: { ...environment.env, ...env, XDG_CACHE_HOME: join(here, "cache") },
  };
}

/** What each mode begins with. */
export function doctorPart(situation: RcodSituation, mode: ModeName): Part {
  const command = (): Command => rcod(situation, mode, ["doctor"]);
  return { name: "doctor", mode, limitS: 20, command };
}

/** Everything else, in order. */
export function planParts(situation: Situation): readonly Part[] {
  const { options, modes, isSoftware, here, tiny, goldens } = situation;
  const { isRehearsal, samples } = options;
  const option = (name: string, value: string | number | undefined): readonly string[] =>
    value === undefined ? [] : [name, String(value)];
  const isTiny = (options.model ?? (isSoftware ? "tiny" : "full")) === "tiny";
  const model = isTiny
    ? ["--model", tiny]
    : ["--model", join(here, "configs/sd21-clip-l"), "--recipe-weights"];
  const configs = model.slice(0, 2);
  // Where halves are not the engine's own choice, as on adapters that emulate them.
  const halves = (mode: ModeName): readonly string[] =>
    mode === "matrix" ? ["--precision", "f16"] : [];
  const forced = (mode: ModeName): readonly string[] =>
    MODES[mode].variants.flatMap((variant) => ["--variant", variant]);
  const each = (
    name: PartName,
    limitS: number,
    args: (mode: ModeName, seconds: number) => readonly string[],
    which: readonly ModeName[] = modes,
  ): readonly Part[] =>
    which.map((mode) => ({
      name,
      mode,
      limitS,
      command: (seconds) => rcod(situation, mode, args(mode, seconds)),
    }));
  const modelArgs = (mode: ModeName): readonly string[] => [
    "bench",
    "--suite",
    "model",
    ...halves(mode),
    ...option("--samples", samples),
    ...option("--side", isRehearsal ? REHEARSAL_SIDE : undefined),
    ...model,
  ];
  const all: readonly Part[] = [
    ...each("parity", 60, (mode) => [
      "verify",
      goldens,
      ...halves(mode),
      ...forced(mode),
      ...option("--filter", options.verifyFilter),
    ]),
    // A CPU takes matrix units only where they are forced.
    ...each("model", 75, (mode) => [...modelArgs(mode), ...(isSoftware ? forced(mode) : [])]),
    {
      name: "pytorch",
      mode: null,
      limitS: 150,
      command: (seconds) => ({
        file: options.python,
        args: [
          join(here, "pytorch/rcod_fp16.py"),
          ...(isTiny ? ["--tiny"] : []),
          ...(isSoftware
            ? [
                "--device",
                "cpu",
                "--dtype",
                "float32",
                ...(isRehearsal ? ["--modes", "eager"] : []),
              ]
            : []),
          ...option("--samples", samples),
          "--seconds",
          budgetOf(seconds),
        ],
        env: { PYTHONUNBUFFERED: "1" },
      }),
    },
    // Without native f16 the kernels are the same but for how halves are unpacked.
    ...each(
      "kernels",
      45,
      (mode, seconds) => [
        "bench",
        "--suite",
        "kernels",
        ...halves(mode),
        ...option("--samples", samples),
        ...option("--filter", options.kernelsFilter),
        "--budget",
        budgetOf(seconds),
      ],
      modes.toReversed(),
    ),
    ...each("tune", 45, (mode, seconds) => [
      "tune",
      ...configs,
      ...halves(mode),
      ...(isRehearsal ? ["--size", "64x64", "--budget", "2"] : ["--budget", budgetOf(seconds)]),
    ]),
    // The tables that were just stored are taken.
    ...each("tuned", 60, modelArgs),
  ];
  return all.filter(({ name }) => name === "doctor" || options.parts.includes(name));
}
