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
struct Params {
  batch: u32,
  groups: u32,
  group_channels: u32,
  quads: u32,
  pixels: u32,
  eps: f32,
  beta_first: u32,
  channels_0: u32,
  quads_0: u32,
  partials_0: u32,
  channels_per_entry_0: u32,
  first_0: u32,
  strip_pixels_0: u32,
  longer_strips_0: u32,
  tile_columns_0: u32,
  map_tiles_0: u32,
  map_height_0: u32,
  map_width_0: u32,
  tile_height_0: u32,
  tile_width_0: u32,
  channels_1: u32,
  quads_1: u32,
  partials_1: u32,
  channels_per_entry_1: u32,
  first_1: u32,
  strip_pixels_1: u32,
  longer_strips_1: u32,
  tile_columns_1: u32,
  map_tiles_1: u32,
  map_height_1: u32,
  map_width_1: u32,
  tile_height_1: u32,
  tile_width_1: u32,
}
@group(0) @binding(5) var<uniform> params: Params;
fn flat_group(id: vec3<u32>, counts: vec3<u32>) -> u32 {
  return id.x + id.y * counts.x;
}

fn partial_pixels_0(partial: u32) -> f32 {
  if (params.tile_columns_0 == 0u) {
    return f32(params.strip_pixels_0 + select(0u, 1u, partial < params.longer_strips_0));
  }
  let tile = partial % params.map_tiles_0;
  let x = (tile % params.tile_columns_0) * params.tile_width_0;
  let y = (tile / params.tile_columns_0) * params.tile_height_0;
  return f32(min(params.tile_width_0, params.map_width_0 - x)
    * min(params.tile_height_0, params.map_height_0 - y));
}

fn stats_index_0(image: u32, partial: u32, entry: u32) -> u32 {
  let quad_entries = 4u / params.channels_per_entry_0;
  return params.first_0
  + (((image * params.partials_0 + partial) * params.quads_0 + entry / quad_entries) * 2u) * quad_entries
  + entry % quad_entries;
}

fn weighted_means_0(image: u32, first: u32, count: u32, lane: u32, lanes: u32, shift: f32) -> f32 {
  let channels = params.channels_per_entry_0;
  let entries = count / channels;
  var sum = 0.0;
  for (var i = lane; i < entries * params.partials_0; i += lanes) {
    let partial = i / entries;
    let index = stats_index_0(image, partial, first / channels + i % entries);
    sum += partial_pixels_0(partial) * (stats0[index] - shift);
  }
  return f32(channels) * sum;
}

fn spread_0(image: u32, first: u32, count: u32, lane: u32, lanes: u32, shift: f32, mean: f32) -> f32 {
  let channels = params.channels_per_entry_0;
  let entries = count / channels;
  var sum = 0.0;
  for (var i = lane; i < entries * params.partials_0; i += lanes) {
    let partial = i / entries;
    let index = stats_index_0(image, partial, first / channels + i % entries);
    let delta = (stats0[index] - shift) - mean;
    sum += stats0[index + 4u / channels] + f32(channels) * partial_pixels_0(partial) * (delta * delta);
  }
  return sum;
}

fn partial_pixels_1(partial: u32) -> f32 {
  if (params.tile_columns_1 == 0u) {
    return f32(params.strip_pixels_1 + select(0u, 1u, partial < params.longer_strips_1));
  }
  let tile = partial % params.map_tiles_1;
  let x = (tile % params.tile_columns_1) * params.tile_width_1;
  let y = (tile / params.tile_columns_1) * params.tile_height_1;
  return f32(min(params.tile_width_1, params.map_width_1 - x)
    * min(params.tile_height_1, params.map_height_1 - y));
}

fn stats_index_1(image: u32, partial: u32, entry: u32) -> u32 {
  let quad_entries = 4u / params.channels_per_entry_1;
  return params.first_1
  + (((image * params.partials_1 + partial) * params.quads_1 + entry / quad_entries) * 2u) * quad_entries
  + entry % quad_entries;
}

fn weighted_means_1(image: u32, first: u32, count: u32, lane: u32, lanes: u32, shift: f32) -> f32 {
  let channels = params.channels_per_entry_1;
  let entries = count / channels;
  var sum = 0.0;
  for (var i = lane; i < entries * params.partials_1; i += lanes) {
    let partial = i / entries;
    let index = stats_index_1(image, partial, first / channels + i % entries);
    sum += partial_pixels_1(partial) * (stats1[index] - shift);
  }
  return f32(channels) * sum;
}

fn spread_1(image: u32, first: u32, count: u32, lane: u32, lanes: u32, shift: f32, mean: f32) -> f32 {
  let channels = params.channels_per_entry_1;
  let entries = count / channels;
  var sum = 0.0;
  for (var i = lane; i < entries * params.partials_1; i += lanes) {
    let partial = i / entries;
    let index = stats_index_1(image, partial, first / channels + i % entries);
    let delta = (stats1[index] - shift) - mean;
    sum += stats1[index + 4u / channels] + f32(channels) * partial_pixels_1(partial) * (delta * delta);
  }
  return sum;
}

fn first_mean(image: u32, low: u32) -> f32 {
  if (low < params.channels_0) { return stats0[stats_index_0(image, 0u, low / params.channels_per_entry_0)]; }
  return stats1[stats_index_1(image, 0u, (low - params.channels_0) / params.channels_per_entry_1)];
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

var<workgroup> lane_sums: array<f32, LANES>;

fn sum_of_lanes(value: f32, lane: u32) -> f32 {
  lane_sums[lane] = value;
  workgroupBarrier();
  for (var reach = LANES / 2u; reach > 0u; reach >>= 1u) {
    if (lane < reach) { lane_sums[lane] += lane_sums[lane + reach]; }
    workgroupBarrier();
  }
  let sum = lane_sums[0];
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
