/**
 * RCOD, end to end (paper Fig. 2): enlarge → VAE encode and visual prompt tokens → one UNet call at one
 * timestep → one-step formula → VAE decode → colour fix. Encoding, tokens and predicted metric of the last
 * image are kept, with RCOD_S also the weights that were merged for it, so that another realism setting reruns
 * only UNet and decoder.
 */
import { anySignal } from "../abort.ts";
import type { Gpu } from "../gpu/device.ts";
import { withOwnErrors } from "../gpu/device.ts";
import type { DType } from "../gpu/dtype.ts";
import { DeviceError } from "../gpu/errors.ts";
import { submittedWorkDone } from "../gpu/transfer.ts";
import { CallQueue } from "./call-queue.ts";
import type { Experience } from "./estimate-call.ts";
import { WorkOfCalls } from "./estimate/call-work.ts";
import type { ForeseenCall } from "./estimate/foresee.ts";
import { foresee } from "./estimate/foresee.ts";
import { Rates } from "./estimate/rates.ts";
import { readRectangle, readerOf } from "./images/image-reader.ts";
import { checkMask, copyOfMask } from "./images/realism-mask.ts";
import type { Size } from "./images/result-size.ts";
import type { ImageSource, SourceImage } from "./images/source-image.ts";
import {
  checkSource,
  isReader,
  releaseSource,
  resultDepth,
  takeSource,
} from "./images/source-image.ts";
import type { Output } from "./images/textures.ts";
import { checkOutput } from "./images/textures.ts";
import type { CallPlan } from "./inspect/call-plan.ts";
import { Inspector } from "./inspect/inspector.ts";
import type { StageModules } from "./inspect/stage-modules.ts";
import { stageModules } from "./inspect/stage-modules.ts";
import type { ModelWeights } from "./loading/load.ts";
import { disposeWeights } from "./loading/load.ts";
import type { SizedCall } from "./regions/call-size.ts";
import { halvingNote, plannedCall, sizedCall, sizedFor } from "./regions/call-size.ts";
import type { Regions } from "./regions/region-call.ts";
import {
  checkRegionOptions,
  regionState,
  resumable,
  upscaleInRegions,
} from "./regions/region-call.ts";
import { deliverWhole } from "./regions/region-sink.ts";
import { encodedSamples } from "./regions/whole-facts.ts";
import type { ModelConfigs } from "./settings/model-configs.ts";
import type {
  RegionsResult,
  ResultOf,
  Stage,
  TextureResult,
  UpscaleOptions,
  UpscaleReport,
  UpscaleResult,
} from "./settings/options.ts";
import type { AnyUpscaleOptions } from "./settings/upscale-rules.ts";
import { checkUpscaleOptions, isSeveral } from "./settings/upscale-rules.ts";
import { regionSizes } from "./stages/call-networks.ts";
import { StageClock } from "./stages/clock.ts";
import type { Encoded, StageContext } from "./stages/context.ts";
import { encodeImage, predictMetric } from "./stages/encode.ts";
import { EncodedCache } from "./stages/encoded-cache.ts";
import type { Station } from "./stages/fault-counters.ts";
import { CALL_STATIONS, STATIONS } from "./stages/fault-counters.ts";
import type { Pixels } from "./stages/finish.ts";
import { destroyPixels } from "./stages/finish.ts";
import type { CallSource } from "./stages/input-fit.ts";
import { InputFit } from "./stages/input-fit.ts";
import { checkWhole, collectEncoded } from "./stages/inspect-call.ts";
import { makePixels } from "./stages/pixels.ts";
import { PlannedNetworks } from "./stages/planned-networks.ts";
import { predictLatents } from "./stages/predict.ts";
import { StagePrograms } from "./stages/programs.ts";
import { readLost, repair } from "./stages/repair.ts";
import type { TimestepSettings } from "./stages/timestep-choice.ts";
import { chooseTimesteps, timestepSettings, timestepShares } from "./stages/timestep-choice.ts";

/** A result, as a call resolves to it. */
type AnyResult = UpscaleResult | TextureResult | RegionsResult;

/** A call whose image and options are checked. */
interface AcceptedCall extends SizedCall {
  /** Stands for the image in the cache of encodings. */
  readonly identity: object;
  readonly options: UpscaleOptions;
  readonly output: Output;
  readonly settings: TimestepSettings;
  readonly context: StageContext;
}

/** A call that runs, with sizes as its picture wants them. */
interface RunningCall extends AcceptedCall {
  /** Absent for a picture that is computed as a whole. */
  readonly regions?: Regions;
}

/** The stages whose results are kept. */
const ENCODING = ["preprocess", "tokens", "encode"] as const;

export class Pipeline {
  readonly configs: ModelConfigs;
  readonly dtype: DType;
  readonly #context: StageContext;
  readonly #planned: PlannedNetworks;
  readonly #cache: EncodedCache;
  readonly #fit: InputFit;
  readonly #queue = new CallQueue();
  /** What calls are, and what earlier ones took. */
  readonly experience: Experience;
  #modules: StageModules | undefined;
  /** Aborted by `dispose`, which ends the call under way. */
  readonly #disposal = new AbortController();

  constructor(
    gpu: Gpu,
    configs: ModelConfigs,
    weights: ModelWeights,
    dtype: DType,
    planned = new PlannedNetworks(gpu, configs, (part) => weights[part]?.dtype ?? dtype),
    rates = new Rates(),
  ) {
    this.configs = configs;
    this.dtype = dtype;
    this.#planned = planned;
    const programs = new StagePrograms(gpu, weights, planned);
    this.#context = { gpu, configs, weights, programs, dtype };
    const work = new WorkOfCalls(configs, gpu.caps, dtype);
    this.experience = { context: this.#context, work, rates };
    this.#cache = new EncodedCache(gpu);
    this.#fit = new InputFit(gpu, configs.rcod);
  }

  /** What calls can capture, by stage. */
  get modules(): StageModules {
    this.#modules ??= stageModules(this.configs);
    return this.#modules;
  }

  /** What a call with an image of this size takes; nothing runs. */
  plan(picture: Size, options: UpscaleOptions): CallPlan {
    return plannedCall(this.#context, picture, options);
  }

  /**
   * Enlarges one image. Calls on one pipeline run one after another; each takes its pixels and options when it is made.
   * `identity` stands for the image in the cache of encodings.
   */
  async upscale<O extends AnyUpscaleOptions = UpscaleOptions>(
    image: ImageSource,
    options: O = {} as O,
    identity: object = image,
  ): Promise<ResultOf<O>> {
    checkUpscaleOptions(options);
    options.signal?.throwIfAborted();
    const disposal = this.#disposal.signal;
    const signal = anySignal(options.signal, disposal);
    disposal.throwIfAborted();
    const call = this.#accepted(image, { ...(options as object), signal }, identity);
    const { gpu } = this.#context;
    const taken = takeSource(withOwnErrors(gpu), image); // a call under way has other errors
    taken.catch(() => undefined); // told when the call's turn comes, if it does
    return this.#queue.run(async () => {
      let running: RunningCall = call;
      let fitted: CallSource | undefined;
      try {
        const source = await taken;
        signal?.throwIfAborted();
        gpu.memory.resetPeak();
        fitted = await this.#fit.fit(source, call);
        running = this.#running(call, fitted);
        const { size } = running;
        const noted = (await this.#upscale(running, fitted)).map((result) => ({
          ...result,
          ...halvingNote(call.size, size, result.notes),
        }));
        return (isSeveral(options) ? noted : noted[0]) as ResultOf<O>;
      } catch (error) {
        if (error instanceof DeviceError) await this.#startAfresh();
        gpu.scopes.forget(); // what comes late is not the next call's
        throw resumable(error, call.output, running.regions?.state);
      } finally {
        this.experience.rates.settle();
        const source = await taken.catch(() => undefined);
        for (const own of new Set([source, fitted])) if (own) releaseSource(gpu, own);
      }
    }, signal);
  }

  /**
   * Frees everything on the device, weights included, and calls `onFreed`; a call under way ends first, with a
   * `DeviceError`. Idempotent.
   */
  dispose(onFreed?: () => void): void {
    if (this.#disposal.signal.aborted) return;
    this.#disposal.abort(new DeviceError("device: this model was disposed. Load it again"));
    const free = (): void => {
      this.#dropBuffers();
      disposeWeights(this.#context.weights);
      onFreed?.();
    };
    if (this.#queue.isIdle) free();
    else void this.#queue.settled().then(free);
  }

  /** What a call does, as it is when the call is made. Throws what is wrong with image and options. */
  #accepted(
    image: ImageSource,
    { output: asked, ...given }: UpscaleOptions,
    identity: object,
  ): AcceptedCall {
    const output: Output = asked ?? "image";
    checkSource(image);
    const { realismMask, inspect } = given;
    if (realismMask) checkMask(realismMask);
    const options: UpscaleOptions = {
      ...given,
      ...(realismMask && { realismMask: copyOfMask(realismMask) }),
      depth: resultDepth(image, given, output),
    };
    const { configs } = this.#context;
    const settings = timestepSettings(configs, options);
    const sized = sizedCall(this.#context, image, options);
    const { gpu } = this.#context;
    const inspector = inspect && new Inspector(inspect, this.modules, gpu.caps);
    const context = inspector ? { ...this.#context, inspector } : this.#context;
    if (sized.plan) checkRegionOptions(options);
    if (inspector) checkWhole(context, inspector, sized.geometry, options);
    checkOutput(gpu, output, options, sized.geometry);
    return { ...sized, identity, options, output, settings, context };
  }

  /** The same for the picture that its networks get. */
  #running(call: AcceptedCall, picture: Size): RunningCall {
    const { options, output, result } = call;
    const isSame = picture.width === call.size.width && picture.height === call.size.height;
    const sized = isSame ? call : sizedFor(this.#context, picture, result, options);
    const { plan, size } = sized;
    const regions = plan && {
      plan,
      state: regionState(plan, size, output, call.settings, options),
    };
    return { ...call, ...sized, ...(regions && { regions }) };
  }

  /** Buffers made when memory ran out stay invalid: frees them, and waits until the device has done with them. */
  async #startAfresh(): Promise<void> {
    this.#dropBuffers();
    await submittedWorkDone(this.#context.gpu).catch(() => undefined);
  }

  async #upscale(call: RunningCall, source: CallSource): Promise<AnyResult[]> {
    const { options, context, size } = call;
    const { scale: _, size: __, ...others } = options;
    // What is captured needs plans of its own.
    const { mask, plan, settings } = call;
    const ends = options.realismMask && (plan || typeof mask !== "number") ? 2 : 1;
    const timesteps = ends * settings.bases.length;
    if (!context.inspector) void this.#planned.prepare({ ...others, ...size }, timesteps);
    if (call.regions) return this.#upscaleRegions(call, call.regions, source);
    return this.#upscaleWhole(
      call,
      isReader(source)
        ? await readRectangle(source, { x: 0, y: 0, ...size }, options.signal)
        : source,
    );
  }

  async #upscaleRegions(
    call: AcceptedCall,
    regions: Regions,
    source: CallSource,
  ): Promise<AnyResult[]> {
    const { gpu, configs } = call.context;
    const { plan, state } = regions;
    this.#cache.drop(); // its memory is the regions'
    const reader = isReader(source) ? source : readerOf(gpu, source);
    const own = regionSizes(configs, plan);
    const done = state.done.size;
    const samples = state.facts ? 0 : encodedSamples(configs, plan, call.settings);
    const clock = this.#clock({ ...call, geometry: own, inRegions: { plan, done, samples } });
    const results = await upscaleInRegions(call.context, call, regions, reader, clock);
    const ofAll = { reused: [], ...this.#peaks() };
    return results.map((result) => ({ ...result, ...ofAll }));
  }

  /** Of the call so far. */
  #peaks(): Pick<UpscaleReport, "peakBytes" | "peakActivationBytes"> {
    const { peakBytes, byPurpose } = this.#context.gpu.memory.use();
    return { peakBytes, peakActivationBytes: byPurpose["activations"]?.peak ?? 0 };
  }

  async #upscaleWhole(call: AcceptedCall, image: SourceImage): Promise<AnyResult[]> {
    const { options, output, settings, mask, context } = call;
    const { inspector } = context;
    const { scopes } = context.gpu;

    const clock = this.#clock(call);
    const { programs } = context;
    const enter = clock.enterOptions(options.signal);
    try {
      await readLost(context, enter);
      for (;;) {
        const { encoded, reused } = await this.#encode(call, image, clock);
        const chosen = await chooseTimesteps(context.configs, settings, () =>
          predictMetric(context, encoded, options),
        );
        const shared = chosen.map((one) => timestepShares(one, mask));
        const predicted = await predictLatents(context, encoded, shared, options, clock);
        const finishing = [encoded, image, options, output, clock] as const;
        const [made, counts] = await makePixels(context, predicted, ...finishing);
        let isTaken = false;
        try {
          const numbers = await repair(context, await counts, enter);
          if (typeof numbers === "string") {
            this.#dropFaulty(numbers);
            continue;
          }
          await scopes.settled();
          const peaks = this.#peaks();
          const timingsMs = clock.finish();
          options.signal?.throwIfAborted();
          const report = {
            timingsMs,
            regions: 1,
            reused,
            ...(inspector && { inspection: inspector.result() }),
            ...peaks,
            ...numbers,
          };
          const delivered = await deliverWhole(made, output, options);
          isTaken = true;
          return chosen.map((one, i) => ({ ...(delivered[i] as Pixels), ...one, ...report }));
        } finally {
          // They are made again, or nobody takes them: the caller's onProgress has thrown, the device has failed, or the call was aborted.
          if (!isTaken) for (const pixels of made) destroyPixels(pixels);
        }
      }
    } finally {
      programs.search = undefined;
    }
  }

  /** Forgets the encoding of the last image where it has to be made again from `station` on. */
  #dropFaulty(station: Station): void {
    const isOfCall = CALL_STATIONS.some((name) => name === station);
    // RCOD_S merges for an image when it is encoded.
    if (!isOfCall || this.configs.degradation) this.#cache.drop();
  }

  #clock(call: ForeseenCall): StageClock {
    const { work, rates } = this.experience;
    const { options, context } = call;
    return new StageClock(foresee(work, rates, call), options.onProgress, context.inspector);
  }

  async #encode(
    { identity, options, geometry, context }: AcceptedCall,
    image: SourceImage,
    clock: StageClock,
  ): Promise<{ readonly encoded: Encoded; readonly reused: readonly Stage[] }> {
    const { inspector } = context;
    const mayReuse = options.reuse !== false && !inspector?.looksInto(["tokens", "encode"]);
    let encoded = mayReuse ? this.#cache.find(identity, geometry, options) : undefined;
    const reused = encoded ? ENCODING : [];
    clock.skip(reused);
    context.programs.faults.clear(encoded ? CALL_STATIONS : STATIONS);
    if (encoded === undefined) {
      this.#cache.drop();
      encoded = await encodeImage(context, image, geometry, options, clock);
      this.#cache.keep(identity, geometry, options, encoded);
    }
    if (inspector) await collectEncoded(context, inspector, encoded);
    return { encoded, reused };
  }

  /** Forgets the encoded image and all programs, and frees their memory. Weights stay. */
  #dropBuffers(): void {
    this.#cache.drop();
    this.#context.programs.clear();
  }
}
