/** Kernels against their bounds, and which card an adapter is. */
import { describe, expect, it } from "vitest";
import { boundsOf, limitTotals } from "../../../bench/bundle/box/bounds.ts";
import { compiledFor, peaksOf } from "../../../bench/bundle/box/card.ts";
import { GOLDEN, readRecord } from "../../../bench/compilers/docs.ts";

const NONE = { card: undefined, peaks: undefined };
const compilers = await readRecord(GOLDEN);

describe("peaksOf", () => {
  it.each([
    ["nvidia hopper NVIDIA H200 NVIDIA: 580.159.04", "H200 (Hopper)", "ga102"],
    ["NVIDIA H100 80GB HBM3", "H100 SXM (Hopper)", "ga102"],
    ["NVIDIA GeForce RTX 3090", "RTX 3090 (Ampere)", "ga102"],
    ["AMD Radeon RX 7900 XTX (RADV NAVI31)", "RX 7900 XTX (RDNA3)", "navi31"],
  ])("knows %s", (names, name, code) => {
    expect(peaksOf(NONE, names)).toMatchObject({ name, source: "vendor", code });
  });

  it.each(["NVIDIA GeForce RTX 3090 Ti", "NVIDIA H100 PCIe", "NVIDIA RTX 13090"])(
    "takes %s for no other card, and then what was measured",
    (names) => {
      expect(peaksOf(NONE, names)).toBeNull();
      const roofline = { copyGbps: 500, fmaGflops: 8000 };
      expect(peaksOf(NONE, names, roofline)).toMatchObject({
        source: "measured",
        peaks: { lanes: 4000, gigabytesPerSecond: 500, matrixMultiplyAdds: 0 },
      });
    },
  );

  it("takes a card by its id, as lspci has it too", () => {
    expect(peaksOf({ ...NONE, card: "h100" }, "NVIDIA H200")?.name).toBe("H100 SXM (Hopper)");
  });
});

describe("boundsOf", () => {
  const card = peaksOf({ ...NONE, card: "ga102" }, "");
  if (card === null) throw new Error("no ga102");
  const compiled = compiledFor(card, compilers, false);
  const kernels = Object.entries(compiled?.kernels ?? {});
  // "… #2" is the same kernel to whoever measures.
  const [second = ""] =
    kernels.find(([name, { limit }]) => name.endsWith("#2") && limit === "arithmetic") ?? [];
  const label = second.replace(/ #2$/, "");
  const all = kernels.filter(([name]) => name === label || name.startsWith(`${label} #`));
  const flops = all.reduce((sum, [, kernel]) => sum + kernel.flops, 0);
  const leastMs = all.reduce((sum, [, kernel]) => sum + kernel.leastMs, 0);
  const one = { label, steps: 25, durationMs: 200, gflops: flops / 200 / 1e6, gbps: 10 };

  it("is the instrument's own bound on the card that the code was compiled for", () => {
    expect(all.length).toBeGreaterThan(1);
    const [bound] = boundsOf([one], card.peaks, compiled);
    expect(bound).toMatchObject({ basis: "code", limit: "arithmetic" });
    expect(bound?.boundMs).toBeCloseTo(leastMs, 6);
    expect(bound?.ratio).toBeCloseTo(200 / leastMs, 6);
  });

  it("shrinks with cores, clock and the share of the work", () => {
    const twice = { ...card.peaks, cores: 2 * card.peaks.cores };
    const [half] = boundsOf([one], twice, compiled);
    expect(half?.boundMs).toBeCloseTo(leastMs / 2, 6);
    const [part] = boundsOf([{ ...one, durationMs: 50 }], card.peaks, compiled);
    expect(part?.boundMs).toBeCloseTo(leastMs / 4, 6);
  });

  it("follows from FLOPs and bytes where there is no code", () => {
    const { cores, gigahertz, lanes, gigabytesPerSecond, matrixMultiplyAdds } = card.peaks;
    const own = { label: "own", steps: 1, durationMs: 1, gflops: 1000, gbps: 1 };
    const moved = { ...own, label: "moved", gbps: 900 };
    const onUnits = { ...own, label: "linear/matrix own" };
    const bounds = boundsOf([own, moved, onUnits], card.peaks, compiled);
    const clocks = 5e8 / (cores * gigahertz * 1e6);
    expect(bounds.map(({ limit, basis, boundMs }) => [limit, basis, boundMs])).toEqual([
      ["arithmetic", "work", expect.closeTo(clocks / lanes, 9)],
      ["buffers", "work", expect.closeTo(900 / gigabytesPerSecond, 9)],
      ["matrix units", "work", expect.closeTo(clocks / matrixMultiplyAdds, 9)],
    ]);
    expect(limitTotals(bounds)).toContainEqual({
      limit: "buffers",
      measuredMs: 1,
      boundMs: expect.closeTo(900 / gigabytesPerSecond, 9) as number,
      ratio: expect.closeTo(gigabytesPerSecond / 900, 9) as number,
    });
  });

  it("has the code on matrix units of the modes that take them", () => {
    const names = Object.keys(compiledFor(card, compilers, true)?.kernels ?? {});
    expect(names.some((name) => name.startsWith("conv2d/matrix"))).toBe(true);
  });
});
