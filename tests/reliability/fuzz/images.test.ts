/** A sample of `npm run reliability:images`. */
import { beforeAll, describe, expect, it, vi } from "vitest";
import type { ImageTarget } from "./images.ts";
import { IMAGE_FORMATS, imageTargets } from "./images.ts";
import { tryImages } from "./try-images.ts";

const FILES = 120;
let targets: readonly ImageTarget[] = [];

beforeAll(async () => {
  targets = await imageTargets();
});

describe.each(IMAGE_FORMATS)("a damaged %s", (name) => {
  it("is a picture or a typed error, in bounded time and memory", async () => {
    const target = targets.find((one) => one.name === name) as ImageTarget;
    const { failures, pictures } = await tryImages(target, 0, FILES);
    expect(failures).toEqual([]);
    // Damage that is never read, or never refused, tries nothing.
    expect(pictures).toBeGreaterThan(10);
    expect(pictures).toBeLessThan(FILES - 20);
  });
});

describe("a reader that breaks a rule is found:", () => {
  const trial = async (read: ImageTarget["read"]): Promise<string> => {
    const good = Buffer.from("good");
    const target: ImageTarget = {
      name: "bad",
      seeds: [good],
      mutate: () => Buffer.from("bad"),
      read: (bytes) => (bytes === good ? Promise.resolve({ declaredBytes: 0 }) : read(bytes)),
    };
    return (await tryImages(target, 3, 4)).failures.join();
  };

  it("an error without a type", async () => {
    const broken = () => Promise.reject(new TypeError("undefined is not a function"));
    expect(await trial(broken)).toMatch(/^3: TypeError: undefined is not a function/);
  });

  it("time", async () => {
    const usage = vi.spyOn(process, "cpuUsage");
    usage.mockReturnValueOnce({ user: 0, system: 0 });
    usage.mockReturnValueOnce({ user: 2e6, system: 1e5 });
    const quick = () => Promise.resolve({ declaredBytes: 0 });
    expect(await trial(quick)).toBe("3: 2100 ms");
    usage.mockRestore();
  });

  it.skipIf(process.platform !== "linux")("memory", async () => {
    const greedy = async () => ({ declaredBytes: 1000 * (Buffer.alloc(1e8, 1)[0] ?? 0) });
    expect(await trial(greedy)).toMatch(/^3: \d+ bytes for 3, declared 1000$/);
  });
});
