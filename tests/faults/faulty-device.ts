/**
 * A GPUDevice that fails on demand: the n-th call of one of its methods throws, rejects, leaves an error on the device, or is the
 * moment at which the device is lost. All else happens on a real device. It counts calls, and what has been made and not yet
 * destroyed.
 */

/** Methods that can fail: of the device, its queue, encoders and buffers. */
export const CALLS = [
  "createBuffer",
  "createTexture",
  "createQuerySet",
  "createBindGroupLayout",
  "createPipelineLayout",
  "createShaderModule",
  "createComputePipelineAsync",
  "createBindGroup",
  "createCommandEncoder",
  "beginComputePass",
  "finish",
  "submit",
  "writeBuffer",
  "onSubmittedWorkDone",
  "mapAsync",
  "getMappedRange",
  "pushErrorScope",
  "popErrorScope",
] as const;
export type Call = (typeof CALLS)[number];

/**
 * How a call fails.
 *
 * - "throw": at once, with a `RangeError` or a `DOMException`.
 * - "reject": its promise does.
 * - "validation", "out-of-memory", "internal": the device finds an error; the call has no effect, or gives an invalid object.
 * - "lost": the device is lost; what waits for it ends as the standard says.
 * - "silent": the device is lost; what waits for it never ends, as in some implementations.
 * - "late": the device is lost; it is told some milliseconds later.
 */
export type Failure =
  | "throw"
  | "reject"
  | "validation"
  | "out-of-memory"
  | "internal"
  | "lost"
  | "silent"
  | "late";

/** Which of them it is changes from call to call. */
const LOSSES = ["lost", "silent", "late"] as const;
const ERRORS: readonly Failure[] = ["validation", "out-of-memory", "internal"];
/** How long a loss that comes late takes. */
const LATE_MS = 20;

/** The ways in which the call number `index` of a method can fail. */
export function failuresOf(call: Call, index: number): readonly Failure[] {
  const loss = LOSSES[index % LOSSES.length] as Failure;
  switch (call) {
    case "createComputePipelineAsync":
    case "onSubmittedWorkDone":
    case "popErrorScope":
      return ["reject", loss];
    case "mapAsync":
      return ["reject", "validation", loss];
    case "getMappedRange":
    case "pushErrorScope":
    case "beginComputePass":
      return ["throw", loss];
    default:
      return ["throw", ...ERRORS, loss];
  }
}

/** Compiled on a real device, for all faulty devices on it: compiling takes longer than everything else together. */
export class CompiledShaders {
  readonly modules = new Map<string, GPUShaderModule>();
  readonly pipelines = new Map<string, Promise<GPUComputePipeline>>();
  readonly codes = new WeakMap<GPUShaderModule, string>();
  readonly bindings = new WeakMap<GPUPipelineLayout, string>();
}

type Method = (...given: unknown[]) => unknown;

export class FaultyDevice {
  /** What the engine gets. */
  readonly device: GPUDevice;
  readonly counts = new Map<Call, number>();
  /** Buffers, textures and query sets that nobody has destroyed. */
  readonly live = new Set<object>();
  /** Errors that no scope has caught: the engine lets none of its own go to others. */
  readonly uncaught: string[] = [];
  /** Whether the armed fault has happened. */
  hasFailed = false;
  readonly #real: GPUDevice;
  readonly #shaders: CompiledShaders;
  readonly #lost: Promise<GPUDeviceLostInfo>;
  #tellLoss: (info: GPUDeviceLostInfo) => void = () => undefined;
  readonly #scopes: { readonly filter: GPUErrorFilter; error?: GPUError }[] = [];
  readonly #invalid = new WeakSet();
  #armed: { readonly call: Call; readonly failure: Failure; left: number } | undefined;
  #loss: Failure | undefined;

  constructor(real: GPUDevice, shaders: CompiledShaders) {
    this.#real = real;
    this.#shaders = shaders;
    this.#lost = new Promise((resolve) => (this.#tellLoss = resolve));
    this.device = this.#wrapped(real, {
      lost: this.#lost,
      queue: this.#wrapped(real.queue, {}),
      createBuffer: (descriptor) => this.#created(real.createBuffer(descriptor)),
      createTexture: (descriptor) => this.#created(real.createTexture(descriptor)),
      createQuerySet: (descriptor) => this.#created(real.createQuerySet(descriptor)),
      createCommandEncoder: (descriptor) => this.#encoder(real.createCommandEncoder(descriptor)),
      createShaderModule: (descriptor) => this.#module(descriptor),
      createPipelineLayout: (descriptor) => {
        const layout = real.createPipelineLayout(descriptor);
        const [bindings] = [...descriptor.bindGroupLayouts] as [GPUBindGroupLayout];
        shaders.bindings.set(layout, bindings.label);
        if (this.#invalid.has(bindings)) this.#invalid.add(layout);
        return layout;
      },
      createComputePipelineAsync: (descriptor) => this.#pipeline(descriptor),
      pushErrorScope: (filter) => {
        real.pushErrorScope(filter);
        this.#scopes.push({ filter });
      },
      popErrorScope: async () => {
        const ours = this.#scopes.pop()?.error;
        const found = await real.popErrorScope();
        return this.#loss ? null : (found ?? ours ?? null);
      },
    });
  }

  get isLost(): boolean {
    return this.#loss !== undefined;
  }

  /** The call number `index` of `call` from now on fails. */
  arm(call: Call, failure: Failure, index: number): void {
    this.hasFailed = false;
    this.#armed = { call, failure, left: index };
  }

  disarm(): void {
    this.#armed = undefined;
  }

  /** `target`, whose methods may fail before `own` or its own ones run. */
  #wrapped<T extends object>(target: T, own: Partial<T>): T {
    return new Proxy(target, {
      get: (_, name) => {
        const value = (name in own ? own[name as keyof T] : Reflect.get(target, name)) as unknown;
        if (typeof value !== "function") return value;
        const method = (...given: unknown[]): unknown =>
          Reflect.apply(value, name in own ? undefined : target, given);
        return CALLS.includes(name as Call) ? this.#failing(name as Call, method) : method;
      },
    });
  }

  /** The method of one object instead of that of its class. */
  #override(target: object, name: Call): void {
    const method = (Reflect.get(target, name) as Method).bind(target);
    Object.defineProperty(target, name, { value: this.#failing(name, method), configurable: true });
  }

  #failing(call: Call, method: Method): Method {
    return (...given) => {
      this.counts.set(call, (this.counts.get(call) ?? 0) + 1);
      const armed = this.#armed;
      if (armed?.call === call && armed.left-- === 0) {
        this.#armed = undefined;
        this.hasFailed = true;
        return this.#fail(call, armed.failure, method, given);
      }
      return this.#loss === undefined ? method(...given) : this.#afterLoss(call, method, given);
    };
  }

  #fail(call: Call, failure: Failure, method: Method, given: unknown[]): unknown {
    const message = `injected into ${call}`;
    switch (failure) {
      case "throw":
        throw call === "createBuffer"
          ? new RangeError(message)
          : new DOMException(message, "OperationError");
      case "reject":
        if (call === "popErrorScope") void method(...given);
        return Promise.reject(new DOMException(message, "OperationError"));
      case "lost":
      case "silent":
      case "late":
        this.#lose(failure);
        return this.#afterLoss(call, method, given);
      default:
        this.#report(failure, message);
        return this.#withoutEffect(call, method, given);
    }
  }

  /** An invalid object, or nothing done. */
  #withoutEffect(call: Call, method: Method, given: unknown[]): unknown {
    switch (call) {
      case "submit":
      case "writeBuffer":
        return undefined;
      case "mapAsync":
        return Promise.reject(new DOMException("the buffer is invalid", "OperationError"));
      case "createBuffer":
        return this.#unheard(() => method({ ...(given[0] as object), usage: 0xffff }));
      case "createBindGroup":
        return this.#unheard(() => method({ ...(given[0] as object), entries: [] }));
      case "createTexture":
        return this.#unheard(() => method({ ...(given[0] as object), size: [2 ** 24, 1] }));
      default: {
        const isCached = call === "createShaderModule";
        const made = isCached
          ? this.#real.createShaderModule(given[0] as GPUShaderModuleDescriptor)
          : method(...given);
        this.#invalid.add(made as object);
        return made;
      }
    }
  }

  /** Runs without the device's errors going anywhere. */
  #unheard<T>(work: () => T): T {
    this.#real.pushErrorScope("validation");
    const value = work();
    void this.#real.popErrorScope();
    return value;
  }

  #report(filter: Failure, message: string): void {
    const scope = this.#scopes.findLast((candidate) => candidate.filter === filter);
    const made = {
      "out-of-memory": () => new GPUOutOfMemoryError(message),
      internal: () => new GPUInternalError(message),
      validation: () => new GPUValidationError(message),
    }[filter as GPUErrorFilter]();
    if (scope === undefined) this.uncaught.push(message);
    else scope.error ??= made;
  }

  #lose(loss: Failure): void {
    this.#loss = loss;
    const tell = (): void =>
      this.#tellLoss({ reason: "unknown", message: "injected" } as GPUDeviceLostInfo);
    if (loss === "late") setTimeout(tell, LATE_MS);
    else tell();
  }

  /** What a call gives on a lost device: objects as before, and promises that end at once or never. */
  #afterLoss(call: Call, method: Method, given: unknown[]): unknown {
    switch (call) {
      case "submit":
      case "writeBuffer":
        return undefined;
      case "mapAsync":
        if (this.#loss === "silent") return new Promise(() => undefined);
        return Promise.reject(new DOMException("the device is lost", "AbortError"));
      case "onSubmittedWorkDone":
      case "createComputePipelineAsync":
      case "popErrorScope": {
        const ended = method(...given);
        return this.#loss === "silent" ? new Promise(() => undefined) : ended;
      }
      default:
        return method(...given);
    }
  }

  #created<T extends GPUBuffer | GPUTexture | GPUQuerySet>(made: T): T {
    this.live.add(made);
    const destroy = (): void => {
      this.live.delete(made);
      (Object.getPrototypeOf(made) as T).destroy.call(made);
    };
    Object.defineProperty(made, "destroy", { value: destroy });
    if ("mapAsync" in made) {
      this.#override(made, "mapAsync");
      this.#override(made, "getMappedRange");
    }
    return made;
  }

  #encoder(made: GPUCommandEncoder): GPUCommandEncoder {
    this.#override(made, "beginComputePass");
    this.#override(made, "finish");
    return made;
  }

  #module(descriptor: GPUShaderModuleDescriptor): GPUShaderModule {
    const { modules, codes } = this.#shaders;
    const { code } = descriptor;
    const made = modules.get(code) ?? this.#real.createShaderModule(descriptor);
    modules.set(code, made);
    codes.set(made, code);
    return made;
  }

  async #pipeline(descriptor: GPUComputePipelineDescriptor): Promise<GPUComputePipeline> {
    const { layout } = descriptor;
    const { module } = descriptor.compute;
    if ([module, layout].some((part) => this.#invalid.has(part as object)))
      throw new DOMException("a part of the pipeline is invalid", "OperationError");
    const { pipelines, codes, bindings } = this.#shaders;
    const key = `${bindings.get(layout as GPUPipelineLayout)}\n${codes.get(module)}`;
    const made = pipelines.get(key) ?? this.#real.createComputePipelineAsync(descriptor);
    pipelines.set(key, made);
    return made;
  }
}
