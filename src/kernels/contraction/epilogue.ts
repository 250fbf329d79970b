/**
 * What happens to a sum of conv2d or linear before it is stored:
 *
 *   plain:  y = activate(sum + bias[c] + channelAdd[n, c]) + residual[row, c]
 *   geglu:  y = (value + bias_v) · gelu(gate + bias_g)
 *
 * `row` is the flattened output pixel or token, `nq` the quad of output channels. For GEGLU the columns of the weight are
 * interleaved when it is packed (quads: value, gate, value, gate, …), so that one invocation holds both halves. `bias`, f32,
 * is always bound; a layer without a bias binds zeros.
 *
 * Uniforms say which of the terms there are, and which activation other than GELU. The text of the shader is the same for
 * all of them: a branch at the end of a long sum costs almost nothing, and a software adapter takes up to a second to
 * compile another pipeline.
 */
import { ShapeError, quadCount } from "../../gpu/shape.ts";
import type { Operand, Param } from "../../gpu/wgsl.ts";
import { f32, optional, reads, u32, writes } from "../kernel.ts";
import type { ChannelsPerEntry } from "../norm/channel-stats.ts";
import type { Activation } from "../pointwise/activation.ts";
import { activationWgsl } from "../pointwise/activation.ts";
import { weightOperand } from "../quantized/integer-loads.ts";
import type { WeightStorage } from "../quantized/storage.ts";
import type { TileStatistics } from "./gemm-tiled.ts";
import type { LoadedInput } from "./loads.ts";
import { inputNormOperands } from "./loads.ts";

/** What happens to a finished sum of conv2d or linear before it is stored. */
export interface Epilogue {
  /** Adds operand `channel_add` [batch, outChannels], stored as activations are: the time embedding. */
  readonly channelAdd: boolean;
  /** The first channel, a multiple of 4, and the channels of a row, where rows of `channel_add` are wider. Null: they are not. */
  readonly channelAddWindow: readonly [offset: number, channels: number] | null;
  /** Whether `channel_add` has one row, which is added to all images. */
  readonly channelAddShared: boolean;
  /** Adds operand `residual`, shaped like the output, after the activation. */
  readonly residual: boolean;
  /** Applied before the residual is added. */
  readonly activation: Activation;
  /** Also writes statistics of what it stores, for a norm of channels or of rows: see `tile-statistics.ts`. */
  readonly statistics: TileStatistics;
  /** Channels of an entry of statistics of channels. Divides every group of the norms that read them. */
  readonly channelsPerEntry: ChannelsPerEntry;
  /** Where statistics of channels begin in operand `stats`, in f32; a multiple of 8. */
  readonly statisticsFirst: number;
  /** Stores value · gelu(gate), half the columns. Excludes all other fields. */
  readonly geglu: boolean;
}

/** Which optional operands a shader declares. Without one it serves no problem that has it. */
export interface EpilogueShape {
  readonly channelAdd: boolean;
  readonly residual: boolean;
}

/** Storage buffers that every WebGPU device binds to a shader. */
export const MAX_BINDINGS = 8;

/**
 * All operands of a contraction in binding order, and which of them are the epilogue's. A shader declares the epilogue's
 * operands even if its problem lacks them, so that it serves other problems too. It declares only what the problem has
 * where bindings are scarce, and no residual beside a shortcut, which takes its place.
 */
export function contractionOperands(
  problem: LoadedInput & { readonly weightStorage: WeightStorage; readonly epilogue: Epilogue },
  shortcuts: number,
  rowNorm: readonly Operand[],
): { readonly operands: readonly Operand[]; readonly shape: EpilogueShape } {
  const { inChannels, weightStorage, inputNorm, mergedNorm } = problem;
  const { channelAdd, residual, statistics, geglu } = problem.epilogue;
  const before = [
    ...inChannels.map((_, source) => reads(`x${source}`)),
    weightOperand(weightStorage),
    reads("bias", "vec4<f32>"),
  ];
  const after = [
    ...Array.from({ length: shortcuts }, (_, source) => reads(`shortcut${source}`)),
    ...inputNormOperands(inputNorm),
    ...rowNorm,
    writes("y"),
    // What is written and what is merged on load share `stats`.
    ...(statistics === "channels" ? [writes("stats", "f32")] : []),
    ...(statistics !== "channels" && mergedNorm !== null ? [reads("stats", "f32")] : []),
    ...(statistics === "rows" ? [writes("row_stats_out", "vec2<f32>")] : []),
  ];
  const isScarce = before.length + after.length + (shortcuts > 0 ? 1 : 2) > MAX_BINDINGS;
  const shape = {
    channelAdd: !geglu && (channelAdd || !isScarce),
    residual: !geglu && shortcuts === 0 && (residual || !isScarce),
  };
  const own = [
    ...(shape.channelAdd ? [optional("channel_add", channelAdd, "bias")] : []),
    ...(shape.residual ? [optional("residual", residual, "bias")] : []),
  ];
  return { operands: [...before, ...own, ...after], shape };
}

/** x·sigmoid(s·x): the s of each activation that has this form. */
const SIGMOID_SCALES: Partial<Record<Activation, number>> = { silu: 1, quick_gelu: 1.702 };

/** Uniforms that `epilogueWgsl` reads. A shader that takes channels one by one counts them where others count quads. */
export function epilogueParams(
  epilogue: Epilogue,
  outChannels: number,
  quadChannels: 1 | 4 = 4,
): Param[] {
  const { channelAdd, channelAddWindow, channelAddShared, residual } = epilogue;
  const { activation, channelsPerEntry, statisticsFirst } = epilogue;
  const [offset, channels] = channelAddWindow ?? [0, outChannels];
  return [
    u32("has_channel_add", channelAdd ? 1 : 0),
    u32("channel_add_first", offset / quadChannels),
    u32("channel_add_quads", channelAddShared ? 0 : (quadCount(channels) * 4) / quadChannels),
    u32("has_residual", residual ? 1 : 0),
    u32("has_relu", activation === "relu" ? 1 : 0),
    u32("has_sigmoid", activation in SIGMOID_SCALES ? 1 : 0),
    f32("sigmoid_scale", SIGMOID_SCALES[activation] ?? 0),
    u32("channels_per_entry", channelsPerEntry),
    u32("stats_first", statisticsFirst),
  ];
}

/**
 * Throws `ShapeError` for more operands than every device binds, and for a window that is not whole quads of its row: the
 * padding of the output must find zeros.
 */
export function checkEpilogue(
  name: string,
  { channelAddWindow }: Epilogue,
  outChannels: number,
  operands: readonly Operand[],
): void {
  if (operands.length > MAX_BINDINGS) {
    throw new ShapeError(
      `${name}: takes at most ${MAX_BINDINGS} operands, got ${operands.length}. Apply the norm by affineActivation`,
    );
  }
  if (channelAddWindow === null) return;
  const [offset, channels] = channelAddWindow;
  const end = offset + outChannels;
  if (offset >= 0 && offset % 4 === 0 && (end === channels || (end < channels && end % 4 === 0)))
    return;
  throw new ShapeError(
    `${name}: the window of channelAdd must begin and end at multiples of 4, or end with its row, and hold ` +
      `${outChannels} channels, got ${offset} of ${channels}`,
  );
}

/**
 * Fragment of a shader: `finish(sum, row, nq)`, which stores an output and returns it as it is stored, or with GEGLU
 * `finish_pair(value, gate, row, pair)`. Needs the operands of `contractionOperands`, `bias` and `y`, the params above,
 * `out_quads` (quads of a stored row) and, for channelAdd, `rows_per_image`. `values` is the type of a sum; GELU takes quads.
 */
export function epilogueWgsl(
  { activation, geglu }: Epilogue,
  shape: EpilogueShape,
  values = "vec4<f32>",
): string {
  const gelu = activationWgsl("gelu");
  if (geglu) {
    return /* wgsl */ `${gelu}
fn finish_pair(value: vec4<f32>, gate: vec4<f32>, row: u32, pair: u32) {
  let v = value + bias[2u * pair];
  let g = gate + bias[2u * pair + 1u];
  y[row * params.out_quads + pair] = pack(v * activate(g));
}
`;
  }
  const isGelu = activation === "gelu";
  return /* wgsl */ `${isGelu ? gelu : ""}
fn finish(sum: ${values}, row: u32, nq: u32) -> ${values} {
  var v = sum + bias[nq];
  ${shape.channelAdd ? CHANNEL_ADD : ""}
  ${isGelu ? "v = activate(v);" : activateWgsl(values)}
  ${shape.residual ? RESIDUAL : ""}
  let stored = pack(v);
  y[row * params.out_quads + nq] = stored;
  return unpack(stored);
}
`;
}

// A flag is the number of turns of a loop: SwiftShader runs both sides of an `if`, masked, but skips a loop without turns.
const CHANNEL_ADD = /* wgsl */ `for (var turn = 0u; turn < params.has_channel_add; turn++) {
    let image = row / params.rows_per_image;
    v = v + unpack(channel_add[image * params.channel_add_quads + params.channel_add_first + nq]);
  }`;
const activateWgsl = (
  values: string,
): string => /* wgsl */ `if (params.has_relu != 0u) { v = max(v, ${values}(0.0)); }
  for (var turn = 0u; turn < params.has_sigmoid; turn++) {
    v = v / (${values}(1.0) + exp(min(-params.sigmoid_scale * v, ${values}(80.0))));
  }`;
const RESIDUAL = /* wgsl */ `for (var turn = 0u; turn < params.has_residual; turn++) {
    v = v + unpack(residual[row * params.out_quads + nq]);
  }`;
