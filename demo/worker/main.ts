/** The worker that owns the device: takes commands one by one, draws when told how. */
import type { CommandArgs, CommandName, CommandResult, WireError } from "../protocol.ts";
import { commands } from "./commands.ts";
import { scope, send } from "./scope.ts";
import type { CommandContext } from "./session.ts";
import { Session } from "./session.ts";

const session = new Session({
  onDeviceLost: (reason, message) => send({ kind: "device-lost", reason, message }),
});
const running = new Map<number, AbortController>();

scope.addEventListener("message", ({ data }) => {
  switch (data.kind) {
    case "call":
      void answer(data.id, data.name, data.args);
      return;
    case "cancel":
      running.get(data.id)?.abort();
      return;
    case "view":
      session.view.show(data.view);
      return;
    default:
      data satisfies never;
  }
});

async function answer<N extends CommandName>(
  id: number,
  name: N,
  args: CommandArgs<N>,
): Promise<void> {
  const controller = new AbortController();
  running.set(id, controller);
  const context: CommandContext = {
    session,
    signal: controller.signal,
    onProgress: (progress) => send({ kind: "progress", id, progress }),
  };
  try {
    const command = commands[name] as (
      args: CommandArgs<N>,
      context: CommandContext,
    ) => Promise<CommandResult<N>>;
    send({ kind: "result", id, result: await command(args, context) });
  } catch (error) {
    send({ kind: "error", id, error: wireError(error) });
  } finally {
    running.delete(id);
  }
}

function wireError(error: unknown): WireError {
  if (error instanceof Error || error instanceof DOMException) {
    return { name: error.name, message: error.message };
  }
  return { name: "Error", message: String(error) };
}
