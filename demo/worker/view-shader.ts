/**
 * Draws the canvas, or a tile of a layer, from a tile of each of two layers, or of two that are blended in place of one. A layer has the size of the enlarged picture or
 * another one; a smaller one, as the picture that came, is enlarged here by Catmull-Rom (the cubic of Pillow's BICUBIC) and
 * needs no memory.
 */

export const VIEW_SHADER = /* wgsl */ `
struct View {
  /** From canvas pixels (of one half, side by side) to pixels of the enlarged picture. */
  to_picture: mat3x3f,
  picture_size: vec2f,
  canvas_size: vec2f,
  /** From pixels of the enlarged picture to texels: an offset, then a factor. */
  left_place: vec4f,
  right_place: vec4f,
  /** Of the layers that are blended with these. */
  left_other_place: vec4f,
  right_other_place: vec4f,
  /** In canvas pixels. */
  divider: f32,
  /** Canvas pixels per pixel of the picture. */
  scale: f32,
  /** 0: a layer alone; 1: the other one alone. */
  left_share: f32,
  right_share: f32,
  mode: u32,
}

const SINGLE = 0u;
const SPLIT = 1u;
const SIDE = 2u;
const DIFFERENCE = 3u;

/** Differences are small; this much they are enlarged. */
const DIFFERENCE_GAIN = 4.0;
/** Canvas pixels per picture pixel from which pixels get a grid. */
const GRID_FROM = 12.0;

@group(0) @binding(0) var<uniform> view: View;
@group(0) @binding(1) var left: texture_2d<f32>;
@group(0) @binding(2) var right: texture_2d<f32>;
@group(0) @binding(3) var left_other: texture_2d<f32>;
@group(0) @binding(4) var right_other: texture_2d<f32>;
@group(0) @binding(5) var smooth_sampler: sampler;

@vertex
fn vertex_main(@builtin(vertex_index) index: u32) -> @builtin(position) vec4f {
  // One triangle that covers the canvas.
  let corner = vec2f(f32(index & 1u), f32(index >> 1u));
  return vec4f(corner * 4.0 - 1.0, 0.0, 1.0);
}

fn cubic_weights(t: f32) -> vec4f {
  let t2 = t * t;
  let t3 = t2 * t;
  return vec4f(
    -0.5 * t3 + t2 - 0.5 * t,
    1.5 * t3 - 2.5 * t2 + 1.0,
    -1.5 * t3 + 2.0 * t2 + 0.5 * t,
    0.5 * t3 - 0.5 * t2,
  );
}

fn cubic(layer: texture_2d<f32>, at: vec2f) -> vec4f {
  let size = vec2i(textureDimensions(layer));
  let first = floor(at - 0.5);
  let wx = cubic_weights(at.x - 0.5 - first.x);
  let wy = cubic_weights(at.y - 0.5 - first.y);
  var sum = vec4f(0.0);
  for (var j = 0; j < 4; j++) {
    for (var i = 0; i < 4; i++) {
      let texel = clamp(vec2i(first) + vec2i(i - 1, j - 1), vec2i(0), size - 1);
      sum += wx[i] * wy[j] * textureLoad(layer, texel, 0);
    }
  }
  return clamp(sum, vec4f(0.0), vec4f(1.0));
}

/** Mean over the square that one canvas pixel covers, footprint texels wide. */
fn mean(layer: texture_2d<f32>, texel: vec2f, footprint: f32) -> vec4f {
  let size = vec2f(textureDimensions(layer));
  // A bilinear sample covers two texels each way.
  let taps = clamp(i32(ceil(footprint * 0.5)), 1, 8);
  var sum = vec4f(0.0);
  for (var j = 0; j < taps; j++) {
    for (var i = 0; i < taps; i++) {
      let offset = (vec2f(f32(i), f32(j)) + 0.5) / f32(taps) - 0.5;
      sum += textureSampleLevel(layer, smooth_sampler, (texel + offset * footprint) / size, 0.0);
    }
  }
  return sum / f32(taps * taps);
}

/** Colour of a layer at a place of the enlarged picture. */
fn layer_color(layer: texture_2d<f32>, place: vec4f, at: vec2f) -> vec4f {
  let size = vec2f(textureDimensions(layer));
  let texels = place.z;
  let texel = at * place.zw + place.xy;
  let footprint = texels / view.scale;
  if (footprint > 1.0) { return mean(layer, texel, footprint); }
  if (texels < 0.99) {
    // The pixels of the enlarged picture are seen once they are larger than the canvas's.
    let pixel = select(at, floor(at) + 0.5, view.scale >= 2.0);
    return cubic(layer, pixel * place.zw + place.xy);
  }
  // Square pixels with edges one canvas pixel wide, at any scale.
  let pixel = floor(texel) + 0.5;
  let inner = 0.5 - 0.5 * footprint;
  let edge = texel - pixel;
  let sharp = pixel + sign(edge) * max(abs(edge) - inner, vec2f(0.0)) / footprint;
  return textureSampleLevel(layer, smooth_sampler, sharp / size, 0.0);
}

fn left_color(at: vec2f) -> vec4f {
  let color = layer_color(left, view.left_place, at);
  if (view.left_share == 0.0) { return color; }
  return mix(color, layer_color(left_other, view.left_other_place, at), view.left_share);
}

fn right_color(at: vec2f) -> vec4f {
  let color = layer_color(right, view.right_place, at);
  if (view.right_share == 0.0) { return color; }
  return mix(color, layer_color(right_other, view.right_other_place, at), view.right_share);
}

/** The left layer as it is, alpha included, enlarged to the picture's size. */
@fragment
fn enlarge_main(@builtin(position) position: vec4f) -> @location(0) vec4f {
  let at = (view.to_picture * vec3f(position.xy, 1.0)).xy;
  let color = cubic(left, at * view.left_place.zw + view.left_place.xy);
  if (view.left_share == 0.0) { return color; }
  let other = cubic(left_other, at * view.left_other_place.zw + view.left_other_place.xy);
  return mix(color, other, view.left_share);
}

@fragment
fn fragment_main(@builtin(position) position: vec4f) -> @location(0) vec4f {
  var at_canvas = position.xy;
  var is_right = view.mode == SPLIT && at_canvas.x >= view.divider;
  if (view.mode == SIDE) {
    let half = view.canvas_size.x * 0.5;
    is_right = at_canvas.x >= half;
    if (is_right) { at_canvas.x -= half; }
  }
  let at = (view.to_picture * vec3f(at_canvas, 1.0)).xy;
  if (any(at < vec2f(0.0)) || any(at >= view.picture_size)) {
    return vec4f(0.0); // the page's own background shows
  }
  var color: vec4f;
  if (view.mode == DIFFERENCE) {
    let difference = abs(left_color(at).rgb - right_color(at).rgb);
    color = vec4f(difference * DIFFERENCE_GAIN, 1.0);
  } else if (is_right) {
    color = right_color(at);
  } else {
    color = left_color(at);
  }
  let checks = floor(position.xy / 8.0);
  let check = select(0.75, 0.9, (checks.x + checks.y) % 2.0 == 0.0);
  var rgb = mix(vec3f(check), color.rgb, color.a);
  if (view.scale >= GRID_FROM) {
    let line = any(fract(at) * view.scale < vec2f(1.0));
    let luma = dot(rgb, vec3f(0.3, 0.6, 0.1));
    rgb = mix(rgb, vec3f(select(1.0, 0.0, luma > 0.5)), select(0.0, 0.16, line));
  }
  return vec4f(rgb, 1.0);
}
`;
