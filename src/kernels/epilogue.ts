/**
 * What happens to a finished sum of conv2d and linear before it is stored, as WGSL functions:
 *
 *   plain:  y = activate(sum + bias[c] + channelAdd[n, c]) + residual[row, c]
 *   geglu:  y = (value + bias_v) · gelu(gate + bias_g)
 *
 * `row` is the flattened output pixel or token, `nq` the quad of output channels. For GEGLU the weight
 * columns are interleaved at packing (quads: value, gate, value, gate, …), so one invocation holds both
 * halves. `bias` is always bound, f32; a layer without bias binds zeros.
 */
import type { Operand } from "../gpu/wgsl.ts";
import type { Activation } from "./activation.ts";
import { activationWgsl } from "./activation.ts";
import { reads } from "./kernel.ts";

/** What happens to a finished sum of conv2d or linear before it is stored. */
export interface Epilogue {
  /** Adds operand `channel_add` [batch, outChannels] (activation dtype): the time embedding. */
  readonly channelAdd: boolean;
  /** Adds operand `residual`, shaped like the output, after the activation. */
  readonly residual: boolean;
  /** Applied before the residual is added. */
  readonly activation: Activation;
  /** The output has half the columns: value · gelu(gate). Excludes the other three. */
  readonly geglu: boolean;
}

export const PLAIN_EPILOGUE: Epilogue = {
  channelAdd: false,
  residual: false,
  activation: "none",
  geglu: false,
};

/** Optional operands in binding order, between `bias` and `y`. */
export function epilogueOperands({ channelAdd, residual }: Epilogue): Operand[] {
  return [...(channelAdd ? [reads("channel_add")] : []), ...(residual ? [reads("residual")] : [])];
}

/**
 * WGSL of `finish(sum, row, nq)`, or with GEGLU of `finish_pair(value, gate, row, pair)`. Uses
 * `params.out_quads` (quads of a stored row) and, for channelAdd, `params.rows_per_image`.
 */
export function epilogueWgsl(epilogue: Epilogue): string {
  if (epilogue.geglu) {
    return /* wgsl */ `${activationWgsl("gelu")}
fn finish_pair(value: vec4<f32>, gate: vec4<f32>, row: u32, pair: u32) {
  let v = value + bias[2u * pair];
  let g = gate + bias[2u * pair + 1u];
  y[row * params.out_quads + pair] = pack(v * activate(g));
}
`;
  }
  const add = epilogue.channelAdd
    ? "v = v + unpack(channel_add[(row / params.rows_per_image) * params.out_quads + nq]);"
    : "";
  const residual = epilogue.residual
    ? "v = v + unpack(residual[row * params.out_quads + nq]);"
    : "";
  return /* wgsl */ `${activationWgsl(epilogue.activation)}
fn finish(sum: vec4<f32>, row: u32, nq: u32) {
  var v = sum + bias[nq];
  ${add}
  v = activate(v);
  ${residual}
  y[row * params.out_quads + nq] = pack(v);
}
`;
}
