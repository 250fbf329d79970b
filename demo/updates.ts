/** Results of a command as they come: a port beside the command's own answer. */
import type { CallOptions, WorkerClient } from "./client.ts";
import type { CommandArgs, CommandName, CommandResult } from "./protocol.ts";
import type { UpdatePort } from "./update-port.ts";

type UpdateOf<N extends CommandName> =
  CommandArgs<N> extends { readonly updates: UpdatePort<infer T> } ? T : never;

/** Commands that take a port. */
type StreamingCommand = {
  [N in CommandName]: CommandArgs<N> extends { readonly updates: MessagePort } ? N : never;
}[CommandName];

/** Calls a command; `onUpdate` gets what the worker sends, in order, and nothing after the call has ended. */
export async function callWithUpdates<N extends StreamingCommand>(
  caller: Pick<WorkerClient, "call">,
  name: N,
  args: Omit<CommandArgs<N>, "updates">,
  onUpdate: (update: UpdateOf<N>) => void,
  options: Omit<CallOptions, "transfer"> = {},
): Promise<CommandResult<N>> {
  const { port1, port2 } = new MessageChannel();
  port1.addEventListener("message", ({ data }: MessageEvent<UpdateOf<N>>) => onUpdate(data));
  port1.start();
  try {
    const all = { ...args, updates: port2 } as CommandArgs<N>;
    return await caller.call(name, all, { ...options, transfer: [port2] });
  } finally {
    port1.close();
  }
}
