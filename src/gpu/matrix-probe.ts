/**
 * Finds out whether a device's matrix units can be used, and in which form: a shape, a subgroup size and a spelling. Each
 * form that might work computes a small product, whose numbers are known. The extension is experimental, its spelling has
 * changed, and drivers differ in the subgroup sizes that they take. A device on which no form works has no units, but
 * works otherwise.
 */
import type { Caps } from "./caps.ts";
import { SUBGROUP_SIZE_FEATURE } from "./caps.ts";
import { catchErrors } from "./error-scopes.ts";
import { messageOf } from "./errors.ts";
import { BUFFER_USAGE } from "./memory.ts";
import type { MatrixArray, MatrixSpelling, MatrixUnits } from "./subgroup-matrix.ts";
import {
  MATRIX_WORKGROUP,
  NEWER_SPELLINGS,
  loadMatrix,
  matrixArrayWgsl,
  matrixDirectives,
  matrixType,
  storeMatrix,
  subgroupSizeAttribute,
} from "./subgroup-matrix.ts";

/** The units, or why they cannot be used. */
export type ProbeResult =
  | { readonly units: MatrixUnits; readonly refusal: null }
  | { readonly units: null; readonly refusal: string };

const refused = (refusal: string): ProbeResult => ({ units: null, refusal });

/** Tries the forms in turn, the fastest first, and takes the first that is right. Never throws. */
export async function probeMatrixUnits(device: GPUDevice, caps: Caps): Promise<ProbeResult> {
  const refusal = matrixRefusal(caps, device.features);
  if (refusal !== null) return refused(refusal);
  try {
    return await firstThatIsRight(device, caps);
  } catch (error) {
    return refused(`their probe fails: ${oneLineOf(error)}`);
  }
}

const oneLineOf = (error: unknown): string => messageOf(error).trim().replaceAll(/\s+/g, " ");

async function firstThatIsRight(device: GPUDevice, caps: Caps): Promise<ProbeResult> {
  const pinsSubgroupSize = device.features.has(SUBGROUP_SIZE_FEATURE);
  const spellings = await acceptedSpellings(device, pinsSubgroupSize);
  let lastFailure = "";
  for (const shape of shapesOf(caps)) {
    for (const subgroupSize of sizesOf(caps, device.features)) {
      for (const spelling of spellings) {
        const units = { ...shape, subgroupSize, pinsSubgroupSize, spelling };
        const failure = await matrixFailure(device, units);
        if (failure === null) return { units, refusal: null };
        lastFailure = failure;
      }
    }
  }
  return refused(`their probe fails: ${lastFailure}`);
}

/** The spellings that the shader compiler takes. The oldest, of which compilers warn, only where it takes no other. */
async function acceptedSpellings(
  device: GPUDevice,
  pinsSubgroupSize: boolean,
): Promise<readonly MatrixSpelling[]> {
  const accepted: MatrixSpelling[] = [];
  const [shape] = COMMON_SHAPES as [MatrixShape];
  for (const spelling of NEWER_SPELLINGS) {
    const code = probeWgsl({ ...shape, subgroupSize: 32, pinsSubgroupSize, spelling });
    const probe = { label: "matrix probe", code };
    const { error } = catchErrors(device, () => device.createShaderModule(probe));
    if ((await error) === null) accepted.push(spelling);
  }
  return accepted.length > 0 ? accepted : ["flag"];
}

/** Elements are whole numbers below 64, exact in f16. Their sums are exact in f32, but not in f16. */
const leftElement = (row: number, k: number): number => (7 * row + 5 * k + 3) % 61;
const rightElement = (k: number, column: number): number => (11 * k + 3 * column + 1) % 59;

/** Why a form cannot be used; null where its numbers are right. */
export async function matrixFailure(device: GPUDevice, units: MatrixUnits): Promise<string | null> {
  const { M, N, K, subgroupSize, spelling } = units;
  const form = `${M}×${N}×${K} in subgroups of ${subgroupSize}, spelling "${spelling}"`;
  let got: Float32Array;
  try {
    got = await compute(device, units);
  } catch (error) {
    return `${form}: ${oneLineOf(error)}`;
  }
  const wrong = got.findIndex((value, i) => value !== expectedElement(units, i));
  return wrong < 0 ? null : `${form} gives ${got[wrong]}, not ${expectedElement(units, wrong)}`;
}

/** Element `index` of what the probe writes: the results of the subgroups, one after another. */
function expectedElement({ M, N, K }: MatrixUnits, index: number): number {
  const subgroup = Math.floor(index / (M * N));
  const row = subgroup + (Math.floor(index / N) % M);
  const column = index % N;
  let sum = 0;
  for (let k = 0; k < 2 * K; k++) sum += leftElement(row, k) * rightElement(k, column);
  return sum;
}

async function compute(device: GPUDevice, units: MatrixUnits): Promise<Float32Array> {
  const label = "matrix probe";
  // Past the device's pipeline cache, which counts what kernels compile.
  const code = probeWgsl(units);
  const module = await withoutError(device, () => device.createShaderModule({ label, code }));
  const pipeline = await device.createComputePipelineAsync({
    label,
    layout: "auto",
    compute: { module, entryPoint: "main" },
  });
  const size = (MATRIX_WORKGROUP / units.subgroupSize) * units.M * units.N * 4;
  const { STORAGE, COPY_SRC, MAP_READ, COPY_DST } = BUFFER_USAGE;
  const made: GPUBuffer[] = [];
  const create = (usage: number): GPUBuffer => {
    made.push(device.createBuffer({ label, size, usage }));
    return made.at(-1) as GPUBuffer;
  };
  try {
    const staging = await withoutError(device, () => {
      const y = create(STORAGE | COPY_SRC);
      const copy = create(MAP_READ | COPY_DST);
      const entries = [{ binding: 0, resource: { buffer: y } }];
      const encoder = device.createCommandEncoder({ label });
      const pass = encoder.beginComputePass({ label });
      const layout = pipeline.getBindGroupLayout(0);
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, device.createBindGroup({ label, layout, entries }));
      pass.dispatchWorkgroups(1);
      pass.end();
      encoder.copyBufferToBuffer(y, 0, copy, 0, size);
      device.queue.submit([encoder.finish()]);
      return copy;
    });
    await staging.mapAsync(0x1); // READ
    return new Float32Array(staging.getMappedRange().slice(0));
  } finally {
    for (const buffer of made) buffer.destroy();
  }
}

/** What `work` gives; rejects with what the device finds wrong in it. */
async function withoutError<T>(device: GPUDevice, work: () => T): Promise<T> {
  const { value, error } = catchErrors(device, work);
  const invalid = await error;
  if (invalid !== null) throw new Error(invalid.message);
  return value;
}

/**
 * The probe's shader: for each subgroup a product with a sum of two K steps, through workgroup memory with padded rows, the
 * right factor transposed, as in the kernels. The left factor of each subgroup begins one row below that of the subgroup before. Subgroups store in
 * turn.
 */
export function probeWgsl(units: MatrixUnits): string {
  const { M, N, K } = units;
  const subgroups = MATRIX_WORKGROUP / units.subgroupSize;
  const a: MatrixArray = { name: "a", type: "f16", rowLength: 2 * K + 8, rows: M + subgroups };
  const b: MatrixArray = {
    name: "b",
    type: "f16",
    rowLength: 2 * K + 8,
    rows: N,
    isTransposed: true,
  };
  const c: MatrixArray = { name: "c", type: "f32", rowLength: N, rows: M };
  const fill = ({ name, rowLength, rows, isTransposed }: MatrixArray): string => `
  for (var quad = local; quad < ${(rowLength * rows) / 4}u; quad += ${MATRIX_WORKGROUP}u) {
    let row = 4u * quad / ${rowLength}u;
    let column = 4u * quad % ${rowLength}u;
    set_${name}(quad, vec4<f16>(${[0, 1, 2, 3].map((i) => `${name}_at(${isTransposed ? `column + ${i}u, row` : `row, column + ${i}u`})`).join(", ")}));
  }`;
  const multiply = (step: number): string => {
    const left = loadMatrix(units, "left", a, `subgroup * ${a.rowLength}u + ${step * K}u`);
    const right = loadMatrix(units, "right", b, `${step * K}u`);
    return `sum = subgroupMatrixMultiplyAccumulate(${left}, ${right}, sum);`;
  };
  return /* wgsl */ `${["enable f16;", ...matrixDirectives(units)].join("\n")}
@group(0) @binding(0) var<storage, read_write> y: array<vec4<f32>>;
${[a, b, c].map((array) => matrixArrayWgsl(units, array)).join("")}
fn a_at(row: u32, k: u32) -> f16 { return f16((7u * row + 5u * k + 3u) % 61u); }
fn b_at(k: u32, column: u32) -> f16 { return f16((11u * k + 3u * column + 1u) % 59u); }
@compute @workgroup_size(${MATRIX_WORKGROUP}) ${subgroupSizeAttribute(units)}
fn main(@builtin(local_invocation_index) local: u32, @builtin(subgroup_id) subgroup: u32) {${fill(a)}${fill(b)}
  workgroupBarrier();
  var sum: ${matrixType(units, "result")};
  ${multiply(0)}
  ${multiply(1)}
  for (var turn = 0u; turn < ${subgroups}u; turn++) {
    if (subgroup == turn) { ${storeMatrix(units, c, "0u", "sum")} }
    workgroupBarrier();
    if (local < ${(M * N) / 4}u) { y[turn * ${(M * N) / 4}u + local] = get_c(local); }
    workgroupBarrier();
  }
}
`;
}

/** Why caps alone rule matrix units out; null where only a probe can tell. */
function matrixRefusal(caps: Caps, features: ReadonlySet<string>): string | null {
  if (!caps.hasShaderF16 || !caps.hasSubgroups)
    return "shader-f16 and subgroups are needed as well";
  if (shapesOf(caps).length === 0) {
    const offered = caps.subgroupMatrixConfigs.map(
      ({ componentType, resultComponentType, M, N, K }) =>
        `${componentType} → ${resultComponentType} ${M}×${N}×${K}`,
    );
    return `no shape of f16 factors with f32 sums is of use, offered: ${offered.join(", ")}`;
  }
  if (sizesOf(caps, features).length === 0) {
    return `subgroups of ${caps.subgroupSizes.join(" to ")} cannot be pinned to one size`;
  }
  return null;
}

/** Values of M and N, and of K, that the kernels take. */
const SIDES = [8, 16];
const DEPTHS = [8, 16, 32];

type MatrixShape = Pick<MatrixUnits, "M" | "N" | "K">;

/** Shapes to try where the adapter's info lists none. The info of a device lists none in Dawn. */
const COMMON_SHAPES: readonly MatrixShape[] = [
  { M: 16, N: 16, K: 16 },
  { M: 16, N: 8, K: 16 },
  { M: 8, N: 16, K: 16 },
  { M: 8, N: 8, K: 8 },
];

/** Shapes that divide tiles of 64 × 64, the largest first: the larger the shape, the less is loaded for a product. */
function shapesOf({ subgroupMatrixConfigs }: Caps): readonly MatrixShape[] {
  if (subgroupMatrixConfigs.length === 0) return COMMON_SHAPES;
  return subgroupMatrixConfigs
    .filter(
      ({ componentType, resultComponentType, M, N, K }) =>
        componentType === "f16" &&
        resultComponentType === "f32" &&
        SIDES.includes(M) &&
        SIDES.includes(N) &&
        DEPTHS.includes(K),
    )
    .map(({ M, N, K }) => ({ M, N, K }))
    .toSorted((a, b) => b.M * b.N * b.K - a.M * a.N * a.K);
}

/** Subgroup sizes to try: the only one; where sizes can be pinned, 32, then the larger, then the smaller. */
function sizesOf({ subgroupSizes }: Caps, features: ReadonlySet<string>): readonly number[] {
  const [least, most] = subgroupSizes;
  const sizes = [32, 128, 64, 16, 8].filter(
    (size) => size >= least && (most === 0 || size <= most),
  );
  return least === most || features.has(SUBGROUP_SIZE_FEATURE) ? sizes : [];
}
