/** A sample of `npm run reliability:fuzz`. */
import { expect, it } from "vitest";
import { fuzz } from "./fuzz.ts";
import { TARGETS } from "./run.ts";
import type { FuzzTarget } from "./target.ts";

it.each(TARGETS.map((target) => [target.name, target] as const))(
  "%s: a typed error or the same values, in bounded time and memory",
  async (_name, target) => {
    const { failures, opened } = await fuzz(target, 400, 7);
    expect(failures).toEqual([]);
    // Else the files are too broken to test what lies behind the first check.
    expect(opened).toBeGreaterThan(10);
  },
);

it("finds readers that break a rule", async () => {
  const reader = (read: FuzzTarget["read"]): FuzzTarget => ({
    name: "bad",
    seeds: [new Uint8Array(10)],
    mutate: (seed) => seed.slice(),
    read,
    isTyped: (error) => error instanceof RangeError,
  });
  const failures = async (read: FuzzTarget["read"]): Promise<string> =>
    (await fuzz(reader(read), 1)).failures.join();
  let calls = 0;
  const broken = async (): Promise<string> => {
    if (calls++ > 0) throw new TypeError("undefined is not a function");
    return "";
  };
  expect(await failures(broken)).toMatch(/file 0: TypeError/);
  expect(await failures(async () => String(new Uint8Array(1_000_000).byteLength))).toMatch(
    /1000000 bytes for a file of 10/,
  );
  expect(await failures(async () => String(calls++))).toMatch(/other values the second time/);
});
