// modulateLora F32: B·Mᵀ of rank 16. Storage f16; 80 × 1 × 1 workgroups.
alias Quad = vec4<f32>;
fn unpack(q: Quad) -> vec4<f32> { return q; }
fn pack(v: vec4<f32>) -> Quad { return v; }
@group(0) @binding(0) var<storage, read> lora_b: array<u32>;
@group(0) @binding(1) var<storage, read> modulation: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;
struct Params { total: u32, rank: u32, matrix_start: u32 }
@group(0) @binding(3) var<uniform> params: Params;
fn flat_group(id: vec3<u32>, counts: vec3<u32>) -> u32 {
  return id.x + id.y * counts.x;
}
fn lora_b_at(i: u32) -> f32 { return bitcast<f32>(lora_b[i]); }
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
  @builtin(local_invocation_index) local: u32) {
  let index = flat_group(group, counts) * 64u + local;
  if (index >= params.total) { return; }
  let row = index / params.rank;
  let k = index % params.rank;
  let matrix_row = params.matrix_start + k * params.rank;
  var sum = 0.0;
  for (var j = 0u; j < params.rank; j++) {
    sum += lora_b_at(row * params.rank + j) * modulation[matrix_row + j];
  }
  result[index] = sum;
}
