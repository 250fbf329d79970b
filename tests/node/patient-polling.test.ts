/** Dawn's polling, with a proxy in place of its function: both look native. */
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import { pollPatiently } from "../../src/node/patient-polling.ts";

beforeAll(() => pollPatiently());

const asAddon = (callback: () => void): (() => void) => new Proxy(callback, {});

/** How often a callback that asks for the next turn each time is called within 100 ms. */
async function turnsOf(wrap: (callback: () => void) => () => void): Promise<number> {
  let turns = 0;
  let isOver = false;
  const ask = (): void => {
    turns++;
    if (!isOver) setImmediate(wrap(ask));
  };
  ask();
  await pause(100);
  isOver = true;
  await pause(10);
  return turns;
}

describe("polling by an addon", () => {
  it("goes on at once for a while, then with pauses", async () => {
    const turns = await turnsOf(asAddon);
    expect(turns).toBeGreaterThan(64);
    expect(turns).toBeLessThan(600); // some rows end where a busy machine is late
  });

  it("is at once again after a rest", async () => {
    await turnsOf(asAddon);
    await pause(10);
    let turns = 0;
    let pauses = 0;
    const ask = (): void => {
      turns++;
      if (turns < 32) setImmediate(asAddon(ask));
    };
    setImmediate(asAddon(ask));
    const isDone = (): boolean => turns >= 32;
    while (!isDone()) {
      await pause(1);
      pauses++;
    }
    expect(pauses).toBeLessThan(16); // with a pause each it would be 32
  });
});

describe("other calls of setImmediate", () => {
  it("stay at once, however many", async () => {
    expect(await turnsOf((callback) => callback)).toBeGreaterThan(1000);
    expect(await turnsOf((callback) => callback.bind(null))).toBeGreaterThan(1000);
  });

  it("take arguments, can be cleared, and have their promise", async () => {
    const heard: unknown[] = [];
    setImmediate((a: number, b: string) => heard.push(a, b), 1, "two");
    clearImmediate(setImmediate(() => heard.push("never")));
    heard.push(await promisify(setImmediate)("promised"));
    expect(heard).toEqual([1, "two", "promised"]);
  });

  it("are wrapped once", () => {
    const before = globalThis.setImmediate;
    pollPatiently();
    expect(globalThis.setImmediate).toBe(before);
  });
});
