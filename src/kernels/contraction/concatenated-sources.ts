/** Rows whose channels come from one tensor or from two: what conv2d and linear read through. */

/** WGSL `<name>(row, k)`: quad `k` of one or two sources `<operand>0`, `<operand>1` with concatenated channels. */
export function sourcesWgsl(name: string, operand: string, quads: string, sources: number): string {
  if (sources === 1) {
    return /* wgsl */ `fn ${name}(row: u32, k: u32) -> vec4<f32> {
  return unpack(${operand}0[row * params.${quads}0 + k]);
}
`;
  }
  return /* wgsl */ `fn ${name}(row: u32, k: u32) -> vec4<f32> {
  if (k < params.${quads}0) { return unpack(${operand}0[row * params.${quads}0 + k]); }
  return unpack(${operand}1[row * params.${quads}1 + (k - params.${quads}0)]);
}
`;
}
