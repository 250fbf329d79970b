/**
 * Golden files: a safetensors file whose metadata describes cases, and whose tensors are their inputs,
 * outputs and weights:
 *
 *   <case>/inputs/<name>, <case>/outputs/<name>, <case>/weights/<key>, weights/<key> (shared by all cases),
 *   lora/<module>.lora_A.weight, lora/<module>.lora_B.weight
 *
 * Maps are NCHW, conv weights OIHW, linear weights [out, in], sequences [B, T, C], 8-bit images HWC.
 */
import { toFloat32 } from "../../weights/convert.ts";
import { quotedJson } from "../../weights/errors.ts";
import type { SafetensorsFile } from "../../weights/safetensors.ts";
import { openSafetensors } from "../../weights/safetensors.ts";
import type { ByteSource } from "../../weights/sources/source.ts";
import type { TensorInfo } from "../../weights/tensor-info.ts";

/** A file that is no golden file, or a case that lacks what its kind needs. */
export class GoldenError extends Error {
  override readonly name = "GoldenError";
}

/** A case of a kind that this build cannot run. Counts as a failure. */
export class UnsupportedCaseError extends GoldenError {}

/** Row-major values; their axes are the file's, unless channels are said to be last. */
export interface GoldenTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Errors of the reference itself, stored with an output. */
export interface OutputMetrics {
  readonly fp32_vs_fp64?: { readonly rel_rms: number };
  readonly fp16_storage_vs_ref?: { readonly rel_rms: number; readonly max_abs?: number };
}

/** What one module of a network gave in the reference run. */
export interface Intermediate {
  readonly mean: number;
  readonly std: number;
  readonly first8: readonly number[];
}

/** Typed access to the JSON of a case, with the case's name in every message. */
export class CaseParameters {
  readonly #json: Readonly<Record<string, unknown>>;
  readonly #where: string;

  constructor(json: Readonly<Record<string, unknown>>, where: string) {
    this.#json = json;
    this.#where = where;
  }

  has(key: string): boolean {
    return this.get(key) !== undefined && this.get(key) !== null;
  }

  get(key: string): unknown {
    return Object.hasOwn(this.#json, key) ? this.#json[key] : undefined;
  }

  fail(key: string, rule: string): never {
    throw new GoldenError(
      `verify: "${key}" ${rule}, got ${quotedJson(this.get(key))} (${this.#where})`,
    );
  }

  number(key: string, fallback?: number): number {
    const value = this.get(key) ?? fallback;
    return typeof value === "number" && Number.isFinite(value)
      ? value
      : this.fail(key, "must be a number");
  }

  text(key: string, fallback?: string): string {
    const value = this.get(key) ?? fallback;
    return typeof value === "string" ? value : this.fail(key, "must be a text");
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.get(key) ?? fallback;
    return typeof value === "boolean" ? value : this.fail(key, "must be true or false");
  }

  numbers(key: string): readonly number[] {
    const value = this.get(key);
    if (!Array.isArray(value) || !value.every((n) => typeof n === "number" && Number.isFinite(n))) {
      return this.fail(key, "must be a list of numbers");
    }
    return value as number[];
  }
}

export interface GoldenCase {
  readonly name: string;
  readonly file: GoldenFile;
  readonly parameters: CaseParameters;
  readonly metrics: Readonly<Record<string, OutputMetrics>>;
  /** By module path, in execution order. */
  readonly intermediates: ReadonlyMap<string, Intermediate>;
  /** Names of the stored outputs. */
  readonly outputs: readonly string[];
  readonly has: (tensor: string) => boolean;
  /** `inputs/<name>` of this case, as floats. */
  input(name: string): Promise<GoldenTensor>;
  /** `outputs/<name>` of this case, as floats. */
  output(name: string): Promise<GoldenTensor>;
  /** Shape of `inputs/…`, `outputs/…` or `weights/…` of this case. */
  readonly shape: (tensor: string) => readonly number[];
}

export interface GoldenFile {
  /** File name, without folders. */
  readonly name: string;
  readonly safetensors: SafetensorsFile;
  /** Variant of the weight recipe (`seed_xor`). */
  readonly variant: number;
  readonly cases: readonly GoldenCase[];
}

/** Reads header and metadata. Throws `WeightsError` or `GoldenError`. */
export async function openGoldenFile(name: string, source: ByteSource): Promise<GoldenFile> {
  const safetensors = await openSafetensors(source);
  const text = safetensors.metadata.get("cases");
  if (text === undefined) {
    throw new GoldenError(`verify: metadata has no "cases" (${name}). It is no golden file`);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new GoldenError(`verify: metadata "cases" is no JSON: ${String(cause)} (${name})`, {
      cause,
    });
  }
  if (!isObject(json))
    throw new GoldenError(`verify: metadata "cases" must be a JSON object (${name})`);
  const variantText = safetensors.metadata.get("seed_xor") ?? "0";
  const variant = Number(variantText);
  if (!/^(0x[0-9a-f]{1,8}|\d+)$/i.test(variantText) || variant > 0xffffffff) {
    throw new GoldenError(
      `verify: seed_xor must be 32 bits in hex, got "${variantText}" (${name})`,
    );
  }
  const cases: GoldenCase[] = [];
  const file: GoldenFile = { name, safetensors, variant, cases };
  for (const [caseName, value] of Object.entries(json)) {
    if (!isObject(value))
      throw new GoldenError(`verify: case "${caseName}" must be an object (${name})`);
    cases.push(goldenCase(file, caseName, value));
  }
  if (cases.length === 0) throw new GoldenError(`verify: file has no cases (${name})`);
  return file;
}

function goldenCase(
  file: GoldenFile,
  name: string,
  json: Readonly<Record<string, unknown>>,
): GoldenCase {
  const { tensors } = file.safetensors;
  const prefix = `${name}/outputs/`;
  const where = `${file.name} ${name}`;
  const { metrics, intermediates } = json;
  return {
    name,
    file,
    parameters: new CaseParameters(json, where),
    metrics: isObject(metrics) ? (metrics as Record<string, OutputMetrics>) : {},
    intermediates: new Map(
      isObject(intermediates) ? Object.entries(intermediates as Record<string, Intermediate>) : [],
    ),
    outputs: [...tensors.keys()]
      .filter((tensor) => tensor.startsWith(prefix))
      .map((tensor) => tensor.slice(prefix.length)),
    has: (tensor) => tensors.has(`${name}/${tensor}`),
    input: (tensor) => readTensor(file, `${name}/inputs/${tensor}`),
    output: (tensor) => readTensor(file, `${name}/outputs/${tensor}`),
    shape: (tensor) => tensorInfo(file, `${name}/${tensor}`).shape,
  };
}

function tensorInfo({ name: fileName, safetensors }: GoldenFile, name: string): TensorInfo {
  const info = safetensors.tensors.get(name);
  if (info !== undefined) return info;
  throw new GoldenError(`verify: tensor "${name}" is missing (${fileName})`);
}

async function readTensor(file: GoldenFile, name: string): Promise<GoldenTensor> {
  const info = tensorInfo(file, name);
  const bytes = await file.safetensors.read(name);
  const { dtype, shape } = info;
  if (dtype === "U8") return { shape, data: Float32Array.from(bytes) };
  if (dtype !== "I32") return { shape, data: toFloat32(info, bytes) };
  return { shape, data: Float32Array.from(new Int32Array(bytes.slice().buffer)) };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
