/** Calls across a port, for workers with commands of their own. */
import { describe, expect, it } from "vitest";
import { DeviceLostError } from "../../src/gpu/errors.ts";
import { ShapeError } from "../../src/gpu/shape.ts";
import type { CallContext, WorkerLike } from "../../src/worker/calls.ts";
import { CallHost, Connection, onConnect } from "../../src/worker/calls.ts";

interface Command {
  readonly kind: "call" | "note";
  readonly call: number;
}

/** A connection to a worker in this process that runs `command`. */
function connected(command: (context: CallContext) => Promise<unknown>) {
  const { port1, port2 } = new MessageChannel();
  const notes: Command[] = [];
  const lost: Error[] = [];
  const state = { hasEnded: false };
  onConnect(port2, (port) => {
    const host = new CallHost<Command>(port);
    host.listen(
      (request) =>
        request.kind === "note" ? notes.push(request) : host.answer(request.call, command),
      () => (state.hasEnded = true),
    );
    host.lost(new DeviceLostError("unknown", "gone"));
  });
  port2.start();
  const worker: WorkerLike = Object.assign(new EventTarget(), {
    postMessage: (message: unknown, transfer: Transferable[]) =>
      port1.postMessage(message, transfer),
  });
  const connection = new Connection(worker, (error) => lost.push(error));
  const call = (hooks = {}): Promise<unknown> =>
    connection.call((number) => ({ kind: "call", call: number }), hooks);
  return {
    connection,
    call,
    notes,
    lost,
    state,
    close: () => {
      connection.end(new Error("the test is over"));
      port1.close();
    },
  };
}

/** Ends as late as a call that looks at its signal between two steps. */
const untilAborted = ({ signal }: CallContext): Promise<never> =>
  new Promise((_, reject) => {
    signal.addEventListener("abort", () =>
      setTimeout(() => reject(new Error("stopped by the worker")), 20),
    );
  });

describe("calls to a worker of one's own", () => {
  it("answer, tell of progress, and keep the class of errors", async () => {
    let isFirst = true;
    const progress = { stage: "unet", fraction: 0.5 };
    const { call, lost, close } = connected(async ({ onProgress }) => {
      if (!isFirst) throw new ShapeError("image: too small");
      isFirst = false;
      onProgress(progress as never);
      return { answer: 42 };
    });
    const heard: unknown[] = [];
    expect(await call({ onProgress: (one: unknown) => heard.push(one) })).toEqual({ answer: 42 });
    expect(heard).toEqual([progress]);
    await expect(call()).rejects.toThrow(new ShapeError("image: too small"));
    await expect(call()).rejects.toBeInstanceOf(ShapeError);
    expect(lost[0]).toBeInstanceOf(DeviceLostError);
    close();
  });

  it("end at once when aborted, or when the worker has stopped", async () => {
    let hasStopped = false;
    const { call, close } = connected(async (context) => {
      hasStopped = false;
      await untilAborted(context).finally(() => (hasStopped = true));
    });
    for (const waitsForEnd of [false, true]) {
      const controller = new AbortController();
      const ended = call({ signal: controller.signal, waitsForEnd });
      controller.abort(new Error("the page's own reason"));
      await expect(ended).rejects.toThrow("the page's own reason");
      expect(hasStopped).toBe(waitsForEnd);
    }
    close();
  });

  it("go beside messages that have no answer, until the connection ends", async () => {
    const { connection, call, notes, state, close } = connected(async () => 1);
    connection.post({ kind: "note", call: 7 });
    await call();
    expect(notes).toEqual([{ kind: "note", call: 7 }]);
    connection.end(new Error("over"));
    await expect.poll(() => state.hasEnded).toBe(true);
    expect(() => connection.post({ kind: "note", call: 8 })).not.toThrow();
    await expect(async () => call()).rejects.toThrow("over");
    close();
  });
});
