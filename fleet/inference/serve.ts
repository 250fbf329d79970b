/** Tasks of the inference thread, one after the other or several at once; their calls on the model queue up by themselves. */
import { defined } from "../../cli/defined.ts";
import { CliError, describeError, systemCode, systemReason, usageError } from "../../cli/errors.ts";
import type { ImageFormat } from "../../cli/image/formats.ts";
import { FORMAT_NAMES } from "../../cli/image/formats.ts";
import type { UpscaleCliOptions } from "../../cli/upscale/command.ts";
import type { ImageWork } from "../../cli/upscale/one-image.ts";
import { HELD_PIXELS, inspectInput, readJob, upscaleJob } from "../../cli/upscale/one-image.ts";
import type { JobReport } from "../../cli/upscale/report.ts";
import { processStreams } from "../../cli/upscale/streams.ts";
import { DeviceLostError } from "../../src/gpu/errors.ts";
import { parseWords } from "../job.ts";
import type { EngineParts } from "./engine.ts";
import { FleetEngine } from "./engine.ts";
import type {
  FailureKind,
  FromInference,
  InferenceSetup,
  PictureTask,
  ToInference,
} from "./protocol.ts";

/** A failure that says what it concerns. */
class TaskFailure extends Error {
  readonly why: FailureKind;
  constructor(why: FailureKind, error: unknown) {
    super(describeError(error).message);
    this.why = why;
  }
}

/** Answers messages with `tell`. Returns what takes them. */
export function serveTasks(
  setup: InferenceSetup,
  parts: EngineParts,
  tell: (message: FromInference) => void,
): (message: ToInference) => void {
  const engine = new FleetEngine(setup, parts);
  const running = new Map<number, AbortController>();

  async function run(id: number, task: PictureTask): Promise<void> {
    const controller = new AbortController();
    running.set(id, controller);
    try {
      const onBegun = (): void => tell({ kind: "begun", id });
      const report = await upscalePicture(task, setup, engine, controller.signal, onBegun);
      tell({ kind: "done", id, report });
    } catch (error) {
      const why = controller.signal.aborted ? "aborted" : kindOf(error);
      const isPlace = why === "place" && error instanceof Error;
      const message = isPlace ? systemReason(error.cause) : describeError(error).message;
      tell({ kind: "failed", id, why, message });
    } finally {
      running.delete(id);
    }
  }

  return (message) => {
    switch (message.kind) {
      case "task":
        void run(message.id, message.task);
        break;
      case "abort":
        running.get(message.id)?.abort(new DOMException("interrupted", "AbortError"));
        break;
      default:
        message satisfies never;
    }
  };
}

function kindOf(error: unknown): FailureKind {
  if (error instanceof TaskFailure) return error.why;
  if (error instanceof DeviceLostError) return "device";
  // Nothing else has the system's own error as its cause.
  return error instanceof CliError && systemCode(error.cause) !== undefined ? "place" : "picture";
}

async function upscalePicture(
  { input, output, format, options: words }: PictureTask,
  setup: InferenceSetup,
  engine: FleetEngine,
  signal: AbortSignal,
  onBegun: () => void,
): Promise<JobReport> {
  const asked = parseWords(words);
  const { lowMemory, autotune, dawnToggles } = setup;
  const options: UpscaleCliOptions = {
    ...asked,
    model: setup.model,
    dawnToggles,
    ...defined({ lowMemory, autotune }),
    input: [input],
  };
  const sizes = await engine.sizes(options.reference ?? false);
  const work: ImageWork = {
    options,
    streams: processStreams,
    sizes,
    mostHeld: HELD_PIXELS,
    signal,
  };
  const job = { input, output, format: knownFormat(format) };
  await checkPixels(job, work, setup.mostPixels);
  const ready = await readJob(job, work);
  signal.throwIfAborted();
  const model = await engine
    .load(asked.precision, ready.size, ready.target.asked)
    .catch((error: unknown) => {
      const isLost = error instanceof DeviceLostError;
      throw new TaskFailure(isLost ? "device" : "model", error);
    });
  return upscaleJob(job, ready, engine.calls(model, signal, onBegun), work);
}

const knownFormat = (name: string | undefined): ImageFormat | undefined =>
  FORMAT_NAMES.find((format) => format === name);

/** Before anything is decoded: a small file may be a very large picture. */
async function checkPixels(
  job: Parameters<typeof inspectInput>[0],
  work: ImageWork,
  mostPixels: number,
): Promise<void> {
  const { header } = await inspectInput(job, work);
  const pixels = header.width * header.height * header.frames;
  if (pixels <= mostPixels) return;
  const size = `${header.width} × ${header.height}${header.frames > 1 ? ` × ${header.frames} frames` : ""}`;
  const error = usageError(
    `the picture has ${size} pixels, more than the ${mostPixels / 1e6} million that this worker takes. ` +
      `Start one with a larger --max-input-megapixels`,
  );
  throw new TaskFailure("refused", error);
}
