// color-merge: moments from 64 partials. Storage f16; 1 × 1 × 1 workgroups.
const WORKGROUP: u32 = 64u;
alias Quad = vec4<f32>;
fn unpack(q: Quad) -> vec4<f32> { return q; }
fn pack(v: vec4<f32>) -> Quad { return v; }
@group(0) @binding(0) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> stats: array<vec4<f32>>;
struct Params { blocks: u32 }
@group(0) @binding(2) var<uniform> params: Params;
fn flat_group(id: vec3<u32>, counts: vec3<u32>) -> u32 {
  return id.x + id.y * counts.x;
}

struct Moments { mean: vec3<f32>, count: f32, m2: vec3<f32> }

var<workgroup> held: array<Moments, WORKGROUP>;

fn merged(a: Moments, b: Moments) -> Moments {
  if (b.count == 0.0) { return a; }
  let count = a.count + b.count;
  let delta = b.mean - a.mean;
  return Moments(
    a.mean + delta * (b.count / count),
    count,
    a.m2 + b.m2 + delta * delta * (a.count * (b.count / count)),
  );
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32) {
  var own = Moments(vec3<f32>(0.0), 0.0, vec3<f32>(0.0));
  for (var block = local; block < params.blocks; block += WORKGROUP) {
    let first = partials[2u * block];
    own = merged(own, Moments(first.xyz, first.w, partials[2u * block + 1u].xyz));
  }
  held[local] = own;
  workgroupBarrier();
  for (var half = WORKGROUP / 2u; half > 0u; half >>= 1u) {
    if (local < half) { held[local] = merged(held[local], held[local + half]); }
    workgroupBarrier();
  }
  if (local == 0u) {
    let all = held[0];
    stats[0] = vec4<f32>(all.mean, all.count);
    stats[1] = vec4<f32>(all.m2 / max(all.count - 1.0, 1.0), 0.0);
  }
}
