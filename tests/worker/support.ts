/** A worker in this process: `serveModels` behind a MessageChannel, so that messages are cloned and moved for real. */
import type { Gpu } from "../../src/gpu/device.ts";
import type { WorkerLike } from "../../src/worker/connection.ts";
import { serveModels } from "../../src/worker/host.ts";

export interface LocalWorker extends WorkerLike {
  readonly close: () => void;
}

/** `request` gives each model's device. */
export function localWorker(request: () => Promise<Gpu>): LocalWorker {
  const { port1, port2 } = new MessageChannel();
  serveModels(port2, { requestGpu: request });
  serveModels(port2, { requestGpu: request }); // as a worker does that imports the host and calls it again
  port2.start();
  return Object.assign(new EventTarget(), {
    postMessage: (message: unknown, transfer: Transferable[]) =>
      port1.postMessage(message, transfer),
    close: () => port1.close(),
  });
}

/** The same device for several models: theirs to use, not to destroy. */
export function borrowed(gpu: Gpu): Gpu {
  return Object.create(gpu, { destroy: { value: () => {} } }) as Gpu;
}
