/**
 * CLIP's vision embeddings: the class token in front of the patches, plus positions.
 *
 *   y[b, 0]     = class_embedding + position[0]
 *   y[b, 1 + p] = patches[b, p] + position[1 + p]
 *
 * Layout: patches [B, P, C] and y [B, P + 1, C] in quads of `dtype`; class_embedding [C] and position
 * [P + 1, C] are f32 tables, rows padded to quads with zeros. One invocation per output quad, f32 sum.
 */
import type { DType } from "../../gpu/dtype.ts";
import { dtypeByteLength } from "../../gpu/dtype.ts";
import { isShape, paddedChannels, quadCount, ShapeError } from "../../gpu/shape.ts";
import type { Kernel } from "../kernel.ts";
import { defineKernel, dispatch, reads, u32, writes } from "../kernel.ts";

/** Operands: `patches`, `class_embedding`, `position`, `y`. */
export interface TokenEmbeddingsProblem {
  /** Storage of the activations. */
  readonly dtype: DType;
  /** Number of images. */
  readonly batch: number;
  /** Patches of one image. */
  readonly patches: number;
  /** Channels, without padding. */
  readonly channels: number;
}

const WORKGROUP = 64;
const MAX_GROUPS = 65_535;

/** Workgroups of one image. */
function imageGroups({ patches, channels }: TokenEmbeddingsProblem): number {
  return Math.ceil(((patches + 1) * quadCount(channels)) / WORKGROUP);
}

const BODY = /* wgsl */ `
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let i = id.x; // quad within one image of y, and within position
  if (i >= params.quads) { return; }
  var token = vec4<f32>(0.0);
  if (i < QUADS) {
    token = class_embedding[i];
  } else {
    token = unpack(patches[id.y * (params.quads - QUADS) + i - QUADS]);
  }
  y[id.y * params.quads + i] = pack(token + position[i]);
}
`;

/** CLIP's class token in front of the patches, plus positions. */
export const tokenEmbeddings: Kernel<TokenEmbeddingsProblem, "quad"> = defineKernel({
  name: "token-embeddings",
  variants: ["quad"],
  check(problem) {
    const { batch, patches, channels } = problem;
    if (!isShape([batch, patches, channels])) {
      throw new ShapeError(
        `tokenEmbeddings: batch, patches and channels must be integers ≥ 1, got [${batch}, ${patches}, ${channels}]`,
      );
    }
    if (batch > MAX_GROUPS || imageGroups(problem) > MAX_GROUPS) {
      throw new ShapeError(
        `tokenEmbeddings: batch must be ≤ ${MAX_GROUPS} and an image have ≤ ${MAX_GROUPS * WORKGROUP} quads, ` +
          `got [${batch}, ${patches}, ${channels}]`,
      );
    }
  },
  dispatches(problem, caps) {
    const { dtype, batch, patches, channels } = problem;
    const QUADS = quadCount(channels);
    const tables = ["class_embedding", "position"].map((name) => reads(name, "vec4<f32>"));
    const header = {
      caps,
      dtype,
      operands: [reads("patches"), ...tables, writes("y")],
      params: [u32("quads", (patches + 1) * QUADS)],
      constants: { WORKGROUP, QUADS },
    };
    return [dispatch("token-embeddings", header, BODY, [imageGroups(problem), batch, 1])];
  },
  cost({ dtype, batch, patches, channels }) {
    const row = paddedChannels(channels);
    const bytes = dtypeByteLength(dtype);
    return {
      flops: batch * (patches + 1) * channels,
      bytesRead: batch * patches * row * bytes + (patches + 2) * row * 4,
      bytesWritten: batch * (patches + 1) * row * bytes,
    };
  },
});
