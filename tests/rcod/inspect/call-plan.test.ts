import { describe, expect, it } from "vitest";
import { describePlan } from "../../../src/bench/model-plan.ts";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import { folderFiles } from "../../../src/node/index.ts";
import { outputGeometry } from "../../../src/rcod/images/geometry.ts";
import type { NetworkPlan } from "../../../src/rcod/inspect/call-plan.ts";
import { planCall } from "../../../src/rcod/inspect/call-plan.ts";
import { readConfigs } from "../../../src/rcod/loading/read-configs.ts";

const full = await readConfigs(folderFiles("bench/configs/sd21-clip-l"));
const SIZES = { upscale: 4, minSide: 128, multiple: 8, mode: "exact" } as const;

function plan(width: number, height: number, tile?: number) {
  const geometry = outputGeometry(width, height, SIZES);
  return planCall(full, { width, height }, geometry, geometry, 1, "f16", BASELINE_CAPS, tile);
}

/** Largest sum of the values alive at one step, and whether two values ever share a slot. */
function live({ steps, values, slotBytes }: NetworkPlan) {
  let peak = 0;
  for (let step = 0; step <= steps.length; step++) {
    const alive = values.filter((v) => v.firstStep <= step && step <= v.lastStep);
    expect(new Set(alive.map(({ slot }) => slot)).size, `step ${step}`).toBe(alive.length);
    for (const { byteLength, slot, label } of alive) {
      expect(byteLength, label).toBeLessThanOrEqual(slotBytes[slot] ?? 0);
    }
    peak = Math.max(
      peak,
      alive.reduce((sum, { byteLength }) => sum + byteLength, 0),
    );
  }
  return peak;
}

describe("planCall", () => {
  it("says of each network what rcod info says", () => {
    const { networks, poolSlotBytes, outWidth, workHeight } = plan(128, 128);
    const info = describePlan(full, 512, 512, "f16", BASELINE_CAPS);
    expect([outWidth, workHeight]).toEqual([512, 512]);
    expect(networks.map(({ name, runs }) => [name, runs])).toEqual([
      ["tokens", 1],
      ["encode", 1],
      ["unet", 1],
      ["decode", 1],
    ]);
    networks.forEach(({ stage: _stage, runs: _runs, steps, values: _values, ...summary }, i) => {
      expect(summary).toEqual(info.stages[i]);
      expect(steps.reduce((sum, { dispatches }) => sum + dispatches, 0)).toBe(summary.dispatches);
      expect(steps.reduce((sum, { flops }) => sum + flops, 0)).toBe(summary.flops);
    });
    expect(poolSlotBytes).toEqual(info.poolSlotBytes);
  });

  it("names values, each alone in its slot while it lives; their sum is the peak", () => {
    for (const network of plan(128, 128).networks) {
      expect(live(network)).toBe(network.peakLiveBytes);
      expect(network.values.every(({ label }) => label !== "")).toBe(true);
    }
    const unet = plan(128, 128).networks.find(({ name }) => name === "unet") as NetworkPlan;
    const latents = unet.values.find(({ label }) => label === "latents");
    expect(latents).toMatchObject({ firstStep: 0, byteLength: 64 * 64 * 4 * 2 });
    const eps = unet.values.find(({ label }) => label === "conv_out");
    expect(eps?.lastStep).toBe(unet.steps.length);
  });

  it("plans a tile where the map is cut", () => {
    const { networks } = plan(256, 200); // latents 128 × 100
    const [, encode, unet, decode] = networks as [unknown, NetworkPlan, NetworkPlan, NetworkPlan];
    expect(unet.runs).toBe(4);
    expect(unet.values.find(({ label }) => label === "latents")?.byteLength).toBe(80 * 72 * 4 * 2); // 80 × 72 of 128 × 100
    // In f16, 1024 × 800 pixels do not fit 128 MiB: encoded in cores of 512 pixels, decoded in cores of 256.
    expect([encode.runs, decode.runs]).toEqual([4, 16]);
    expect(decode.largestBindingBytes).toBeLessThanOrEqual(128 * 2 ** 20);
  });

  it("refuses an impossible size", () => {
    expect(() => plan(0, 64)).toThrow("geometry: source side");
  });
});
