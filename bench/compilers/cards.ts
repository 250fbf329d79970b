/**
 * The cards whose compilers answer without the cards: Mesa's drivers on the stub kernel drivers of the package
 * mesa-drm-shim. Peaks are the vendors' figures.
 */
import type { MatrixUnits } from "../../src/gpu/subgroup-matrix.ts";
import type { InstructionSet } from "./isa/program.ts";

export interface Card {
  /** As `--card` names it. */
  readonly id: string;
  readonly name: string;
  /** Who compiles: the driver, and how its code is read. */
  readonly isa: InstructionSet;
  /** `lib<shim>_noop_drm_shim.so` */
  readonly shim: string;
  /** `<driver>_icd.json` */
  readonly driver: string;
  /** Which card the stub is. */
  readonly environment: Readonly<Record<string, string>>;
  /** The units that the driver offers. They have to be told: a stub computes nothing, so every probe fails. */
  readonly matrixUnits: MatrixUnits | null;
  readonly peaks: Peaks;
}

/** What a card does at most. */
export interface Peaks {
  /** Compute units, streaming multiprocessors, cores. */
  readonly cores: number;
  readonly gigahertz: number;
  /** Lanes of f32 arithmetic that a core issues in a clock. */
  readonly lanes: number;
  /** Instructions of any kind that a core issues in a clock, for one subgroup of 32 each. */
  readonly issues: number;
  /** Bytes of workgroup memory that a core moves in a clock. */
  readonly sharedBytes: number;
  /** f16 multiply-adds with f32 sums of a core's matrix units in a clock; 0 where there are none. */
  readonly matrixMultiplyAdds: number;
  /** Whether a core issues two instructions at once for a subgroup of 64, if they are of the kind that can be paired. */
  readonly pairs?: boolean;
  readonly gigabytesPerSecond: number;
}

const units = (M: number, N: number, K: number): MatrixUnits => ({
  M,
  N,
  K,
  subgroupSize: 32,
  pinsSubgroupSize: true,
  spelling: "quads",
});

const amd = (
  id: string,
  name: string,
  matrixUnits: MatrixUnits | null,
  peaks: Omit<Peaks, "lanes" | "issues" | "sharedBytes"> & Partial<Peaks>,
): Card => ({
  id,
  name,
  isa: "aco",
  shim: "amdgpu",
  driver: "radeon",
  environment: { AMDGPU_GPU_ID: id },
  matrixUnits,
  // Two SIMDs a compute unit, each issues 32 lanes of one instruction in a clock.
  peaks: { lanes: 64, issues: 2, sharedBytes: 128, ...peaks },
});

const nvidia = (
  id: string,
  chipset: string,
  name: string,
  peaks: Omit<Peaks, "issues" | "sharedBytes">,
): Card => ({
  id,
  name,
  isa: "nak",
  shim: "nouveau",
  driver: "nouveau",
  environment: { NOUVEAU_CHIPSET: chipset },
  matrixUnits: units(16, 8, 16),
  // Four schedulers a multiprocessor.
  peaks: { issues: 4, sharedBytes: 128, ...peaks },
});

export const CARDS: readonly Card[] = [
  amd("navi21", "RX 6900 XT (RDNA2)", null, {
    cores: 80,
    gigahertz: 2.25,
    matrixMultiplyAdds: 0,
    gigabytesPerSecond: 512,
  }),
  amd("navi31", "RX 7900 XTX (RDNA3)", units(16, 16, 16), {
    cores: 96,
    gigahertz: 2.5,
    lanes: 128,
    pairs: true,
    matrixMultiplyAdds: 256,
    gigabytesPerSecond: 960,
  }),
  amd("gfx1201", "RX 9070 XT (RDNA4)", units(16, 16, 16), {
    cores: 64,
    gigahertz: 2.97,
    lanes: 128,
    pairs: true,
    matrixMultiplyAdds: 512,
    gigabytesPerSecond: 640,
  }),
  nvidia("tu102", "162", "RTX 2080 Ti (Turing)", {
    cores: 68,
    gigahertz: 1.545,
    lanes: 64,
    matrixMultiplyAdds: 512,
    gigabytesPerSecond: 616,
  }),
  nvidia("ga102", "172", "RTX 3090 (Ampere)", {
    cores: 82,
    gigahertz: 1.695,
    lanes: 128,
    matrixMultiplyAdds: 256,
    gigabytesPerSecond: 936,
  }),
  {
    id: "m1",
    name: "Apple M1",
    isa: "agx",
    shim: "asahi",
    driver: "asahi",
    environment: {},
    matrixUnits: null,
    peaks: {
      cores: 8,
      gigahertz: 1.278,
      lanes: 128,
      issues: 4,
      sharedBytes: 64,
      matrixMultiplyAdds: 0,
      gigabytesPerSecond: 68,
    },
  },
  {
    id: "a730",
    name: "Adreno 730 (Snapdragon 8 Gen 1)",
    isa: "ir3",
    shim: "freedreno",
    driver: "freedreno",
    environment: { FD_GPU_ID: "730" },
    matrixUnits: null,
    peaks: {
      cores: 4,
      gigahertz: 0.9,
      lanes: 256,
      issues: 2,
      sharedBytes: 128,
      matrixMultiplyAdds: 0,
      gigabytesPerSecond: 51,
    },
  },
];
