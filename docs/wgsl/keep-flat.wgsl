// flatness: a chart's areas of one colour, ×4. Storage f16; 8 × 32 × 1 workgroups.
const MAP_COLUMNS: u32 = 16u;
const MAP_ROWS: u32 = 4u;
alias Quad = vec4<f32>;
fn unpack(q: Quad) -> vec4<f32> { return q; }
fn pack(v: vec4<f32>) -> Quad { return v; }
@group(0) @binding(0) var<storage, read> source: array<u32>;
@group(0) @binding(1) var<storage, read_write> flatness: array<u32>;
@group(0) @binding(2) var<storage, read_write> count: array<atomic<u32>>;
struct Params { width: i32, height: i32 }
@group(0) @binding(3) var<uniform> params: Params;
fn flat_group(id: vec3<u32>, counts: vec3<u32>) -> u32 {
  return id.x + id.y * counts.x;
}

fn map_position(group: vec3<u32>, counts: vec3<u32>, local: vec3<u32>) -> vec2<u32> {
  return vec2<u32>(group.x * MAP_COLUMNS + local.x, (group.y + group.z * counts.y) * MAP_ROWS + local.y);
}

@compute @workgroup_size(MAP_COLUMNS, MAP_ROWS)
fn main(@builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) counts: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
  let at = map_position(group, counts, local);
  if (at.x >= u32(params.width) || at.y >= u32(params.height)) { return; }
  let center = vec2<i32>(at);
  let last = vec2<i32>(params.width, params.height) - 1;
  let color = source[center.y * params.width + center.x] & 0xffffffu;
  var flat = 2u;
  for (var dy = -2; dy <= 2; dy++) {
    for (var dx = -2; dx <= 2; dx++) {
      let place = clamp(center + vec2<i32>(dx, dy), vec2<i32>(0), last);
      if ((source[place.y * params.width + place.x] & 0xffffffu) != color) {
        flat = min(flat, select(1u, 0u, max(abs(dx), abs(dy)) < 2));
      }
    }
  }
  flatness[center.y * params.width + center.x] = flat;
  if (flat > 0u) { atomicAdd(&count[0], 1u); }
}
