/** What pictures on the stage are called. */
import { expect, it } from "vitest";
import type { ResultInfo, UpscaleSettings } from "../../demo/protocol.ts";
import { layerHint, layerName } from "../../demo/stage/compare-state.ts";

const PLAIN: UpscaleSettings = {
  realism: 0.5,
  colorFix: "model",
  seed: null,
  scale: 4,
  size: null,
  mask: null,
};

function nameOf(settings: Partial<UpscaleSettings>, realism = 0.5): string {
  const result = { id: 7, realism, settings: { ...PLAIN, realism, ...settings } };
  return layerName(7, [result as ResultInfo]);
}

it("says what is the original and what was made of it, and how", () => {
  const mask = { width: 1, height: 1, data: new Uint8Array(1), realism: 0 };
  expect(layerName("bicubic", [])).toBe("Original");
  expect(layerHint("bicubic")).toContain("enlarged by bicubic");
  expect(nameOf({})).toBe("rcod · Neutral");
  expect(nameOf({}, 0)).toBe("rcod · Fidelity");
  expect(nameOf({}, 1)).toBe("rcod · Realism");
  expect(nameOf({}, 0.72)).toBe("rcod · 0.72");
  expect(nameOf({ realism: "auto" }, 0.6104)).toBe("rcod · Auto 0.61");
  expect(nameOf({ mask, scale: 2 })).toBe("rcod · Neutral · painted Fidelity · ×2");
  expect(nameOf({ colorFix: "wavelet", seed: 3 })).toBe("rcod · Neutral · wavelet · seed 3");
  expect(layerName(8, [])).toBe("rcod · so far");
});
