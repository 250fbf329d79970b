/** `rcod fleet work`: one worker on this machine, from its checks to its last job. */
import { hostname } from "node:os";
import type { GlobalOptions } from "../../cli/command.ts";
import { defined } from "../../cli/defined.ts";
import { EXIT } from "../../cli/errors.ts";
import { formatMs } from "../../cli/format.ts";
import { REPEAT_MS } from "../../cli/interrupt.ts";
import { askAdapters, launch } from "../../cli/launch.ts";
import { checkModelPaths, modelPaths } from "../../cli/model-paths.ts";
import type { ModelPaths } from "../../cli/model-paths.ts";
import { shownText } from "../../cli/shown-text.ts";
import { removeNewLeftovers } from "../../cli/temporary.ts";
import type { Terminal } from "../../cli/terminal.ts";
import type { Claim } from "../contract.ts";
import { ThreadInference } from "../inference/inference.ts";
import type { InferenceSetup } from "../inference/protocol.ts";
import type { FleetJob, JobResult } from "../job.ts";
import { modelChecksum } from "../model-checksum.ts";
import { openBullQueue } from "../queue/bull-queue.ts";
import { connectQueue } from "../queue/connection.ts";
import type { QueueOptions } from "../queue/with-store.ts";
import { queueUrl } from "../queue/with-store.ts";
import { addressOf } from "../storage/address.ts";
import { Storages } from "../storage/storages.ts";
import { chooseByBus, chooseByName } from "./choose-gpu.ts";
import { doJob } from "./one-job.ts";
import type { WorkEvents } from "./work-loop.ts";
import { workOn } from "./work-loop.ts";

export interface WorkerOptions extends GlobalOptions, QueueOptions, ModelPaths {
  readonly gpu?: number;
  readonly concurrency: number;
  /** Seconds. */
  readonly lock: number;
  /** Seconds; true for the default. */
  readonly idleExit?: number | true;
  /** Seconds. */
  readonly grace: number;
  readonly maxInputMegapixels: number;
  readonly maxInputMegabytes: number;
  readonly allow?: readonly string[];
  readonly lowMemory?: boolean;
  readonly autotune?: boolean;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** Without jobs for so long a worker with `--idle-exit` ends. */
const IDLE_SECONDS = 10;

/** Exit code 0 after an ordered end. Throws what keeps the worker from working at all. */
export async function runWork(options: WorkerOptions, terminal: Terminal): Promise<number> {
  const url = queueUrl(options);
  const allowed = (options.allow ?? []).map(addressOf);
  await checkModelPaths(options);
  const { gpu } = options;
  const isOnBus = gpu !== undefined && (await chooseByBus(gpu));
  const exitCode = await launch(options.quiet ?? false);
  if (exitCode !== null) return exitCode;
  const adapter = gpu === undefined || isOnBus ? undefined : chooseByName(gpu, await askAdapters());
  const note = (message: string): void => {
    if (options.quiet !== true) terminal.note(`rcod: ${message}`);
  };
  const { idleExit } = options;
  const idleExitMs =
    idleExit === undefined ? undefined : (idleExit === true ? IDLE_SECONDS : idleExit) * 1000;
  const redis = await connectQueue(url, note);
  const worker = `${hostname()}/${process.pid}`;
  const queue = await openBullQueue(redis, {
    name: options.name,
    worker,
    lockMs: options.lock * 1000,
    ...defined({ waitMs: idleExitMs }),
    onNote: note,
  });
  const model = await modelChecksum(modelPaths(options));
  const { dawnToggles, lowMemory, autotune, strict } = options;
  const setup: InferenceSetup = {
    ...modelPaths(options),
    dawnToggles,
    ...defined({ adapter, lowMemory, autotune, strict }),
    mostPixels: options.maxInputMegapixels * 1e6,
  };
  const inference = new ThreadInference(setup, note);
  const storages = new Storages();
  const stopping = stopSignals(note, options.grace);
  const tools = {
    worker,
    storages,
    inference,
    model,
    mostBytes: options.maxInputMegabytes * 1e6,
    allowed,
  };
  note(`worker ${worker} takes jobs of the queue ${options.name}`);
  try {
    const tally = await workOn(
      queue,
      (data, signal, onBegun) => doJob(data, tools, signal, onBegun),
      {
        concurrency: options.concurrency,
        ...defined({ idleExitMs }),
        graceMs: options.grace * 1000,
        stop: stopping.stop,
        stopNow: stopping.stopNow,
        events: eventsOf(options, terminal),
      },
    );
    if (options.json === true) terminal.out(JSON.stringify({ worker, ...tally }));
    else
      note(
        `worker ${worker} ends: ${tally.done} done, ${tally.failed} failed, ${tally.givenBack} given back`,
      );
    return EXIT.ok;
  } finally {
    stopping.end();
    await inference.close();
    await queue.close();
    redis.disconnect();
    storages.close();
    await removeNewLeftovers();
  }
}

interface Stopping {
  readonly stop: AbortSignal;
  readonly stopNow: AbortSignal;
  end(): void;
}

/** The first signal ends the worker after its job, the second gives the job back. */
function stopSignals(note: (message: string) => void, graceSeconds: number): Stopping {
  const stop = new AbortController();
  const stopNow = new AbortController();
  let since = 0;
  const onSignal = (): void => {
    if (!stop.signal.aborted) {
      since = performance.now();
      note(
        `ends after its job, at most ${graceSeconds} s from now; a second signal gives the job back`,
      );
      stop.abort();
    } else if (performance.now() - since > REPEAT_MS) stopNow.abort();
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const name of signals) process.on(name, onSignal);
  return {
    stop: stop.signal,
    stopNow: stopNow.signal,
    end: () => signals.forEach((name) => process.off(name, onSignal)),
  };
}

function eventsOf({ json, quiet }: WorkerOptions, terminal: Terminal): WorkEvents {
  const inputOf = ({ data }: Claim): string =>
    shownText(String((data as Partial<FleetJob> | undefined)?.input));
  const outputOf = ({ data }: Claim): string =>
    shownText(String((data as Partial<FleetJob> | undefined)?.output));
  return {
    done(claim, { outcome, pixels, ms, notes }: JobResult) {
      if (quiet === true || json === true) return;
      const how =
        outcome === "there"
          ? "was there already"
          : `${(pixels / 1e6).toPrecision(3)} megapixels in ${formatMs(ms)}`;
      terminal.out(`${inputOf(claim)} → ${outputOf(claim)}  ${how}`);
      if (notes) terminal.note(`rcod: ${inputOf(claim)}: ${notes.join("; ")}`);
    },
    failed(claim, message, outcome) {
      const next = outcome === "retried" ? "it is tried again" : "it is given up";
      terminal.note(`rcod: ${inputOf(claim)}: ${message} (attempt ${claim.attempt}, ${next})`);
    },
    note(message) {
      if (quiet !== true) terminal.note(`rcod: ${message}`);
    },
  };
}
