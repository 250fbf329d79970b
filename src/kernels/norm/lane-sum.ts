/** The sum over the lanes of a workgroup, in WGSL. */

/**
 * `sum_of_lanes(value: T, lane: u32) -> T`: the sum of every lane's value, for all of them. A tree, so always in the same order.
 * `lanes` names the constant that holds their number, a power of two. All lanes must call it.
 */
export const laneSumWgsl = (
  type: "f32" | "vec2<f32>" | "vec4<f32>",
  lanes: string,
): string => /* wgsl */ `
var<workgroup> lane_sums: array<${type}, ${lanes}>;

fn sum_of_lanes(value: ${type}, lane: u32) -> ${type} {
  lane_sums[lane] = value;
  workgroupBarrier();
  for (var reach = ${lanes} / 2u; reach > 0u; reach >>= 1u) {
    if (lane < reach) { lane_sums[lane] += lane_sums[lane + reach]; }
    workgroupBarrier();
  }
  let sum = lane_sums[0];
  workgroupBarrier();
  return sum;
}
`;
