/** The few members of `DedicatedWorkerGlobalScope` that are used; TypeScript's DOM library does not know it. */
import type { FromWorker, ToWorker } from "../protocol.ts";

interface WorkerScope {
  postMessage(message: FromWorker): void;
  addEventListener(type: "message", listener: (event: MessageEvent<ToWorker>) => void): void;
}

export const scope = globalThis as unknown as WorkerScope;

export function send(message: FromWorker): void {
  // A worker's has no target origin.
  // oxlint-disable-next-line unicorn/require-post-message-target-origin
  scope.postMessage(message);
}
