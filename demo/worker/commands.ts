/** The commands of the protocol. One line each: what they do lives in the session and beside it. */
import type { CommandArgs, CommandName, CommandResult } from "../protocol.ts";
import { sender } from "../update-port.ts";
import { decodeImage } from "./decode-image.ts";
import type { CommandContext } from "./session.ts";

type CommandTable = {
  readonly [N in CommandName]: (
    args: CommandArgs<N>,
    context: CommandContext,
  ) => Promise<CommandResult<N>>;
};

export const commands: CommandTable = {
  start: (options, { session }) => session.start(options),
  attachCanvas: async ({ canvas, mode }, { session }) => session.view.attach(canvas, mode),
  loadModel: ({ choice, precision }, { session, ...context }) =>
    session.loadModel(choice, precision, context),
  openImage: async ({ blob, cut }, { session }) => session.setImage(await decodeImage(blob, cut)),
  estimate: (settings, { session }) => session.estimate(settings),
  upscale: ({ updates, ...settings }, { session, ...context }) =>
    session.upscale(settings, context, sender(updates)),
  save: (options, { session }) => session.save(options),
  benchmark: async (args, { signal }) => (await import("./benchmark.ts")).benchmark(args, signal),
  inside: async (args, context) => (await import("./inside.ts")).inside(args, context),
  verify: async (args, { signal }) => (await import("./verify.ts")).verify(args, signal),
  destroyDevice: async (_, { session }) => session.destroyDevice(),
};
