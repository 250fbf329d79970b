/** Compiled shaders of a device, one for each text. */
import { catchErrors } from "./error-scopes.ts";
import { DeviceError, messageOf } from "./errors.ts";
import { DeviceLoss } from "./loss.ts";

/** How a shader sees one binding. */
export type BindingAccess = "read" | "read_write" | "uniform";

/** A compiled kernel with its explicit layout. */
export interface CompiledPipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** Compilers that run at once for nobody yet: implementations start a thread for each, and the first wanted should end first. */
const PREPARED_AT_ONCE = 4;

/**
 * Compute pipelines by their source text: identical WGSL is compiled once per device, and two shaders never share a key.
 * Layouts are explicit, so that an operand has its binding even where a variant does not touch it.
 */
export class PipelineCache {
  readonly #device: GPUDevice;
  readonly #loss: DeviceLoss;
  readonly #pipelines = new Map<string, Promise<CompiledPipeline>>();
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  /** What `prepare` was given and nobody has begun, in order. */
  readonly #waiting = new Map<string, () => Promise<CompiledPipeline>>();
  #prepared = 0;
  #compileMs = 0;
  /** Those that wait, since when, and how long others have before. */
  #waiters = 0;
  #waitingSince = 0;
  #waitedMs = 0;

  constructor(device: GPUDevice, loss = new DeviceLoss(device)) {
    this.#device = device;
    this.#loss = loss;
  }

  /** Distinct pipelines compiled so far. */
  get size(): number {
    return this.#pipelines.size;
  }

  /** Wall time spent in pipeline creation, summed over pipelines (they may overlap). */
  get compileMs(): number {
    return this.#compileMs;
  }

  /** Wall time in which anybody has waited for a pipeline. */
  get waitedMs(): number {
    return this.#waitedMs + (this.#waiters > 0 ? performance.now() - this.#waitingSince : 0);
  }

  /**
   * The pipeline for `code`, entry point `main`. Rejects with a `DeviceError` that names the kernel. What has failed is
   * tried again by the next call: memory may be free again.
   */
  get(label: string, code: string, bindings: readonly BindingAccess[]): Promise<CompiledPipeline> {
    if (this.#waiters++ === 0) this.#waitingSince = performance.now();
    return this.#get(label, code, bindings).finally(() => {
      if (--this.#waiters === 0) this.#waitedMs += performance.now() - this.#waitingSince;
    });
  }

  #get(label: string, code: string, bindings: readonly BindingAccess[]): Promise<CompiledPipeline> {
    let entry = this.#pipelines.get(code);
    if (entry === undefined) {
      this.#waiting.delete(code);
      entry = this.#loss.orEnd(this.#compile(label, code, bindings));
      this.#pipelines.set(code, entry);
      entry.catch(() => {
        this.#pipelines.delete(code);
        this.#layouts.delete(bindings.join(","));
      });
    }
    return entry;
  }

  /**
   * Compiles when its turn comes, a few at once, in the order of the calls. `get` of what still waits does not wait for the
   * others, and tells what fails.
   */
  prepare(label: string, code: string, bindings: readonly BindingAccess[]): void {
    if (this.#pipelines.has(code) || this.#waiting.has(code)) return;
    this.#waiting.set(code, () => this.#get(label, code, bindings));
    this.#beginNext();
  }

  /** Forgets what waits in vain. */
  dropPrepared(): void {
    this.#waiting.clear();
  }

  #beginNext(): void {
    const [next] = this.#waiting;
    if (next === undefined || this.#prepared >= PREPARED_AT_ONCE) return;
    const [code, compile] = next;
    this.#waiting.delete(code);
    this.#prepared++;
    const end = (): void => {
      this.#prepared--;
      this.#beginNext();
    };
    void compile().then(end, end);
  }

  async #compile(
    label: string,
    code: string,
    bindings: readonly BindingAccess[],
  ): Promise<CompiledPipeline> {
    const start = performance.now();
    let reason: string;
    try {
      const { value, error } = catchErrors(this.#device, () => this.#begin(label, code, bindings));
      const made = await value.creation;
      const invalid = await error;
      if ("pipeline" in made && invalid === null)
        return { pipeline: made.pipeline, layout: value.layout };
      reason = invalid?.message ?? ("failure" in made ? messageOf(made.failure) : "unknown");
    } catch (error) {
      reason = messageOf(error);
    } finally {
      this.#compileMs += performance.now() - start;
    }
    const failure = `device: kernel "${label}" does not compile here: ${reason}`;
    throw await this.#loss.behind(new DeviceError(failure));
  }

  #begin(label: string, code: string, bindings: readonly BindingAccess[]) {
    const device = this.#device;
    const layout = this.#layout(bindings);
    const module = device.createShaderModule({ label, code });
    const creation = device
      .createComputePipelineAsync({
        label,
        layout: device.createPipelineLayout({ label, bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: "main" },
      })
      .then(
        (pipeline) => ({ pipeline }),
        (failure: unknown) => ({ failure }),
      );
    return { layout, creation };
  }

  #layout(bindings: readonly BindingAccess[]): GPUBindGroupLayout {
    const key = bindings.join(",");
    let layout = this.#layouts.get(key);
    if (layout === undefined) {
      layout = this.#device.createBindGroupLayout({
        label: key,
        entries: bindings.map((access, binding) => ({
          binding,
          visibility: 4, // GPUShaderStage.COMPUTE
          buffer: {
            type:
              access === "uniform"
                ? "uniform"
                : access === "read"
                  ? "read-only-storage"
                  : "storage",
          },
        })),
      });
      this.#layouts.set(key, layout);
    }
    return layout;
  }
}
