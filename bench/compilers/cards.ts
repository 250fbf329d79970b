/**
 * The cards whose compilers answer without the cards: Mesa's drivers on the stub kernel drivers of the package
 * mesa-drm-shim.
 */
import type { MatrixUnits } from "../../src/gpu/subgroup-matrix.ts";
import type { InstructionSet } from "./isa/program.ts";

export interface Card {
  /** As `--card` names it. */
  readonly id: string;
  readonly name: string;
  /** What the driver counts as occupancy. */
  readonly occupancyUnit: string;
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

/**
 * What a card does at most, by its vendor's figures: cores × lanes × 2 × gigahertz is the rate of f32 on the box, and
 * cores × matrixMultiplyAdds × 2 × gigahertz that of its matrix units.
 */
export interface Peaks {
  /** Compute units (AMD), streaming multiprocessors (NVIDIA), cores (Apple), shader processors (Qualcomm). */
  readonly cores: number;
  /** The boost clock. */
  readonly gigahertz: number;
  /** Lanes of arithmetic that a core issues in a clock, of all kinds together. */
  readonly lanes: number;
  /** How many of them can be floating point. Absent: all. */
  readonly floatLanes?: number;
  /** How many can be integers and comparisons. Absent: all. */
  readonly integerLanes?: number;
  /** Lanes of exp, 1/x and the like. Absent: not known. */
  readonly specialLanes?: number;
  /** Whether half of `lanes` need a second instruction of the kind that can be paired, for a subgroup of 64. */
  readonly pairs?: boolean;
  /** Instructions of a subgroup that a core issues in a clock: of any kind on NVIDIA, scalar ones elsewhere. */
  readonly issues: number;
  /** Bytes of workgroup memory that a core moves in a clock. */
  readonly sharedBytes: number;
  /** No vendor says `sharedBytes`: it is shown but sets no bound. */
  readonly isSharedAssumed?: boolean;
  /** f16 multiply-adds with f32 sums of a core's matrix units in a clock; 0 where there are none. */
  readonly matrixMultiplyAdds: number;
  /** Of the card's memory, not of its caches. */
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
  occupancyUnit: "waves a SIMD",
  isa: "aco",
  shim: "amdgpu",
  driver: "radeon",
  environment: { AMDGPU_GPU_ID: id },
  matrixUnits,
  // Two SIMDs a compute unit, each issues 32 lanes of one instruction in a clock, and 8 of exp and 1/x.
  peaks: { lanes: 64, specialLanes: 16, issues: 2, sharedBytes: 128, ...peaks },
});

const nvidia = (
  id: string,
  chipset: string,
  name: string,
  peaks: Omit<Peaks, "lanes" | "issues" | "sharedBytes">,
): Card => ({
  id,
  name,
  occupancyUnit: "warps a multiprocessor",
  isa: "nak",
  shim: "nouveau",
  driver: "nouveau",
  environment: { NOUVEAU_CHIPSET: chipset },
  matrixUnits: units(16, 8, 16),
  // Four schedulers a multiprocessor, each issues 32 lanes of one instruction in a clock; 16 lanes beside do integers.
  peaks: {
    lanes: 128,
    integerLanes: 64,
    specialLanes: 16,
    issues: 4,
    sharedBytes: 128,
    ...peaks,
  },
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
    floatLanes: 64,
    // With sums in f16 it would be twice as many.
    matrixMultiplyAdds: 256,
    gigabytesPerSecond: 616,
  }),
  nvidia("ga102", "172", "RTX 3090 (Ampere)", {
    cores: 82,
    gigahertz: 1.695,
    matrixMultiplyAdds: 256,
    gigabytesPerSecond: 936,
  }),
  {
    id: "m1",
    name: "Apple M1",
    occupancyUnit: "threads of a workgroup",
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
      isSharedAssumed: true,
      matrixMultiplyAdds: 0,
      gigabytesPerSecond: 68,
    },
  },
  {
    id: "a730",
    name: "Adreno 730 (Snapdragon 8 Gen 1)",
    occupancyUnit: "waves a core",
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
      isSharedAssumed: true,
      matrixMultiplyAdds: 0,
      gigabytesPerSecond: 51,
    },
  },
];

/** A card whose compiler is not here: its code is taken to be that of a card of the same make. */
export interface OtherCard extends Pick<Card, "id" | "name" | "peaks"> {
  /** The `id` of that card. */
  readonly like: string;
}

const hopper = (
  id: string,
  name: string,
  peaks: Pick<Peaks, "cores" | "gigahertz" | "gigabytesPerSecond">,
): OtherCard => ({
  id,
  name,
  like: "ga102",
  peaks: {
    lanes: 128,
    integerLanes: 64,
    specialLanes: 16,
    issues: 4,
    sharedBytes: 128,
    // 989 TFLOP/s of the SXM part, with the instructions of four subgroups at once, which no WebGPU has.
    matrixMultiplyAdds: 1893,
    ...peaks,
  },
});

export const OTHER_CARDS: readonly OtherCard[] = [
  hopper("h100", "H100 SXM (Hopper)", { cores: 132, gigahertz: 1.98, gigabytesPerSecond: 3350 }),
  hopper("h200", "H200 (Hopper)", { cores: 132, gigahertz: 1.98, gigabytesPerSecond: 4800 }),
];

/** The cards that are looked at where none is named: one of each vendor. */
export const DEFAULT_CARDS: readonly string[] = ["navi31", "ga102", "m1", "a730"];
