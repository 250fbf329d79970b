/**
 * The header that every shader starts with. Below it a shader is plain WGSL.
 *
 * Tensors are read and written in *quads*, four consecutive channels: `vec4<f32>` for f32,
 * `vec4<f16>` for f16 where the device has shader-f16, else `vec2<u32>` holding packed halves. The
 * bytes of the last two are the same. `unpack(q)` and `pack(v)` translate to and from `vec4<f32>`;
 * arithmetic is always f32. No bitcast between f16 vectors and u32: naga rejects it.
 */
import type { Caps } from "./caps.ts";
import type { DType } from "./dtype.ts";

/** A uniform field. Order in the list is order in the struct. */
export type Param = readonly [name: string, type: "u32" | "i32" | "f32", value: number];

/** A storage operand. `element` is a WGSL type; `Quad` follows the dtype. */
export interface Operand {
  /** Its variable in the shader. */
  readonly name: string;
  /** WGSL type of an element. */
  readonly element: string;
  /** Whether the shader writes it. */
  readonly access: "read" | "read_write";
  /**
   * The operand whose buffer is bound here as well, for one that this problem lacks and the shader does not touch:
   * so one shader serves problems with and without it.
   */
  readonly boundTo?: string;
}

/**
 * The operand with which shaders count what `pack` cannot store as it is: [0] values that are no finite numbers, [1] values
 * beyond the largest half, which f16 clamps. There are at least so many: see `reportingFaults`. Bits are compared, because
 * compilers may assume that no number is NaN.
 */
export const FAULTS: Operand = {
  name: "faults",
  element: "atomic<u32>",
  access: "read_write",
};

/** Bytes of the counters in `FAULTS`. */
export const FAULT_BYTES = 8;

/** What the library declares in front of a shader: storage type, operands, uniform, constants. */
export interface ShaderHeader {
  /** What the device can do. */
  readonly caps: Caps;
  /** What `Quad`, `pack` and `unpack` mean. */
  readonly dtype: DType;
  /** Channels of a `Quad`: 4, or in f32 a single one for shaders that take channels one by one. Default: 4. */
  readonly channels?: 1 | 4;
  /** In binding order. */
  readonly operands: readonly Operand[];
  /** Fields of the uniform `params`. */
  readonly params: readonly Param[];
  /** Lines that have to come before all others: extensions and diagnostics. */
  readonly directives?: readonly string[];
  /** `const NAME: u32 = value;` lines. */
  readonly constants?: Readonly<Record<string, number>>;
}

/** WGSL text of the header: enables, constants, quad type, operands in binding order, params last. */
export function shaderHeader(header: ShaderHeader): string {
  const { caps, dtype, channels = 4, operands, params } = header;
  const lines: string[] = [];
  if (dtype === "f16" && caps.hasShaderF16) lines.push("enable f16;");
  lines.push(...(header.directives ?? []));
  if (header.constants) lines.push(constantsWgsl(header.constants));
  const counts = operands.includes(FAULTS);
  if (counts) lines.push(noteFaultsWgsl(dtype));
  lines.push(channels === 1 ? singleChannel(counts) : quadDefinition(dtype, caps, counts));
  operands.forEach(({ name, element, access }, binding) => {
    lines.push(
      `@group(0) @binding(${binding}) var<storage, ${access}> ${name}: array<${element}>;`,
    );
  });
  lines.push(
    `struct Params { ${params.map(([name, type]) => `${name}: ${type}`).join(", ")} }`,
    `@group(0) @binding(${operands.length}) var<uniform> params: Params;`,
    FLAT_GROUP,
  );
  return `${lines.join("\n")}\n`;
}

/** A `const NAME: u32 = value;` line for each constant. */
export function constantsWgsl(constants: Readonly<Record<string, number>>): string {
  const lines = Object.entries(constants).map(([name, value]) => `const ${name}: u32 = ${value}u;`);
  return lines.join("\n");
}

/** Workgroup counts beyond 65,535 are folded into y; `flat_group` undoes it. See `foldWorkgroups`. */
const FLAT_GROUP = /* wgsl */ `fn flat_group(id: vec3<u32>, counts: vec3<u32>) -> u32 {
  return id.x + id.y * counts.x;
}`;

/** Bits of the least f32 that is no finite number, and of the least that no half holds, rounded. */
const FIRST_NON_FINITE = "0x7f800000u";
const FIRST_BEYOND_HALF = "0x477ff000u";

/** What every store does for `FAULTS`: two instructions, since stores are many where loops are unrolled. */
const noteFaultsWgsl = (dtype: DType): string => /* wgsl */ `var<private> fault_bits: vec4<u32>;
fn note_faults(v: vec4<f32>) {
  fault_bits = max(fault_bits, bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu));
}
fn fault_count() -> u32 {
  let limit = vec4<u32>(${dtype === "f16" ? FIRST_BEYOND_HALF : FIRST_NON_FINITE});
  return dot(select(vec4<u32>(0u), vec4<u32>(1u), fault_bits >= limit), vec4<u32>(1u));
}`;

/**
 * A shader that hands to `FAULTS` what its invocations have noted. Its entry point becomes a function, so that it may return
 * early. Of all that an invocation stores, each of the four lanes counts once, and all as the worst of them. A loop, because
 * SwiftShader runs both sides of an `if`.
 */
export function reportingFaults(body: string): string {
  const entry = /(@compute[^{]*)fn main\(([^{]*)\) \{/.exec(body);
  if (entry === null) throw new Error("internal: a shader without an entry point");
  const [head, attributes = "", parameters = ""] = entry;
  const plain = parameters.replaceAll(/@builtin\(\w+\) /g, "");
  const names = [...plain.matchAll(/(\w+):/g)].map(([, name]) => name);
  return /* wgsl */ `${body.replace(head, `fn run_kernel(${plain}) {`)}
${attributes}fn main(${parameters}) {
  run_kernel(${names.join(", ")});
  let worst = max(max(fault_bits.x, fault_bits.y), max(fault_bits.z, fault_bits.w));
  let kind = select(1u, 0u, worst >= ${FIRST_NON_FINITE});
  for (var count = fault_count(); count > 0u; count = 0u) {
    atomicAdd(&faults[kind], count);
  }
}
`;
}

const singleChannel = (counts: boolean): string => /* wgsl */ `alias Quad = f32;
fn unpack(q: Quad) -> f32 { return q; }
fn pack(v: f32) -> Quad { ${counts ? "note_faults(vec4<f32>(v, 0.0, 0.0, 0.0)); " : ""}return v; }`;

function quadDefinition(dtype: DType, { hasShaderF16 }: Caps, counts: boolean): string {
  const note = counts ? "note_faults(v); " : "";
  if (dtype === "f32") {
    return /* wgsl */ `alias Quad = vec4<f32>;
fn unpack(q: Quad) -> vec4<f32> { return q; }
fn pack(v: vec4<f32>) -> Quad { ${note}return v; }`;
  }
  if (hasShaderF16) {
    return /* wgsl */ `alias Quad = vec4<f16>;
fn unpack(q: Quad) -> vec4<f32> { return vec4<f32>(q); }
fn pack(v: vec4<f32>) -> Quad {
  ${note}return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}`;
  }
  return /* wgsl */ `alias Quad = vec2<u32>;
fn unpack(q: Quad) -> vec4<f32> {
  return vec4<f32>(unpack2x16float(q.x), unpack2x16float(q.y));
}
fn pack(v: vec4<f32>) -> Quad {
  ${note}let c = clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0));
  return vec2<u32>(pack2x16float(c.xy), pack2x16float(c.zw));
}`;
}

/** Uniform bytes of `params`, padded to 16. */
export function packParams(params: readonly Param[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(Math.max(16, Math.ceil((params.length * 4) / 16) * 16));
  const view = new DataView(bytes.buffer);
  params.forEach(([name, type, value], index) => {
    if (type !== "f32" && !Number.isInteger(value)) {
      throw new Error(`internal: param ${name} must be an integer, got ${value}`);
    }
    if (type === "f32") view.setFloat32(index * 4, value, true);
    else if (type === "u32") view.setUint32(index * 4, value, true);
    else view.setInt32(index * 4, value, true);
  });
  return bytes;
}

/** A grid of `count` workgroups within the 65,535-per-dimension limit; surplus groups must return. */
export function foldWorkgroups(count: number): readonly [number, number, number] {
  const limit = 65_535;
  if (count <= limit) return [Math.max(count, 1), 1, 1];
  const rows = Math.ceil(count / limit);
  return [Math.ceil(count / rows), rows, 1];
}
