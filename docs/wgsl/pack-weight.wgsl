// packWeight F16 + LoRA: the weight of a 3×3 convolution with its LoRA of rank 16. Storage f16; 3600 × 1 × 1 workgroups.
enable f16;
alias Quad = vec4<f16>;
fn unpack(q: Quad) -> vec4<f32> { return vec4<f32>(q); }
fn pack(v: vec4<f32>) -> Quad {
  return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}
@group(0) @binding(0) var<storage, read> source: array<u32>;
@group(0) @binding(1) var<storage, read> lora_a: array<u32>;
@group(0) @binding(2) var<storage, read> lora_b: array<u32>;
@group(0) @binding(3) var<storage, read_write> packed: array<Quad>;
struct Params {
  total: u32,
  out_channels: u32,
  in_channels: u32,
  taps: u32,
  in_quads: u32,
  column_quads: u32,
  first_quad: u32,
  stride_quads: u32,
  rank: u32,
  scaling: f32,
}
@group(0) @binding(4) var<uniform> params: Params;
fn flat_group(id: vec3<u32>, counts: vec3<u32>) -> u32 {
  return id.x + id.y * counts.x;
}
fn source_at(i: u32) -> f32 {
  let pair = unpack2x16float(source[i >> 1u]);
  return select(pair.x, pair.y, (i & 1u) == 1u);
}
fn lora_a_at(i: u32) -> f32 { return bitcast<f32>(lora_a[i]); }
fn lora_b_at(i: u32) -> f32 { return bitcast<f32>(lora_b[i]); }
fn round_to_half(value: f32) -> f32 {
  let v = clamp(value, -65504.0, 65504.0);
  let bits = bitcast<u32>(v);
  let normal = bitcast<f32>((bits + 0xfffu + ((bits >> 13u) & 1u)) & 0xffffe000u);
  let subnormal = round(v * 16777216.0) / 16777216.0; // below 2^-14 halves are multiples of 2^-24
  return select(normal, subnormal, abs(v) < 0.00006103515625);
}

fn merged_tap(row: u32, i: u32, tap: u32) -> f32 {
  var w = source_at((row * params.in_channels + i) * params.taps + tap);
  var delta = 0.0;
  for (var k = 0u; k < params.rank; k++) {
    delta += lora_b_at(row * params.rank + k) * lora_a_at((k * params.in_channels + i) * params.taps + tap);
  }
  w += params.scaling * delta;
  return w;
}
fn merged(nq: u32, lane: u32, i: u32, tap: u32) -> f32 {
  let row = nq * 4u + lane;
  let is_row = row < params.out_channels;
  if (!is_row || i >= params.in_channels) { return 0.0; }
  let w = merged_tap(row, i, tap);
  return round_to_half(w);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
  @builtin(local_invocation_index) local: u32) {
  let index = flat_group(group, counts) * 64u + local;
  if (index >= params.total) { return; }
  let kk = index & 3u;
  let block = index >> 2u;
  let nq = block % params.column_quads;
  let row_block = block / params.column_quads;
  let kq = row_block % params.in_quads;
  let tap = row_block / params.in_quads;
  let i = kq * 4u + kk;
  let at = params.first_quad + (row_block * params.stride_quads + nq) * 4u + kk;
  packed[at] = pack(vec4<f32>(merged(nq, 0u, i, tap), merged(nq, 1u, i, tap), merged(nq, 2u, i, tap), merged(nq, 3u, i, tap)));
}
