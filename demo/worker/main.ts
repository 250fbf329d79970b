/** The worker that owns the device: runs commands, draws when told how. */
import { CallHost, onConnect } from "rcod-webgpu/worker-calls";
import type { CommandArgs, CommandName, CommandResult, ToWorker } from "../protocol.ts";
import { commands } from "./commands.ts";
import type { CommandContext } from "./session.ts";
import { Session } from "./session.ts";

onConnect(globalThis, (port) => {
  const host = new CallHost<ToWorker>(port);
  const session = new Session({
    onDeviceLost: (_, message) => host.lost(new Error(message)),
  });
  host.listen((request) => {
    switch (request.kind) {
      case "call":
        return host.answer(request.call, (context) => run(request, { session, ...context }));
      case "view":
        return session.view.show(request.view);
      default:
        return request satisfies never;
    }
  });
});

function run<N extends CommandName>(
  { name, args }: { readonly name: N; readonly args: CommandArgs<N> },
  context: CommandContext,
): Promise<CommandResult<N>> {
  const command = commands[name] as (
    args: CommandArgs<N>,
    context: CommandContext,
  ) => Promise<CommandResult<N>>;
  return command(args, context);
}
