/** The commands of the protocol. One line each: what they do lives in the session and beside it. */
import type { CommandArgs, CommandName, CommandResult } from "../protocol.ts";
import { sender } from "../update-port.ts";
import type { CommandContext } from "./session.ts";
import { thumbnailOf } from "./thumbnail.ts";

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
  attachPreview: async ({ canvas, drawn }, { session }) =>
    session.view.attachPreview(canvas, sender(drawn)),
  openImage: (source, { session, signal }) => session.openImage(source, signal),
  readImage: (_, { session }) => session.readImage(),
  thumbnail: ({ blob }) => thumbnailOf(blob),
  estimate: (settings, { session }) => session.estimate(settings),
  upscale: ({ updates, source, under, ...settings }, { session, ...context }) =>
    session.upscale(source, settings, under, context, sender(updates)),
  upscaleAhead: ({ places, ...settings }, { session, ...context }) =>
    session.upscaleAhead(settings, places, context),
  keepResult: ({ result }, { session }) => session.keepResult(result),
  restoreResults: async ({ files }, { session }) => session.restoreResults(files),
  forgetResults: async ({ results }, { session }) => session.forgetResults(results),
  save: (options, { session }) => session.save(options),
  benchmark: async (args, { signal }) => (await import("./benchmark.ts")).benchmark(args, signal),
  inside: async (args, context) => (await import("./inside.ts")).inside(args, context),
  verify: async (args, { signal }) => (await import("./verify.ts")).verify(args, signal),
  deviceMemory: async (_, { session }) => session.deviceMemory(),
  destroyDevice: async (_, { session }) => session.destroyDevice(),
};
