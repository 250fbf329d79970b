/** The suites in a headless Chromium: one small case each, on its software adapter. */
import { describe, expect, it } from "vitest";
import { runInBrowser } from "../../bench/browser.ts";
import type { BrowserChoice } from "../../bench/chromium.ts";
import { findChromium, launchUsable } from "../../bench/chromium.ts";
import { fromQuery } from "../../bench/page/settings.ts";

const usable = await launchUsable();
await usable?.close();
const browser = usable && (await findChromium());

describe.skipIf(browser === null)("in a page", () => {
  it("runs the kernel suite", async () => {
    const lines: string[] = [];
    const result = await runInBrowser(
      browser as BrowserChoice,
      "suite=kernels&filter=add+320&scale=small&minMs=1&samples=3",
      (message) => void (message.kind === "line" && lines.push(message.text)),
    );
    expect(result.passed, lines.join("\n")).toBe(true);
    expect(result.record).toMatchObject({
      suite: "kernels",
      runtime: expect.stringMatching(/Chrome/),
      cases: [{ case: "add 320 @64²", variants: [{ check: { pass: true } }] }],
    });
    expect(result.svg).toMatch(/^<svg [^]*<\/svg>\n$/);
    expect(lines.at(-1)).toBe("1 cases, 0 failed");
  });

  it("compares one operation with onnxruntime-web on both of its backends", async () => {
    const { passed, record } = await runInBrowser(
      browser as BrowserChoice,
      "suite=compare&filter=matmul&scale=tiny&minMs=1&samples=3",
    );
    expect(passed).toBe(true);
    expect(record["cases"]).toEqual([
      expect.objectContaining({
        case: "matmul 12×20×28",
        engines: ["rcod", "ort webgpu", "ort wasm"].map((engine) =>
          expect.objectContaining({ engine, pass: true, timing: expect.any(Object) }),
        ),
        speedup: { webgpu: expect.any(Number), wasm: expect.any(Number) },
      }),
    ]);
  });

  it("fails with what the page says", async () => {
    const wrong = "suite=kernels&samples=-1";
    await expect(runInBrowser(browser as BrowserChoice, wrong)).rejects.toThrow(
      "bench page: samples must be a number above 0",
    );
  });
});

describe("settings of the page", () => {
  it("are read from the address", () => {
    const settings = { suite: "compare", filter: "conv3x3 1→2 @8²", scale: "tiny" };
    expect(fromQuery(`?${new URLSearchParams(settings).toString()}`)).toEqual(settings);
    expect(fromQuery("suite=kernels&minMs=1.5")).toEqual({ suite: "kernels", minMs: 1.5 });
    expect(fromQuery("")).toBeNull();
  });

  it.each(["?suite=all", "?suite=model&precision=f64", "?suite=kernels&minMs=x"])(
    "are refused: %s",
    (query) => {
      expect(() => fromQuery(query)).toThrow(/^bench page: /);
    },
  );
});
