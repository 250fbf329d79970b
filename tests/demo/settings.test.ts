/** What a link carries, and what it cannot do to the page. */
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import type { Settings } from "../../demo/settings.ts";
import { DEFAULT_SETTINGS, addressOf, fromHash, seedOf, toHash } from "../../demo/settings.ts";

describe("settings in an address", () => {
  it("are left out where they are the default", () => {
    expect(toHash(DEFAULT_SETTINGS)).toBe("");
    expect(fromHash("")).toEqual(DEFAULT_SETTINGS);
  });

  it("survive it", () => {
    const settings: Settings = {
      realism: "auto",
      colorFix: "wavelet",
      seed: 4294967295,
      scale: 2,
      target: { side: "width", pixels: 1920 },
      precision: "f16",
      mode: "difference",
      photo: "a photo & more.png",
    };
    expect(fromHash(`#${toHash(settings)}`)).toEqual(settings);
    expect(fromHash(`#${toHash({ ...settings, realism: 0 })}`).realism).toBe(0);
  });

  it.each([
    "realism=2",
    "realism=",
    "realism=x",
    "colorFix=__proto__",
    "mode=toString",
    "seed=-1",
    "scale=5",
  ])("are the default where they make no sense: %s", (hash) =>
    expect(fromHash(`#${hash}`)).toEqual(DEFAULT_SETTINGS),
  );

  it("come whole from any address", () => {
    fc.assert(
      fc.property(fc.string(), (hash) => {
        const { realism, seed } = fromHash(hash);
        expect(realism === "auto" || (realism >= 0 && realism <= 1)).toBe(true);
        expect(seed === null || Number.isInteger(seed)).toBe(true);
      }),
    );
  });

  it("are in the address for elsewhere, of the page as it was opened", () => {
    vi.stubGlobal("location", { href: "https://example.org/demo/?canvas=2d#tab=inside&realism=1" });
    expect(addressOf(DEFAULT_SETTINGS)).toBe("https://example.org/demo/?canvas=2d");
    expect(addressOf({ ...DEFAULT_SETTINGS, scale: 2 })).toBe(
      "https://example.org/demo/?canvas=2d#scale=2",
    );
    vi.unstubAllGlobals();
  });

  it("take a seed of 32 bits as it is typed", () => {
    expect([" 7 ", "0", "4294967296", "1e3", "", "1.5"].map(seedOf)).toEqual([
      7,
      0,
      null,
      null,
      null,
      null,
    ]);
  });
});
