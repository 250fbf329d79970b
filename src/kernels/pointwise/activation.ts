/**
 * Pointwise activations as WGSL functions on `vec4<f32>`, shared by epilogues and elementwise kernels.
 * All are safe for any finite input (no overflow to NaN).
 */

export type Activation = "none" | "silu" | "gelu" | "quick_gelu" | "relu";

/**
 * WGSL of `fn <name>(x: vec4<f32>) -> vec4<f32>`.
 *
 * - silu: x·sigmoid(x). The exponent is clamped at 80: e^80 is finite in f32 and the quotient is 0 to f32.
 * - gelu: the exact (erf) form, 0.5·x·(1 + erf(x/√2)), erf by Abramowitz & Stegun 7.1.26
 *   (absolute error 1.5e-7).
 * - quick_gelu: x·sigmoid(1.702·x), OpenAI's CLIP.
 */
export function activationWgsl(activation: Activation, name = "activate"): string {
  switch (activation) {
    case "none":
      return `fn ${name}(x: vec4<f32>) -> vec4<f32> { return x; }\n`;
    case "relu":
      return `fn ${name}(x: vec4<f32>) -> vec4<f32> { return max(x, vec4<f32>(0.0)); }\n`;
    case "silu":
      return /* wgsl */ `fn ${name}(x: vec4<f32>) -> vec4<f32> {
  return x / (vec4<f32>(1.0) + exp(min(-x, vec4<f32>(80.0))));
}
`;
    case "quick_gelu":
      return /* wgsl */ `fn ${name}(x: vec4<f32>) -> vec4<f32> {
  return x / (vec4<f32>(1.0) + exp(min(-1.702 * x, vec4<f32>(80.0))));
}
`;
    case "gelu":
      return /* wgsl */ `fn ${name}(x: vec4<f32>) -> vec4<f32> {
  let z = min(abs(x) * 0.7071067811865476, vec4<f32>(9.0));
  let t = vec4<f32>(1.0) / (vec4<f32>(1.0) + 0.3275911 * z);
  let poly = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  let tail = poly * exp(-z * z); // 1 - erf(z)
  let phi = select(0.5 * tail, vec4<f32>(1.0) - 0.5 * tail, x >= vec4<f32>(0.0));
  return x * phi;
}
`;
    default:
      return activation satisfies never;
  }
}
