// packIntegers int8: the weight of a 3×3 convolution in int8. Storage f16; 3825 × 1 × 1 workgroups.
const WORKGROUP: u32 = 64u;
const BLOCK_WORDS: u32 = 4u;
alias Quad = vec4<f32>;
fn unpack(q: Quad) -> vec4<f32> { return q; }
fn pack(v: vec4<f32>) -> Quad { return v; }
@group(0) @binding(0) var<storage, read> values: array<u32>;
@group(0) @binding(1) var<storage, read> scales: array<u32>;
@group(0) @binding(2) var<storage, read_write> packed: array<u32>;
struct Params {
  out_channels: u32,
  in_channels: u32,
  taps: u32,
  in_quads: u32,
  blocks: u32,
  own_quads: u32,
  column_quads: u32,
  first_block: u32,
  first_scale: u32,
  scales_at: u32,
  integer_words: u32,
  scale_words: u32,
}
@group(0) @binding(3) var<uniform> params: Params;
fn flat_group(id: vec3<u32>, counts: vec3<u32>) -> u32 {
  return id.x + id.y * counts.x;
}
fn row_of(nq: u32, lane: u32) -> u32 {
  let row = nq * 4u + lane;
  return select(params.out_channels, row, row < params.out_channels);
}
fn integer_word(kq: u32, tap: u32, nq: u32, word: u32) -> u32 {
  let i = 4u * kq + word;
  var packed_bytes = 0x80808080u;
  for (var lane = 0u; lane < 4u; lane++) {
    let row = row_of(nq, lane);
    if (row == params.out_channels || i >= params.in_channels) { continue; }
    let at = (row * params.in_channels + i) * params.taps + tap;
    packed_bytes ^= ((values[at >> 2u] >> (8u * (at & 3u))) & 255u) << (8u * lane);
  }
  return packed_bytes;
}

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
