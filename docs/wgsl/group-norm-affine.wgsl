// groupNormAffine: scale and shift of 32 groups of 320 channels. Storage f16; 32 × 1 × 1 workgroups.
const LANES: u32 = 256u;
alias Quad = vec4<f32>;
fn unpack(q: Quad) -> vec4<f32> { return q; }
fn pack(v: vec4<f32>) -> Quad { return v; }
@group(0) @binding(0) var<storage, read> stats0: array<f32>;
@group(0) @binding(1) var<storage, read> stats1: array<f32>;
@group(0) @binding(2) var<storage, read> gamma: array<f32>;
@group(0) @binding(3) var<storage, read> beta: array<f32>;
@group(0) @binding(4) var<storage, read_write> affine: array<f32>;
struct Params { batch: u32, groups: u32, group_channels: u32, quads: u32, pixels: u32, eps: f32, beta_first: u32, channels_0: u32, quads_0: u32, splits_0: u32, run_0: u32, first_0: u32, strip_pixels_0: u32, longer_strips_0: u32, tile_columns_0: u32, map_tiles_0: u32, map_height_0: u32, map_width_0: u32, tile_height_0: u32, tile_width_0: u32, channels_1: u32, quads_1: u32, splits_1: u32, run_1: u32, first_1: u32, strip_pixels_1: u32, longer_strips_1: u32, tile_columns_1: u32, map_tiles_1: u32, map_height_1: u32, map_width_1: u32, tile_height_1: u32, tile_width_1: u32 }
@group(0) @binding(5) var<uniform> params: Params;
fn flat_group(id: vec3<u32>, counts: vec3<u32>) -> u32 {
  return id.x + id.y * counts.x;
}

fn split_pixels_0(split: u32) -> f32 {
  if (params.tile_columns_0 == 0u) {
    return f32(params.strip_pixels_0 + select(0u, 1u, split < params.longer_strips_0));
  }
  let tile = split % params.map_tiles_0;
  let x = (tile % params.tile_columns_0) * params.tile_width_0;
  let y = (tile / params.tile_columns_0) * params.tile_height_0;
  return f32(min(params.tile_width_0, params.map_width_0 - x)
    * min(params.tile_height_0, params.map_height_0 - y));
}

fn stats_index_0(image: u32, split: u32, entry: u32) -> u32 {
  let lanes = 4u / params.run_0;
  return params.first_0
  + (((image * params.splits_0 + split) * params.quads_0 + entry / lanes) * 2u) * lanes + entry % lanes;
}

fn weighted_means_0(image: u32, first: u32, count: u32, lane: u32, lanes: u32, shift: f32) -> f32 {
  let run = params.run_0;
  let entries = count / run;
  var sum = 0.0;
  for (var i = lane; i < entries * params.splits_0; i += lanes) {
    let split = i / entries;
    let index = stats_index_0(image, split, first / run + i % entries);
    sum += split_pixels_0(split) * (stats0[index] - shift);
  }
  return f32(run) * sum;
}

fn spread_0(image: u32, first: u32, count: u32, lane: u32, lanes: u32, shift: f32, mean: f32) -> f32 {
  let run = params.run_0;
  let entries = count / run;
  var sum = 0.0;
  for (var i = lane; i < entries * params.splits_0; i += lanes) {
    let split = i / entries;
    let index = stats_index_0(image, split, first / run + i % entries);
    let delta = (stats0[index] - shift) - mean;
    sum += stats0[index + 4u / run] + f32(run) * split_pixels_0(split) * (delta * delta);
  }
  return sum;
}

fn split_pixels_1(split: u32) -> f32 {
  if (params.tile_columns_1 == 0u) {
    return f32(params.strip_pixels_1 + select(0u, 1u, split < params.longer_strips_1));
  }
  let tile = split % params.map_tiles_1;
  let x = (tile % params.tile_columns_1) * params.tile_width_1;
  let y = (tile / params.tile_columns_1) * params.tile_height_1;
  return f32(min(params.tile_width_1, params.map_width_1 - x)
    * min(params.tile_height_1, params.map_height_1 - y));
}

fn stats_index_1(image: u32, split: u32, entry: u32) -> u32 {
  let lanes = 4u / params.run_1;
  return params.first_1
  + (((image * params.splits_1 + split) * params.quads_1 + entry / lanes) * 2u) * lanes + entry % lanes;
}

fn weighted_means_1(image: u32, first: u32, count: u32, lane: u32, lanes: u32, shift: f32) -> f32 {
  let run = params.run_1;
  let entries = count / run;
  var sum = 0.0;
  for (var i = lane; i < entries * params.splits_1; i += lanes) {
    let split = i / entries;
    let index = stats_index_1(image, split, first / run + i % entries);
    sum += split_pixels_1(split) * (stats1[index] - shift);
  }
  return f32(run) * sum;
}

fn spread_1(image: u32, first: u32, count: u32, lane: u32, lanes: u32, shift: f32, mean: f32) -> f32 {
  let run = params.run_1;
  let entries = count / run;
  var sum = 0.0;
  for (var i = lane; i < entries * params.splits_1; i += lanes) {
    let split = i / entries;
    let index = stats_index_1(image, split, first / run + i % entries);
    let delta = (stats1[index] - shift) - mean;
    sum += stats1[index + 4u / run] + f32(run) * split_pixels_1(split) * (delta * delta);
  }
  return sum;
}

fn first_mean(image: u32, low: u32) -> f32 {
  if (low < params.channels_0) { return stats0[stats_index_0(image, 0u, low / params.run_0)]; }
  return stats1[stats_index_1(image, 0u, (low - params.channels_0) / params.run_1)];
}

fn weighted_means(image: u32, low: u32, high: u32, lane: u32, lanes: u32, shift: f32) -> f32 {
  let seam = clamp(params.channels_0, low, high);
  return weighted_means_0(image, low, seam - low, lane, lanes, shift)
  + weighted_means_1(image, max(seam, params.channels_0) - params.channels_0, high - seam, lane, lanes, shift);
}

fn spread(image: u32, low: u32, high: u32, lane: u32, lanes: u32, shift: f32, mean: f32) -> f32 {
  let seam = clamp(params.channels_0, low, high);
  return spread_0(image, low, seam - low, lane, lanes, shift, mean)
  + spread_1(image, max(seam, params.channels_0) - params.channels_0, high - seam, lane, lanes, shift, mean);
}

var<workgroup> partial: array<f32, LANES>;

fn sum_of_lanes(value: f32, lane: u32) -> f32 {
  partial[lane] = value;
  workgroupBarrier();
  for (var reach = LANES / 2u; reach > 0u; reach >>= 1u) {
    if (lane < reach) { partial[lane] += partial[lane + reach]; }
    workgroupBarrier();
  }
  let sum = partial[0];
  workgroupBarrier();
  return sum;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
  @builtin(local_invocation_index) lane: u32) {
  let flat = flat_group(id, counts);
  if (flat >= params.batch * params.groups) { return; } // the same for the whole workgroup
  let image = flat / params.groups;
  let group = flat % params.groups;
  let low = group * params.group_channels;
  let high = low + params.group_channels;

  let values = f32(params.pixels) * f32(params.group_channels);
  let shift = first_mean(image, low);
  let mean = sum_of_lanes(weighted_means(image, low, high, lane, LANES, shift), lane) / values;
  let variance = sum_of_lanes(spread(image, low, high, lane, LANES, shift, mean), lane) / values;
  let rstd = 1.0 / sqrt(variance + params.eps);

  // The last group also writes the padding: gamma and beta are 0 there.
  let end = select(high, params.quads * 4u, group + 1u == params.groups);
  let table = image * params.quads * 8u;
  for (var channel = low + lane; channel < end; channel += LANES) {
    let a = gamma[channel] * rstd;
    affine[table + channel] = a;
    affine[table + params.quads * 4u + channel] = (beta[params.beta_first + channel] - mean * a) - shift * a;
  }
}
