/**
 * A matrix of integers on its way to the device: its bytes go up as they are, and a kernel puts them in their places. Loads on
 * demand: few models have integers.
 */
import type { Gpu } from "../../gpu/device.ts";
import { ShapeError, quadCount } from "../../gpu/shape.ts";
import { UPLOAD_CHUNK_BYTES, uploadBytes } from "../../gpu/transfer.ts";
import { packedColumnQuads } from "../../kernels/contraction/pack-weight.ts";
import type { IntegerPlace, PackIntegersProblem } from "../../kernels/quantized/pack-integers.ts";
import { packIntegers } from "../../kernels/quantized/pack-integers.ts";
import { blockCount, blockWords, integerBits } from "../../kernels/quantized/storage.ts";
import { runPlan } from "../execution/run-plan.ts";
import type { Weight } from "../ir/ir.ts";
import type { StoredBytes, TensorSource } from "./tensor-source.ts";
import { integersOf } from "./tensor-source.ts";
import type { WeightCheck } from "./weight-check.ts";
import type { MatrixLayout } from "./weight-layout.ts";
import { packedMembers, weightByteLength } from "./weight-layout.ts";

/** A buffer with the packed weight. The caller releases it. */
export async function loadIntegers(
  gpu: Gpu,
  weight: Weight,
  source: TensorSource,
  check: WeightCheck,
  signal?: AbortSignal,
): Promise<GPUBuffer> {
  const { memory } = gpu;
  const packed = memory.create(weight.name, weightByteLength(weight, "f32"), "weights");
  const staging: GPUBuffer[] = [];
  /** Uploads a tensor, of which the host sees each piece once. */
  const stage = async (
    label: string,
    tensor: StoredBytes,
    look: (bytes: Uint8Array) => void,
  ): Promise<GPUBuffer> => {
    const { byteLength } = tensor;
    const buffer = memory.create(label, byteLength, "staging");
    staging.push(buffer);
    for (let start = 0; start < byteLength; start += UPLOAD_CHUNK_BYTES) {
      const length = Math.min(UPLOAD_CHUNK_BYTES, byteLength - start);
      const bytes = await tensor.read(start, length, signal);
      look(bytes);
      uploadBytes(gpu, buffer, start, bytes);
    }
    return buffer;
  };
  try {
    for (const { name, problem } of integerMembers(weight)) {
      const { values, scales } = integersOf(source, name);
      const { outChannels, inChannels, taps, storage } = problem;
      const rowBytes = Math.ceil((inChannels * integerBits(storage)) / 8);
      checkByteLength(name, values, outChannels * rowBytes * taps);
      const rowScales = blockCount(inChannels, storage) * taps;
      checkByteLength(`${name}.scales`, scales, outChannels * rowScales * 2);
      const operands = {
        values: await stage(`${name} (integers)`, values, () => undefined),
        scales: await stage(`${name} (scales)`, scales, (bytes) =>
          check.look(`${name}.scales`, "F16", bytes),
        ),
        packed,
      };
      await runPlan(gpu, packIntegers.plan(problem, gpu.caps), operands, signal);
      for (const buffer of staging.splice(0)) memory.release(buffer);
    }
    return packed;
  } catch (error) {
    memory.release(packed);
    throw error;
  } finally {
    for (const buffer of staging) memory.release(buffer);
  }
}

function checkByteLength(name: string, { byteLength }: StoredBytes, needed: number): void {
  if (byteLength === needed) return;
  throw new ShapeError(`weights: must have ${needed} bytes, got ${byteLength} (${name})`);
}

/** The tensors of a matrix of integers, with how each is packed. */
function integerMembers(
  weight: Weight,
): readonly { readonly name: string; readonly problem: PackIntegersProblem }[] {
  const { storage, layout } = weight;
  if (storage === undefined) throw new Error(`internal: "${weight.name}" is no integers`);
  const members = packedMembers(weight);
  const quadsOf = ({ outChannels, geglu }: MatrixLayout): number =>
    packedColumnQuads(outChannels, geglu);
  const isStack = layout === "stacked-matrix";
  const columnQuads = isStack
    ? members.reduce((sum, member) => sum + quadsOf(member.layout), 0)
    : Math.max(...members.map((member) => quadsOf(member.layout)));
  const rows = members.reduce(
    (sum, { layout: { taps, inChannels } }) => sum + taps * quadCount(inChannels),
    0,
  );
  const blocks = (isStack ? rows / members.length : rows) * columnQuads;
  const scalesAt = blocks * blockWords(storage);
  let [firstBlock, firstScale] = [0, 0];
  return members.map(({ tensor, layout: of }) => {
    const { outChannels, inChannels, taps, geglu } = of;
    const place: IntegerPlace = { columnQuads, firstBlock, firstScale, scalesAt };
    // A stack goes on with the next columns of the same rows, a shortcut with further rows.
    firstBlock += isStack ? quadsOf(of) : taps * quadCount(inChannels) * columnQuads;
    firstScale += isStack ? quadsOf(of) : taps * blockCount(inChannels, storage) * columnQuads;
    return {
      name: tensor.name,
      problem: { storage, outChannels, inChannels, taps, geglu, place },
    };
  });
}
