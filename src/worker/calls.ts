/**
 * What the model in a worker stands on, for a worker with commands of its own: numbered calls with progress and abort, and
 * errors that keep their class.
 *
 * ```ts
 * // in the page
 * const connection = new Connection(worker, (error) => showLost(error));
 * const size = await connection.call((call) => ({ kind: "measure", call, file }), { signal, onProgress });
 *
 * // in the worker
 * onConnect(self, (port) => {
 *   const host = new CallHost(port);
 *   host.listen(({ call, file }) => host.answer(call, (context) => measure(file, context)));
 * });
 * ```
 */
export type {} from "../web-types.ts";
export type { CallContext, MessageScope } from "./call-host.ts";
export { CallHost, onConnect } from "./call-host.ts";
export type { CallHooks, Transferred, WorkerLike } from "./connection.ts";
export { Connection } from "./connection.ts";
