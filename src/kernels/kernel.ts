/**
 * What a kernel is: pure functions from a problem (plain data) and the device's `Caps` to dispatch
 * records. Nothing here touches a GPUDevice; `src/graph` runs the records.
 *
 * Memory layout of every activation: channels innermost ("NHWC"; tokens are [.., T, C]), the channel
 * axis padded with zeros to a multiple of four ("quads"). Kernels must write zeros into the padding and
 * may rely on finding zeros there.
 */
import type { Caps } from "../gpu/caps.ts";
import type { DType } from "../gpu/dtype.ts";
import { ShapeError } from "../gpu/shape.ts";
import type { Operand, Param, ShaderHeader } from "../gpu/wgsl.ts";
import { FAULTS, packParams, reportingFaults, shaderHeader } from "../gpu/wgsl.ts";

/** One compute dispatch. `operands[i]` is bound at `@binding(i)`; params come last. */
export interface Dispatch {
  /** For messages and profiles, e.g. `conv2d/register 3x3`. */
  readonly label: string;
  /** Complete WGSL with entry point `main`; equal text is one pipeline. */
  readonly code: string;
  /** Names of the problem's operands (or of scratch buffers), in binding order. */
  readonly operands: readonly { readonly name: string; readonly access: "read" | "read_write" }[];
  /** The uniform's bytes, padded to 16. */
  readonly params: Uint8Array<ArrayBuffer>;
  /** Grid, in workgroups. */
  readonly workgroups: readonly [number, number, number];
}

/** All that is needed to run one problem: its dispatches and their temporary buffers. */
export interface KernelPlan {
  /** The variant that was chosen. */
  readonly variant: string;
  /** In order; each reads what earlier ones wrote. */
  readonly dispatches: readonly Dispatch[];
  /** Buffers that live only during this plan. */
  readonly scratch: readonly { readonly name: string; readonly byteLength: number }[];
}

/** Work of a problem, independent of the variant. Each operand counted once. */
export interface Cost {
  /** Floating-point operations; a multiply-add counts two. */
  readonly flops: number;
  /** Bytes of the operands that are read. */
  readonly bytesRead: number;
  /** Bytes of the operands that are written. */
  readonly bytesWritten: number;
}

/** A byte moved takes about as long as this many floating-point operations. */
export const FLOPS_PER_BYTE = 8;

/** What a step takes in one figure, in floating-point operations. */
export const workOf = ({ flops, bytesRead, bytesWritten }: Cost): number =>
  flops + FLOPS_PER_BYTE * (bytesRead + bytesWritten);

/**
 * A kernel. `P` is the problem: readonly plain data that decides the result completely (dtype, shapes,
 * eps, activation …), no optional field with a hidden default. `V` names the variants.
 */
export interface Kernel<P, V extends string = string> {
  /** As messages and profiles show it. */
  readonly name: string;
  /** In no order of preference. */
  readonly variants: readonly V[];
  /** Throws `ShapeError` in the form `<op>: <rule>, got <values>`. */
  check(problem: P): void;
  /** The variant for this device. Always one that fits the device's limits. */
  select(problem: P, caps: Caps): V;
  /** Dispatch records for `variant` (default: `select`). Calls `check`. */
  plan(problem: P, caps: Caps, variant?: V): KernelPlan;
  /** The work of a problem. Checks nothing. */
  cost(problem: P): Cost;
  /**
   * Why `variant` cannot run this problem on this device, or null. `plan` throws `ShapeError` with the reason. Absent:
   * every variant runs every problem.
   */
  refusal?(problem: P, caps: Caps, variant: V): string | null;
  /**
   * The name of a problem's class. One variant is best for all problems of a class, so one measurement counts for all
   * of them. Absent: `select` needs no measurements.
   */
  classOf?(problem: P): string;
  /**
   * The problem on which variants are compared: the given one without what only some variants do. Lowering puts that
   * back, or adds a step for it, once the variant is known. Absent: the problem itself.
   */
  tuningProblem?(problem: P): P;
}

/** What a kernel has to say of itself: `defineKernel` adds `plan` and, where there is one variant, `select`. */
export interface KernelDefinition<P, V extends string> extends Omit<
  Kernel<P, V>,
  "variants" | "select" | "plan"
> {
  readonly variants: readonly [V, ...V[]];
  /** Absent: the only variant. */
  select?(problem: P, caps: Caps): V;
  /** In order. Called with problems that passed `check` and with variants that passed `refusal`. */
  dispatches(problem: P, caps: Caps, variant: V): readonly Dispatch[];
  /** Buffers that live only during a plan. Absent: none. */
  scratch?(problem: P, caps: Caps, variant: V): KernelPlan["scratch"];
}

/** The kernel of a definition. Its `plan` throws `ShapeError` for what `check` or `refusal` do not let pass. */
export function defineKernel<P, V extends string>(
  definition: KernelDefinition<P, V>,
): Kernel<P, V> {
  const select = (problem: P, caps: Caps): V =>
    definition.select?.(problem, caps) ?? definition.variants[0];
  return {
    ...definition,
    select,
    plan(problem, caps, variant = select(problem, caps)) {
      definition.check(problem);
      const reason = definition.refusal?.(problem, caps, variant) ?? null;
      if (reason !== null) throw new ShapeError(`${definition.name}: ${reason}`);
      return {
        variant,
        dispatches: definition.dispatches(problem, caps, variant),
        scratch: definition.scratch?.(problem, caps, variant) ?? [],
      };
    },
  };
}

/**
 * The nearest power of two. `Kernel.classOf` rounds numbers of rows and pixels so: exact numbers would make every image
 * size a class of its own.
 */
export const sizeClass = (count: number): number => 2 ** Math.round(Math.log2(count));

/** Why matrix units cannot run a shader that has so many bytes of workgroup memory; null where they can. */
export function matrixUnitsRefusal(
  dtype: DType,
  { matrixUnits, matrixRefusal, limits }: Caps,
  bytes: number,
): string | null {
  if (dtype !== "f16") return `matrix units take f16 storage, got ${dtype}`;
  if (matrixUnits === null) return `matrix units cannot be used: ${matrixRefusal}`;
  const most = limits.maxComputeWorkgroupStorageSize;
  if (bytes <= most) return null;
  return `matrix units need ${bytes} bytes of workgroup storage, got ${most}`;
}

/**
 * A dispatch of the shader that `header` and `body` make. The operands' names are those of the header; where
 * `caps.countsFaults`, one that packs values has `FAULTS` too, unless it has all the operands that the device binds.
 */
export function dispatch(
  label: string,
  { operands, ...given }: ShaderHeader,
  body: string,
  workgroups: readonly [number, number, number],
): Dispatch {
  const { countsFaults, limits } = given.caps;
  const hasRoom = operands.length < limits.maxStorageBuffersPerShaderStage;
  const counts = countsFaults === true && hasRoom && /\bpack\(/.test(body);
  const header = { ...given, operands: counts ? [...operands, FAULTS] : operands };
  return {
    label,
    code: shaderHeader(header) + (counts ? reportingFaults(body) : body),
    operands: header.operands.map(({ name, access, boundTo }) => ({
      name: boundTo ?? name,
      access,
    })),
    params: packParams(header.params),
    workgroups,
  };
}

/** An operand that the shader only reads. */
export const reads = (name: string, element = "Quad"): Operand => ({
  name,
  element,
  access: "read",
});
/** An operand that may be absent. Then `standIn` is bound in its place, and the shader must not touch it. */
export const optional = (name: string, isPresent: boolean, standIn: string): Operand =>
  isPresent ? reads(name) : { ...reads(name), boundTo: standIn };
/** An operand that the shader writes; it may read it too. */
export const writes = (name: string, element = "Quad"): Operand => ({
  name,
  element,
  access: "read_write",
});
/** A field of `params` of type u32. */
export const u32 = (name: string, value: number): Param => [name, "u32", value];
/** A field of `params` of type i32. */
export const i32 = (name: string, value: number): Param => [name, "i32", value];
/** A field of `params` of type f32. */
export const f32 = (name: string, value: number): Param => [name, "f32", value];
