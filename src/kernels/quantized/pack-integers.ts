/**
 * Turns a matrix of integers as a checkpoint has it into the words that conv2d and linear read (`storage.ts`). Nothing is
 * computed: bytes change places and get their offset.
 *
 * Source: `values`, a byte for each [outChannels, inChannels, tap] (int8, signed), or for each pair of input channels (int4,
 * offset 8, the first channel below); `scales`, halves [outChannels, block, tap]. Both as raw words. Outside of the matrix
 * integers are zero and scales are zero. One invocation per word.
 */
import { ShapeError, isShape, quadCount } from "../../gpu/shape.ts";
import { foldWorkgroups } from "../../gpu/wgsl.ts";
import { defineKernel, dispatch, reads, u32, writes } from "../kernel.ts";
import type { IntegerStorage } from "./storage.ts";
import { blockCount, blockWords, integerBits } from "./storage.ts";

/** Operands `values`, `scales`, `packed`, all of words. */
export interface PackIntegersProblem {
  readonly storage: IntegerStorage;
  /** Rows of the matrix. */
  readonly outChannels: number;
  /** Columns of the matrix. */
  readonly inChannels: number;
  /** kh · kw. */
  readonly taps: number;
  /** Interleave quads of the first half of the rows (value) with the second half (gate). */
  readonly geglu: boolean;
  /** Where the matrix lies in a buffer that it may share with others. */
  readonly place: IntegerPlace;
}

export interface IntegerPlace {
  /** Column quads of the whole buffer. */
  readonly columnQuads: number;
  /** The first block of 4 × 4 channels, and the first quad of scales. */
  readonly firstBlock: number;
  readonly firstScale: number;
  /** The word where scales begin. */
  readonly scalesAt: number;
}

const WORKGROUP = 64;

/** `row_of(nq, lane)`: the row of the matrix in a lane of a column quad, or one behind the last. */
const ROWS = /* wgsl */ `fn row_of(nq: u32, lane: u32) -> u32 {
  let row = nq * 4u + lane;
  return select(params.out_channels, row, row < params.out_channels);
}`;
const GEGLU_ROWS = /* wgsl */ `fn row_of(nq: u32, lane: u32) -> u32 {
  let half = params.out_channels / 2u;
  let row = (nq / 2u) * 4u + lane;
  return select(params.out_channels, row + (nq & 1u) * half, row < half);
}`;

/** `integer_word(row_block, nq, word)`: a word of a block of 4 × 4 channels. */
const INT8_WORD = /* wgsl */ `fn integer_word(kq: u32, tap: u32, nq: u32, word: u32) -> u32 {
  let i = 4u * kq + word;
  var packed_bytes = 0x80808080u;
  for (var lane = 0u; lane < 4u; lane++) {
    let row = row_of(nq, lane);
    if (row == params.out_channels || i >= params.in_channels) { continue; }
    let at = (row * params.in_channels + i) * params.taps + tap;
    packed_bytes ^= ((values[at >> 2u] >> (8u * (at & 3u))) & 255u) << (8u * lane);
  }
  return packed_bytes;
}`;
const INT4_WORD = /* wgsl */ `fn integer_word(kq: u32, tap: u32, nq: u32, word: u32) -> u32 {
  let pair = 2u * kq + word;
  let pairs = (params.in_channels + 1u) / 2u;
  var nibbles = 0x88888888u;
  for (var lane = 0u; lane < 4u; lane++) {
    let row = row_of(nq, lane);
    if (row == params.out_channels || pair >= pairs) { continue; }
    let at = (row * pairs + pair) * params.taps + tap;
    let both = ((values[at >> 2u] >> (8u * (at & 3u))) & 255u) ^ 0x88u;
    nibbles ^= ((both & 15u) | ((both >> 4u) << 16u)) << (4u * lane);
  }
  return nibbles;
}`;

const BODY = /* wgsl */ `
fn scale_bits(row: u32, block: u32, tap: u32) -> u32 {
  if (row == params.out_channels) { return 0u; }
  let at = (row * params.blocks + block) * params.taps + tap;
  return (scales[at >> 1u] >> (16u * (at & 1u))) & 0xffffu;
}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let index = flat_group(group, counts) * WORKGROUP + local;
  if (index < params.integer_words) {
    let word = index % BLOCK_WORDS;
    let block = index / BLOCK_WORDS;
    let nq = block % params.own_quads;
    let row_block = block / params.own_quads;
    let at = params.first_block + row_block * params.column_quads + nq;
    packed[at * BLOCK_WORDS + word] = integer_word(row_block % params.in_quads, row_block / params.in_quads, nq, word);
    return;
  }
  let rest = index - params.integer_words;
  if (rest >= params.scale_words) { return; }
  let lane = 2u * (rest & 1u);
  let nq = (rest >> 1u) % params.own_quads;
  let scale_row = (rest >> 1u) / params.own_quads;
  let block = scale_row % params.blocks;
  let tap = scale_row / params.blocks;
  let at = params.first_scale + scale_row * params.column_quads + nq;
  packed[params.scales_at + at * 2u + (rest & 1u)] =
    scale_bits(row_of(nq, lane), block, tap) | (scale_bits(row_of(nq, lane + 1u), block, tap) << 16u);
}
`;

/** Column quads of the matrix alone, as `packedColumnQuads` counts them. */
const ownQuads = ({ outChannels, geglu }: PackIntegersProblem): number =>
  geglu ? 2 * quadCount(outChannels / 2) : quadCount(outChannels);

/** A matrix of integers of a checkpoint in the layout that `conv2d` and `linear` read. */
export const packIntegers = defineKernel({
  name: "packIntegers",
  variants: ["word"],
  check(p: PackIntegersProblem) {
    const { outChannels, inChannels, taps, geglu } = p;
    if (!isShape([outChannels, inChannels, taps])) {
      throw new ShapeError(
        `packIntegers: sizes must be integers ≥ 1, got out ${outChannels}, in ${inChannels}, taps ${taps}`,
      );
    }
    if (geglu && outChannels % 2 !== 0) {
      throw new ShapeError(`packIntegers: GEGLU needs an even number of rows, got ${outChannels}`);
    }
  },
  dispatches(p, caps) {
    const { storage, outChannels, inChannels, taps, geglu, place } = p;
    const inQuads = quadCount(inChannels);
    const blocks = blockCount(inChannels, storage);
    const BLOCK_WORDS = blockWords(storage);
    const integerWords = taps * inQuads * ownQuads(p) * BLOCK_WORDS;
    const scaleWords = taps * blocks * ownQuads(p) * 2;
    const header = {
      caps,
      dtype: "f32" as const,
      operands: [reads("values", "u32"), reads("scales", "u32"), writes("packed", "u32")],
      params: [
        u32("out_channels", outChannels),
        u32("in_channels", inChannels),
        u32("taps", taps),
        u32("in_quads", inQuads),
        u32("blocks", blocks),
        u32("own_quads", ownQuads(p)),
        u32("column_quads", place.columnQuads),
        u32("first_block", place.firstBlock),
        u32("first_scale", place.firstScale),
        u32("scales_at", place.scalesAt),
        u32("integer_words", integerWords),
        u32("scale_words", scaleWords),
      ],
      constants: { WORKGROUP, BLOCK_WORDS },
    };
    const body = [
      geglu ? GEGLU_ROWS : ROWS,
      integerBits(storage) === 8 ? INT8_WORD : INT4_WORD,
      BODY,
    ];
    const grid = foldWorkgroups(Math.ceil((integerWords + scaleWords) / WORKGROUP));
    return [dispatch(`packIntegers ${storage}`, header, body.join("\n"), grid)];
  },
  cost(p) {
    const { storage, outChannels, inChannels, taps } = p;
    const count = outChannels * taps;
    const blocks = blockCount(inChannels, storage);
    const words = quadCount(inChannels) * blockWords(storage) + blocks * 2;
    return {
      flops: 0,
      bytesRead: count * ((inChannels * blockWords(storage)) / 4 + blocks * 2),
      bytesWritten: 4 * taps * ownQuads(p) * words,
    };
  },
});
