import { describe, expect, it } from "vitest";
import { CallQueue } from "../../src/rcod/call-queue.ts";

/** A task that ends when told to, and says whether it began. */
function task() {
  let finish = (): void => undefined;
  const state = { hasBegun: false };
  const done = new Promise<void>((resolve) => (finish = resolve));
  const run = async (): Promise<string> => {
    state.hasBegun = true;
    await done;
    return "done";
  };
  return { run, finish: () => finish(), state };
}

describe("CallQueue", () => {
  it("runs one call at a time, in order, also after one that failed", async () => {
    const queue = new CallQueue();
    const [first, second] = [task(), task()];
    const failing = queue.run(async () => {
      await first.run();
      throw new Error("first");
    });
    const next = queue.run(second.run);
    await Promise.resolve();
    await Promise.resolve();
    expect([first.state.hasBegun, second.state.hasBegun, queue.isIdle]).toEqual([
      true,
      false,
      false,
    ]);
    first.finish();
    await expect(failing).rejects.toThrow("first");
    second.finish();
    expect(await next).toBe("done");
    await queue.settled();
    expect(queue.isIdle).toBe(true);
  });

  it("a call that is aborted rejects at once, waiting or not, and the next still waits for its end", async () => {
    const queue = new CallQueue();
    const [first, second, third] = [task(), task(), task()];
    const controller = new AbortController();
    const running = queue.run(first.run, controller.signal);
    const waiting = queue.run(second.run, controller.signal);
    const after = queue.run(third.run);
    await expect.poll(() => first.state.hasBegun).toBe(true);
    controller.abort(new Error("changed my mind"));
    await expect(running).rejects.toThrow("changed my mind");
    await expect(waiting).rejects.toThrow("changed my mind");
    expect(second.state.hasBegun).toBe(false);
    first.finish();
    await expect.poll(() => second.state.hasBegun).toBe(true); // has its turn, to free what it holds
    expect(third.state.hasBegun).toBe(false);
    for (const { finish } of [second, third]) finish();
    expect(await after).toBe("done");
    expect(queue.isIdle).toBe(true);
  });

  it("a signal that was aborted before rejects at once", async () => {
    const queue = new CallQueue();
    const [first, second] = [task(), task()];
    const running = queue.run(first.run);
    await expect(queue.run(second.run, AbortSignal.abort(new Error("too late")))).rejects.toThrow(
      "too late",
    );
    for (const { finish } of [first, second]) finish();
    await running;
  });
});
