// layerNorm/row: LayerNorm of 320 channels. Storage f16; 64 × 1 × 1 workgroups.
enable f16;
const WORKGROUP: u32 = 64u;
alias Quad = vec4<f16>;
fn unpack(q: Quad) -> vec4<f32> { return vec4<f32>(q); }
fn pack(v: vec4<f32>) -> Quad {
  return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}
@group(0) @binding(0) var<storage, read> x: array<Quad>;
@group(0) @binding(1) var<storage, read> gamma: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> beta: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<Quad>;
struct Params { rows: u32, channels: u32, quads: u32, eps: f32 }
@group(0) @binding(4) var<uniform> params: Params;
fn flat_group(id: vec3<u32>, counts: vec3<u32>) -> u32 {
  return id.x + id.y * counts.x;
}

// x − mean at a quad of the row, 0 in the padding.
fn centered(index: u32, quad: u32, mean: f32) -> vec4<f32> {
  let is_channel = vec4<u32>(0u, 1u, 2u, 3u) + vec4<u32>(quad * 4u) < vec4<u32>(params.channels);
  return select(vec4<f32>(0.0), unpack(x[index]) - vec4<f32>(mean), is_channel);
}

// Σd and Σd² of one quad.
fn moments(d: vec4<f32>) -> vec2<f32> {
  return vec2<f32>(dot(d, vec4<f32>(1.0)), dot(d, d));
}

// The correction of the mean, and rstd, from Σ(x − mean) and Σ(x − mean)².
fn finish(sums: vec2<f32>) -> vec2<f32> {
  let rest = sums / f32(params.channels);
  return vec2<f32>(rest.x, 1.0 / sqrt(rest.y + params.eps));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
  @builtin(local_invocation_index) local: u32) {
  let row = flat_group(group, counts) * WORKGROUP + local;
  if (row >= params.rows) { return; }
  let base = row * params.quads;
  var sum = vec4<f32>(0.0);
  for (var q = 0u; q < params.quads; q += 1u) { sum += unpack(x[base + q]); }
  let mean = dot(sum, vec4<f32>(1.0)) / f32(params.channels);
  var sums = vec2<f32>(0.0);
  for (var q = 0u; q < params.quads; q += 1u) { sums += moments(centered(base + q, q, mean)); }
  let rest = finish(sums);
  for (var q = 0u; q < params.quads; q += 1u) {
    let d = centered(base + q, q, mean) - vec4<f32>(rest.x);
    y[base + q] = pack(d * rest.y * gamma[q] + beta[q]);
  }
}
