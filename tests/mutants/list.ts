/**
 * Single changes of numbers in `src`, each with the narrowest tests that should notice. `npm run mutants` applies one at
 * a time to a copy of the repository; docs/mutants.md has the outcome. `before` is found once in its file.
 */

/** One change. */
export interface Mutant {
  /** Path below `src`. */
  readonly file: string;
  readonly before: string;
  readonly after: string;
  /** Below `tests`; behind " > " a pattern of test names. */
  readonly tests: readonly string[];
  /** Why no test can notice: the change makes no difference to any result. */
  readonly equivalent?: string;
}

type Row = readonly [before: string, after: string, equivalent?: string];

/** Changes of one file with the same tests. */
function changes(file: string, tests: readonly string[], rows: readonly Row[]): readonly Mutant[] {
  return rows.map(([before, after, equivalent]) => ({
    file,
    before,
    after,
    tests,
    ...(equivalent !== undefined && { equivalent }),
  }));
}

const golden = (file: string): string => `verify/goldens.gpu.test.ts > f32.*${file}`;

const KERNELS: readonly Mutant[] = [
  ...changes(
    "kernels/norm/merge-stats.ts",
    ["kernels/norm/merge-stats.gpu.test.ts"],
    [
      ["+ partial_pixels(s) * (delta * delta)", "+ (delta * delta)"],
      ["(partials[at] - shift) - mean", "partials[at] - mean"],
    ],
  ),
  ...changes(
    "kernels/norm/layer-norm.ts",
    ["kernels/norm/layer-norm.gpu.test.ts"],
    [
      ["sqrt(rest.y + params.eps)", "sqrt(rest.y)"],
      ["return vec2<f32>(rest.x,", "return vec2<f32>(0.0,"],
    ],
  ),
  ...changes(
    "kernels/norm/group-norm-affine.ts",
    ["kernels/norm/group-norm.gpu.test.ts"],
    [
      ["sqrt(variance + params.eps)", "sqrt(variance) + params.eps"],
      ["- mean * a) - shift * a", "- mean * a)"],
    ],
  ),
  ...changes(
    "kernels/norm/group-sums.ts",
    ["kernels/norm/group-norm.gpu.test.ts"],
    [
      [
        "f32(channels) * partial_pixels_$k(partial) * (delta * delta)",
        "partial_pixels_$k(partial) * (delta * delta)",
      ],
    ],
  ),
  ...changes(
    "kernels/norm/channel-stats.ts",
    ["kernels/norm/channel-stats.gpu.test.ts"],
    [
      ["4.0 / f32(seen + 4u)", "4.0 / f32(seen + 3u)"],
      ["partial < params.longer_strips);", "partial <= params.longer_strips);"],
    ],
  ),
  ...changes(
    "kernels/norm/affine-activation.ts",
    ["kernels/norm/affine-activation.gpu.test.ts"],
    [["min(first + STRIP_PIXELS, params.pixels)", "min(first + STRIP_PIXELS, params.pixels - 1u)"]],
  ),
  ...changes(
    "kernels/norm/channel-mean.ts",
    ["kernels/norm/channel-mean.gpu.test.ts"],
    [["s < params.partials", "s + 1u < params.partials"]],
  ),
  ...changes(
    "kernels/pointwise/activation.ts",
    [golden("ops_linear_act")],
    [
      ["exp(min(-x, vec4<f32>(80.0)))", "exp(min(-x, vec4<f32>(8.0)))"],
      ["-1.702 * x", "-1.7 * x"],
      ["0.254829592", "0.25482"],
      ["0.3275911", "0.3275"],
      ["vec4<f32>(9.0)", "vec4<f32>(2.0)"],
    ],
  ),
  ...changes(
    "kernels/pointwise/geglu.ts",
    ["kernels/pointwise/geglu.gpu.test.ts"],
    [["c + lane < params.channels", "c + lane <= params.channels"]],
  ),
  ...changes(
    "kernels/contraction/epilogue.ts",
    ["kernels/contraction/linear.gpu.test.ts > silu|quick_gelu"],
    [
      ["quick_gelu: 1.702", "quick_gelu: 1.7"],
      ["${values}(80.0)", "${values}(8.0)"],
    ],
  ),
  ...changes(
    "kernels/contraction/pack-weight.ts",
    ["kernels/contraction/pack-weight.gpu.test.ts"],
    [
      ["bits + 0xfffu + ((bits >> 13u) & 1u)", "bits + 0x1000u"],
      ["abs(v) < 0.00006103515625", "abs(v) < 0.000030517578125"],
      ["clamp(value, -65504.0, 65504.0)", "clamp(value, -65536.0, 65536.0)"],
      ["ky <= u + max(u, py)", "ky < u + max(u, py)"],
    ],
  ),
  ...changes(
    "kernels/contraction/modulate-lora.ts",
    ["kernels/contraction/modulate-lora.gpu.test.ts"],
    [["p.block * paddedChannels(p.rank * p.rank)", "p.block * p.rank * p.rank"]],
  ),
  ...changes(
    "kernels/contraction/winograd-wgsl.ts",
    ["kernels/contraction/winograd.gpu.test.ts > stripes"],
    [
      ["A2 * odd_a + B2 * odd_b + m5", "A2 * odd_a + B2 * odd_b"],
      ["(ix < params.in_width)", "(ix <= params.in_width)"],
    ],
  ),
  ...changes(
    "kernels/contraction/conv2d-wgsl.ts",
    [golden("ops_conv")],
    [
      ["is_line & (ix >= 0)", "is_line & (ix > 0)"],
      [
        "let is_line = iy >= 0 && iy < params.in_height",
        "let is_line = iy >= 0 && iy <= params.in_height",
      ],
    ],
  ),
  ...changes(
    "kernels/contraction/merged-norm.ts",
    ["kernels/contraction/merged-norm.gpu.test.ts"],
    [["sqrt(variance + params.eps)", "sqrt(variance)"]],
  ),
  ...changes(
    "kernels/contraction/layer-norm-on-load.ts",
    ["kernels/contraction/layer-norm-on-load.gpu.test.ts"],
    [
      [" + params.eps));", "));"],
      ["partial.y + f32(TILE_COLUMNS) *", "partial.y +"],
    ],
  ),
  ...changes(
    "kernels/contraction/tile-statistics-wgsl.ts",
    ["kernels/contraction/tile-statistics.gpu.test.ts"],
    [["m2.xz + m2.yw + 2.0 * values", "m2.xz + m2.yw + values"]],
  ),
  ...changes(
    "kernels/attention/attention-tile.ts",
    ["kernels/attention/attention.gpu.test.ts > tile.*k=7"],
    [
      ["-3.0e38", "-30.0"],
      ["tx < params.key_tokens", "tx <= params.key_tokens"],
    ],
  ),
  ...changes(
    "kernels/attention/attention-thread.ts",
    ["kernels/attention/attention.gpu.test.ts > thread.*k=7"],
    [
      ["(BK - 1u) > last_key", "BK > last_key", "the mask is also made where it masks nothing"],
      ["-3.0e38", "-30.0"],
      ["FOUR <= vec4<u32>(last_key)", "FOUR < vec4<u32>(last_key)"],
    ],
  ),
  ...changes(
    "kernels/attention/attention.ts",
    [golden("ops_attention")],
    [["problem.scale * Math.LOG2E", "problem.scale * 1.4427"]],
  ),
];

const IMAGES: readonly Mutant[] = [
  ...changes(
    "kernels/image/tensor-to-image.ts",
    ["kernels/image/image-tensor.gpu.test.ts"],
    [
      ["floor(255.0 * v", "floor(255.01 * v"],
      ["vec4<f32>(params.bias)", "vec4<f32>(0.99 * params.bias)"],
    ],
  ),
  ...changes(
    "kernels/image/color-fix.ts",
    ["kernels/image/color-fix.gpu.test.ts"],
    [
      ["VARIANCE_EPS = 1e-5 * 255 * 255", "VARIANCE_EPS = 1e-6 * 255 * 255"],
      [
        "var sum = vec3<i32>(8)",
        "var sum = vec3<i32>(7)",
        "moves a ninth binary digit behind a level's twelfth: of 400,000 random pictures no level changed",
      ],
      ['rounding === "nearest" ? ONE / 2 : 0', 'rounding === "nearest" ? ONE / 2 - 1 : 0'],
    ],
  ),
  ...changes(
    "kernels/image/color-moments.ts",
    ["kernels/image/color-fix.gpu.test.ts"],
    [
      ["max(all.count - 1.0, 1.0)", "all.count"],
      [
        "delta * delta * (a.count * (b.count / count))",
        "delta * delta * (b.count * (b.count / count))",
      ],
    ],
  ),
  ...changes(
    "kernels/image/keep-flat.ts",
    ["kernels/image/keep-flat.gpu.test.ts"],
    [
      ["count[0] < params.least", "count[0] <= params.least"],
      ["(old.xyz + color.xyz + 1) / 2", "(old.xyz + color.xyz) / 2"],
    ],
  ),
  ...changes(
    "kernels/image/resample-weights.ts",
    ["kernels/image/resample-weights.test.ts"],
    [
      ["const a = -0.5;", "const a = -0.75;"],
      ["(w < 0 ? -0.5 : 0.5)", "0.5"],
      ["Math.trunc(centre + reach + 0.5)", "Math.trunc(centre + reach)"],
      ["x >= -3 && x < 3", "x >= -2 && x < 2"],
      ["period - (i % period)", "period - 1 - (i % period)"],
    ],
  ),
  ...changes(
    "kernels/image/resize-u8.ts",
    ["kernels/image/resize-u8.gpu.test.ts"],
    [["vec4<i32>(i32(HALF))", "vec4<i32>(i32(HALF) - 1)"]],
  ),
  ...changes(
    "kernels/image/resize-f32.ts",
    ["kernels/image/resize-f32.gpu.test.ts"],
    [["(2.0 / 255.0)", "(2.0 / 256.0)"]],
  ),
  ...changes(
    "kernels/image/pad-edges.ts",
    ["kernels/image/pad-edges.gpu.test.ts"],
    [
      [
        "vec2<i32>(params.src_width, params.src_height) - 1)",
        "vec2<i32>(params.src_width, params.src_height))",
      ],
    ],
  ),
  ...changes(
    "kernels/image/hidden-colors.ts",
    ["kernels/image/hidden-colors.gpu.test.ts"],
    [
      ["0.5625", "0.5"],
      ["vec3<i32>(round(coarse_color(at)))", "vec3<i32>(coarse_color(at))"],
    ],
  ),
  ...changes(
    "kernels/image/tile-blend.ts",
    ["kernels/image/tile-blend.gpu.test.ts"],
    [["+ column] += weight", "+ column] = weight"]],
  ),
  ...changes(
    "rcod/images/host-pixels.ts",
    ["rcod/images/host-pixels.gpu.test.ts"],
    [["Math.round((r + g + b) / 3)", "Math.floor((r + g + b) / 3)"]],
  ),
  ...changes(
    "rcod/images/realism-mask.ts",
    ["rcod/images/realism-mask.test.ts"],
    [
      ["from >= maskSize", "from > maskSize"],
      ["if (to <= 0)", "if (to < 0)"],
    ],
  ),
  ...changes(
    "gpu/shape.ts",
    ["rcod/images/realism-mask.test.ts"],
    [["&& size >= 1", "&& size > 1"]],
  ),
  ...changes(
    "rcod/images/geometry.ts",
    ["rcod/images/geometry.test.ts"],
    [
      ["width < minSide || height < minSide", "width <= minSide || height < minSide"],
      ["height < minSide;", "height <= minSide;"],
      ["Math.floor((to - width) / 2)", "Math.ceil((to - width) / 2)"],
      ["value > MAX_SIDE", "value >= MAX_SIDE"],
      ["workWidth * workHeight > most", "workWidth * workHeight >= most"],
    ],
  ),
  ...changes(
    "rcod/deep/float-map.ts",
    ["rcod/deep/float-map.test.ts"],
    [
      ["VARIANCE_EPS = 1e-5", "VARIANCE_EPS = 1e-6"],
      ["Math.max(pixels - 1, 1)", "pixels"],
      ["size - 1 - position", "size - 2 - position"],
    ],
  ),
];

const NETWORKS: readonly Mutant[] = [
  ...changes(
    "rcod/networks/transformer.ts",
    ["rcod/networks/blocks.gpu.test.ts", golden("blocks_transformer")],
    [
      ["const NORM_EPS = 1e-6", "const NORM_EPS = 1e-5"],
      ["LAYER_NORM_EPS = 1e-5", "LAYER_NORM_EPS = 1e-6"],
      ["(channels / numHeads) ** -0.5", "(channels / numHeads) ** -0.4999"],
    ],
  ),
  ...changes(
    "rcod/networks/vae.ts",
    ["rcod/networks/blocks.gpu.test.ts", golden("tiny_vae_b")],
    [
      ["const EPS = 1e-6", "const EPS = 1e-5"],
      ["[0, 1, 0, 1]", "[1, 0, 1, 0]"],
    ],
  ),
  ...changes(
    "rcod/networks/clip-vision.ts",
    [golden("blocks_clip")],
    [['w.at("layer_norm1"), layerNormEps', 'w.at("layer_norm1"), 10 * layerNormEps']],
  ),
  ...changes(
    "rcod/networks/graphs.ts",
    ["rcod/networks/graphs.gpu.test.ts"],
    [
      ["[-30, 20]", "[-30, 30]"],
      ["[-30, 20]", "[-20, 20]"],
      ["Math.sqrt(1 - alpha)", "Math.sqrt(1.001 - alpha)"],
    ],
  ),
  ...changes(
    "rcod/networks/unet.ts",
    [golden("ops_resize_time")],
    [
      ["-Math.log(10000)", "-Math.log(9999)"],
      ["half - config.freqShift", "half - 1"],
    ],
  ),
  ...changes(
    "rcod/networks/mem.ts",
    ["rcod/networks/mem.gpu.test.ts"],
    [["Math.max(0, sum / map.length)", "sum / map.length"]],
  ),
  ...changes(
    "rcod/networks/de-resnet.ts",
    [golden("rcod_s")],
    [
      ["FULL_BLOCKS = 6", "FULL_BLOCKS = 5"],
      ["1 + Math.exp(-logit)", "1 + Math.exp(-0.9999 * logit)"],
    ],
  ),
  ...changes(
    "rcod/networks/modulation.ts",
    ["rcod/networks/modulation.test.ts", golden("rcod_s")],
    [
      ["2 * Math.PI * degree", "6.283 * degree"],
      ["levels + 1 + Number(index)", "levels + Number(index)"],
    ],
  ),
];

const STAGES: readonly Mutant[] = [
  ...changes(
    "rcod/stages/posterior.ts",
    ["rcod/stages/posterior.test.ts"],
    [
      ["Math.exp(0.5 * (logvar[i] as number))", "Math.exp(logvar[i] as number)"],
      [">>> 0) + 0.5) / 4294967296", ">>> 0) + 0) / 4294967296"],
      ["2 * Math.PI * uniform()", "Math.PI * uniform()"],
      ["t = Math.imul(t ^ (t >>> 15), t | 1)", "t = Math.imul(t ^ (t >>> 14), t | 1)"],
    ],
  ),
  ...changes(
    "rcod/stages/timestep-choice.ts",
    ["rcod/stages/timestep-choice.test.ts"],
    [
      ["realism >= 0 && realism <= 1", "realism > 0 && realism < 1"],
      ["timestep <= LAST_TIMESTEP", "timestep < LAST_TIMESTEP"],
    ],
  ),
  ...changes(
    "rcod/settings/realism-table.ts",
    ["rcod/settings/realism-table.test.ts"],
    [
      ["Math.floor(place), table.length - 2", "Math.floor(place), table.length - 1"],
      ["return from + (to - from)", "return from + 1 + (to - from)"],
      ["i > 0 && timestep <= entry", "timestep <= entry"],
      ["(index + (timestep - from)", "(index + 1 + (timestep - from)"],
    ],
  ),
  ...changes(
    "rcod/settings/latent-groups.ts",
    ["rcod/settings/latent-groups.test.ts"],
    [
      [
        "Math.fround(metric) >= Math.fround(threshold)",
        "Math.fround(metric) > Math.fround(threshold)",
      ],
      ["Math.fround(metric) >= Math.fround(threshold)", "metric >= threshold"],
      ["Math.max(Math.sqrt(aa), 1e-8)", "Math.max(Math.sqrt(aa), 1e-7)"],
    ],
  ),
  ...changes(
    "rcod/tiles/tiling.ts",
    ["rcod/tiles/tiling.test.ts"],
    [
      ["width * height <= tile * tile", "width * height < tile * tile"],
      ["LEAST_STRIDE = 8", "LEAST_STRIDE = 7"],
      ["TILE_VARIANCE = 0.01", "TILE_VARIANCE = 0.011"],
    ],
  ),
  ...changes(
    "rcod/tiles/vae-tiles.ts",
    ["rcod/tiles/tiling.test.ts", "rcod/tiles/tiled-vae.gpu.test.ts"],
    [
      ["(isLast ? 0 : 2)", "(isLast ? 0 : 1)"],
      ["from > pad ? from : 0", "from >= pad ? from : 0"],
    ],
  ),
  ...changes(
    "rcod/tiles/segments.ts",
    ["rcod/tiles/whole-fit.test.ts", "rcod/tiles/tiled-vae.gpu.test.ts"],
    [
      ["reach + Math.ceil(size / 2) :", "reach :"],
      ["op.stride * reach + size", "op.stride * reach"],
      ["firstStep < cut && lastStep > cut", "firstStep < cut && lastStep > cut + 1"],
    ],
  ),
  ...changes(
    "rcod/tiles/tiled-norm.ts",
    [golden("tiling")],
    [["(at(place) - tileMean) ** 2", "0 * (at(place) - tileMean) ** 2"]],
  ),
  ...changes(
    "rcod/tiles/vae-tile-choice.ts",
    ["rcod/tiles/vae-tile-choice.test.ts"],
    [
      ["> side ? toInput(side)", ">= side ? toInput(side)"],
      ["bytes <= budgetOf(caps)", "bytes <= 2 * budgetOf(caps)"],
    ],
  ),
  ...changes(
    "rcod/tiles/region-plan.ts",
    ["rcod/tiles/region-plan.test.ts"],
    [
      ["Math.ceil((readFrom + MARGIN) * scale)", "Math.ceil(readFrom * scale)"],
      ["(count - 1) * OVERLAP) / count", "count * OVERLAP) / count / 2"],
      ["from: next.from, to, region", "from: next.from, to: to - 1, region"],
    ],
  ),
  ...changes(
    "rcod/tiles/region-blend.ts",
    ["rcod/tiles/region-plan.test.ts"],
    [
      ["t * t * (3 - 2 * t)", "(t < 0.5 ? 0 : 1)"],
      ["Math.round(sums[i] as number)", "Math.floor(sums[i] as number)"],
      ["--waiting.missing > 0", "--waiting.missing > 1"],
    ],
  ),
  ...changes(
    "rcod/images/survey.ts",
    ["rcod/images/survey.test.ts"],
    [
      ["2 * this.#flat >= this.#width", "2 * this.#flat > this.#width"],
      ["row[x * channels + alphaAt] === 0", "row[x * channels + alphaAt] === 255"],
      ["this.#flat++", "this.#flat += 2"],
    ],
  ),
  ...changes(
    "rcod/tiles/latent-blend.ts",
    ["rcod/images/realism-mask.gpu.test.ts > a mask"],
    [["weight > 0)", "weight >= 0)"]],
  ),
];

const GRAPH: readonly Mutant[] = [
  ...changes(
    "graph/memory-plan.ts",
    ["graph/memory-plan.test.ts"],
    [
      ["b.firstStep <= a.lastStep", "b.firstStep < a.lastStep"],
      ["get(lastStep + 1) ?? 0", "get(lastStep) ?? 0"],
    ],
  ),
  ...changes(
    "graph/passes/fold-upsample.ts",
    ["graph/passes/passes.test.ts", "graph/passes/passes.gpu.test.ts"],
    [
      [
        "outHeight !== 2 * height || outWidth !== 2 * width",
        "outHeight !== 2 * height && outWidth !== 2 * width",
      ],
    ],
  ),
  ...changes(
    "graph/passes/fuse-pairs.ts",
    ["graph/passes/passes.test.ts", "graph/passes/passes.gpu.test.ts"],
    [["counts.get(input.id) !== 1", "(counts.get(input.id) ?? 0) > 2"]],
  ),
  ...changes(
    "graph/passes/fold-shortcut.ts",
    ["graph/passes/fold-shortcut.test.ts"],
    [["op.scaleA !== 1 || op.scaleB !== 1", "op.scaleA !== 1"]],
  ),
  ...changes(
    "graph/passes/stack-projections.ts",
    ["graph/passes/stack-projections.test.ts"],
    [["<= MAX_BYTES)", "<= 2 * MAX_BYTES)"]],
  ),
  ...changes(
    "graph/lowering/lower-statistics.ts",
    ["graph/passes/passes.gpu.test.ts", "verify/gpu-plan.gpu.test.ts"],
    [["groupChannels % channels === 0", "groupChannels >= channels - 1"]],
  ),
  ...changes(
    "graph/lowering/lower-group-norm.ts",
    ["verify/gpu-plan.gpu.test.ts", golden("ops_norm")],
    [["numGroups: op.numGroups, eps: op.eps", "numGroups: op.numGroups, eps: 10 * op.eps"]],
  ),
  ...changes(
    "graph/pack-activation.ts",
    ["graph/pack-activation.test.ts"],
    [["Math.min(Math.max(value, -F16_MAX), F16_MAX)", "value"]],
  ),
];

const WEIGHTS: readonly Mutant[] = [
  ...changes(
    "gpu/dtype.ts",
    ["gpu/dtype.test.ts"],
    [
      ["magnitude + 0xfff + ((magnitude >>> 13) & 1)", "magnitude + 0x1000"],
      ["magnitude >= 0x47800000", "magnitude >= 0x47900000"],
      ["magnitude < 0x38800000", "magnitude < 0x38000000"],
      ["fraction * 2 ** -24", "fraction * 2 ** -25"],
    ],
  ),
  ...changes(
    "gpu/wgsl.ts",
    ["kernels/pointwise/elementwise.gpu.test.ts", "gpu/wgsl.test.ts"],
    [
      ["vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)))", "vec4<f16>(v)"],
      ["Math.ceil(count / limit)", "Math.floor(count / limit)"],
    ],
  ),
  ...changes(
    "weights/safetensors.ts",
    ["weights/safetensors.test.ts"],
    [
      ["begin !== position", "begin > position"],
      ["end - begin !== byteLength", "end - begin < byteLength"],
      ["headerLength > BigInt(MAX_HEADER_BYTES)", "headerLength >= BigInt(MAX_HEADER_BYTES)"],
    ],
  ),
  ...changes(
    "weights/torch/torch-tensor.ts",
    ["weights/torch/torch-file.test.ts"],
    [
      ["last >= elementCount", "last > elementCount"],
      ["high - low + 1", "high - low"],
    ],
  ),
  ...changes(
    "weights/check.ts",
    ["weights/check.test.ts"],
    [["shape[2] === 1 && shape[3] === 1", "shape[2] === 1"]],
  ),
  ...changes(
    "weights/convert.ts",
    ["weights/convert.test.ts"],
    [["bytes.byteOffset % elementLength === 0", "bytes.byteOffset % 2 === 0"]],
  ),
];

export const MUTANTS: readonly Mutant[] = [
  ...KERNELS,
  ...IMAGES,
  ...NETWORKS,
  ...STAGES,
  ...GRAPH,
  ...WEIGHTS,
];
