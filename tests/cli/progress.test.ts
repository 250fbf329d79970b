import { PassThrough } from "node:stream";
import { afterEach, describe, expect, it, vi } from "vitest";
import { createProgress, estimateLeftMs } from "../../cli/progress.ts";
import type { Progress } from "../../src/rcod/settings/options.ts";
import { recordingTerminal } from "./support/terminal.ts";

afterEach(() => void vi.useRealTimers());

const at = (stage: Progress["stage"], fraction: number, leftMs?: number): Progress => ({
  stage,
  fraction,
  stageFraction: 0,
  ...(leftMs !== undefined && { leftMs }),
});

it("estimates the time left once it is more than a guess", () => {
  expect(estimateLeftMs(10_000, 0.25)).toBe(30_000);
  expect(estimateLeftMs(10_000, 0.01)).toBeUndefined();
  expect(estimateLeftMs(100, 0.5)).toBeUndefined();
});

describe("createProgress", () => {
  it("writes one line per stage where there is no terminal", async () => {
    vi.useFakeTimers({ toFake: ["performance"] });
    const terminal = recordingTerminal();
    const display = await createProgress(terminal, false);
    display.start("photo.png");
    display.update(at("encode", 0));
    display.update(at("encode", 0.1));
    vi.advanceTimersByTime(30_000);
    display.update(at("unet", 0.25, 90_000));
    display.update(at("decode", 0.5, 29_100));
    display.update(at("color", 0.9)); // not known
    display.start("folder", "converting");
    vi.advanceTimersByTime(8000);
    display.update(at("load", 0.5));
    display.stop();
    expect(terminal.stderr).toEqual([
      "photo.png: encoding (0 %)",
      "photo.png: denoising (25 %, about 1 min 30 s left)",
      "photo.png: decoding (50 %, about 30 s left)",
      "photo.png: colour fix (90 %)",
      "folder: converting (50 %, about 8 s left)",
    ]);
  });

  it("tells stages that come with every region each once, and then now and again", async () => {
    const terminal = recordingTerminal();
    const display = await createProgress(terminal, false);
    display.start("photo.png");
    for (let region = 0; region < 100; region++) {
      display.update(at("encode", region / 100));
      display.update(at("decode", (region + 0.5) / 100));
    }
    display.start("next.png");
    display.update(at("encode", 0));
    const lines = terminal.stderr.map((line) => line.replace(/,.*left/, ""));
    expect(lines.slice(0, 3)).toEqual([
      "photo.png: encoding (0 %)",
      "photo.png: decoding (0 %)",
      "photo.png: decoding (5 %)",
    ]);
    expect(lines.length).toBeLessThan(25);
    expect(lines.at(-1)).toBe("next.png: encoding (0 %)");
  });

  it("shows nothing when quiet", async () => {
    const terminal = recordingTerminal();
    const display = await createProgress(terminal, true);
    display.start("photo.png");
    display.update(at("unet", 0.5));
    display.stop();
    expect(terminal.stderr).toEqual([]);
  });

  it("draws a bar with stage, percent and time left on a terminal, and gives the cursor back", async () => {
    vi.useFakeTimers();
    let drawn = "";
    const exitListeners = process.listenerCount("exit");
    const stream = Object.assign(new PassThrough(), { isTTY: true, columns: 120 });
    stream.on("data", (chunk: Buffer) => (drawn += chunk.toString()));
    const terminal = { ...recordingTerminal(), progressStream: stream };
    const display = await createProgress(terminal, false);
    display.start("photo.png");
    expect(process.listenerCount("exit")).toBe(exitListeners + 1);
    display.update({ ...at("load", 0.25), bytesLoaded: 1024, bytesTotal: 4096 });
    vi.advanceTimersByTime(10_000);
    display.update(at("unet", 0.5, 10_000));
    vi.advanceTimersByTime(4000);
    display.stop();
    display.stop();
    expect(process.listenerCount("exit")).toBe(exitListeners);
    vi.useRealTimers();
    await new Promise((resolve) => setImmediate(resolve));
    expect(drawn).toContain("loading model ██████░░░░░░░░░░░░░░░░░░  25 %  1 KiB of 4 KiB");
    expect(drawn).toContain("photo.png  denoising     ████████████░░░░░░░░░░░░  50 %  10 s left");
    expect(drawn).toContain("50 %  7 s left"); // counts down without a report
    const hidden = drawn.split("\u001b[?25l").length;
    expect(hidden).toBeGreaterThan(1);
    expect(drawn.split("\u001b[?25h").length).toBe(hidden);
    expect(drawn).not.toContain("\n");
  });
});
