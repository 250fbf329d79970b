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

  it("a waiting call that is aborted rejects at once and never runs; the others do not notice", async () => {
    const queue = new CallQueue();
    const [first, second, third] = [task(), task(), task()];
    const controller = new AbortController();
    const running = queue.run(first.run);
    const waiting = queue.run(second.run, controller.signal);
    const after = queue.run(third.run);
    controller.abort(new Error("changed my mind"));
    await expect(waiting).rejects.toThrow("changed my mind"); // the first still runs
    expect(first.state.hasBegun).toBe(true);
    for (const { finish } of [first, third]) finish();
    expect(await Promise.all([running, after])).toEqual(["done", "done"]);
    expect(second.state.hasBegun).toBe(false);
  });

  it("a signal that was aborted before rejects at once; one that aborts later is the task's business", async () => {
    const queue = new CallQueue();
    const [first, second] = [task(), task()];
    const running = queue.run(first.run);
    await expect(queue.run(second.run, AbortSignal.abort(new Error("too late")))).rejects.toThrow(
      "too late",
    );
    first.finish();
    await running;
    const controller = new AbortController();
    const third = task();
    const last = queue.run(third.run, controller.signal);
    await expect.poll(() => third.state.hasBegun).toBe(true);
    controller.abort(new Error("ignored"));
    third.finish();
    expect(await last).toBe("done");
  });
});
