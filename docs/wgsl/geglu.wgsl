// geglu: GEGLU of 1280 channels. Storage f16; 20480 × 1 × 1 workgroups.
enable f16;
const WORKGROUP: u32 = 64u;
alias Quad = vec4<f16>;
fn unpack(q: Quad) -> vec4<f32> { return vec4<f32>(q); }
fn pack(v: vec4<f32>) -> Quad {
  return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}
@group(0) @binding(0) var<storage, read> x: array<Quad>;
@group(0) @binding(1) var<storage, read_write> y: array<Quad>;
struct Params { rows: u32, channels: u32, in_quads: u32, out_quads: u32 }
@group(0) @binding(2) var<uniform> params: Params;
fn flat_group(id: vec3<u32>, counts: vec3<u32>) -> u32 {
  return id.x + id.y * counts.x;
}
fn activate(x: vec4<f32>) -> vec4<f32> {
  let z = min(abs(x) * 0.7071067811865476, vec4<f32>(9.0));
  let t = vec4<f32>(1.0) / (vec4<f32>(1.0) + 0.3275911 * z);
  let poly = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  let tail = poly * exp(-z * z); // 1 - erf(z)
  let phi = select(0.5 * tail, vec4<f32>(1.0) - 0.5 * tail, x >= vec4<f32>(0.0));
  return x * phi;
}

fn gate_at(row: u32, channel: u32) -> f32 {
  return unpack(x[row * params.in_quads + (channel >> 2u)])[channel & 3u];
}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
  @builtin(local_invocation_index) local: u32) {
  let i = flat_group(group, counts) * WORKGROUP + local;
  if (i >= params.rows * params.out_quads) { return; }
  let row = i / params.out_quads;
  let c = (i % params.out_quads) * 4u;
  var value = vec4<f32>(0.0);
  var gate = vec4<f32>(0.0);
  for (var lane = 0u; lane < 4u; lane++) {
    if (c + lane < params.channels) {
      value[lane] = gate_at(row, c + lane);
      gate[lane] = gate_at(row, params.channels + c + lane);
    }
  }
  y[i] = pack(value * activate(gate));
}
