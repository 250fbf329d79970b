// color-moments: partial moments of 512 × 512 pixels. Storage f16; 64 × 1 × 1 workgroups.
const WORKGROUP: u32 = 256u;
const BLOCK_PIXELS: u32 = 4096u;
alias Quad = vec4<f32>;
fn unpack(q: Quad) -> vec4<f32> { return q; }
fn pack(v: vec4<f32>) -> Quad { return v; }
@group(0) @binding(0) var<storage, read> image: array<u32>;
@group(0) @binding(1) var<storage, read_write> partials: array<vec4<f32>>;
struct Params { pixels: u32 }
@group(0) @binding(2) var<uniform> params: Params;
fn flat_group(id: vec3<u32>, counts: vec3<u32>) -> u32 {
  return id.x + id.y * counts.x;
}

fn rgba8(pixel: u32) -> vec4<i32> {
  return vec4<i32>((vec4<u32>(pixel) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u));
}
fn pack_rgba8(c: vec4<i32>) -> u32 {
  let u = vec4<u32>(c) << vec4<u32>(0u, 8u, 16u, 24u);
  return u.x | u.y | u.z | u.w;
}

var<workgroup> sums: array<vec3<u32>, WORKGROUP>;
var<workgroup> squares: array<vec3<u32>, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
  @builtin(local_invocation_index) local: u32) {
  let block = flat_group(group, counts);
  // Surplus groups of a folded grid have nothing to add, but must reach the barriers.
  let begin = min(block * BLOCK_PIXELS, params.pixels);
  let end = min(begin + min(BLOCK_PIXELS, params.pixels - begin), params.pixels);
  var sum = vec3<u32>(0u);
  var square = vec3<u32>(0u);
  for (var i = begin + local; i < end; i += WORKGROUP) {
    let p = vec3<u32>(rgba8(image[i]).xyz);
    sum += p;
    square += p * p;
  }
  sums[local] = sum;
  squares[local] = square;
  workgroupBarrier();
  for (var half = WORKGROUP / 2u; half > 0u; half >>= 1u) {
    if (local < half) {
      sums[local] += sums[local + half];
      squares[local] += squares[local + half];
    }
    workgroupBarrier();
  }
  if (local == 0u && begin < end) {
    let n = end - begin;
    let pivot = (sums[0] + vec3<u32>(n / 2u)) / n;
    let shifted = vec3<f32>(vec3<i32>(sums[0]) - vec3<i32>(pivot * n)); // Σ(p − pivot), |…| ≤ n/2
    let about_pivot = vec3<f32>(squares[0] - 2u * pivot * sums[0] + n * pivot * pivot);
    let count = f32(n);
    let m2 = max(about_pivot - shifted * shifted / count, vec3<f32>(0.0));
    partials[block * 2u] = vec4<f32>(vec3<f32>(pivot) + shifted / count, count);
    partials[block * 2u + 1u] = vec4<f32>(m2, 0.0);
  }
}
