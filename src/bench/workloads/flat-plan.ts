/** Kernels of the benchmark itself: one dispatch, an invocation for each of `total` items. */
import { foldWorkgroups } from "../../gpu/wgsl.ts";
import type { ShaderHeader } from "../../gpu/wgsl.ts";
import type { KernelPlan } from "../../kernels/kernel.ts";
import { dispatch, u32 } from "../../kernels/kernel.ts";

export const FLAT_WORKGROUP = 256;

/** `body` runs for item `i`, with `local` its invocation within the workgroup; `functions` come before it. */
export function flatPlan(
  name: string,
  header: ShaderHeader,
  body: string,
  total: number,
  functions = "",
): KernelPlan {
  const code = /* wgsl */ `${functions}
@compute @workgroup_size(${FLAT_WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let i = flat_group(group, counts) * ${FLAT_WORKGROUP}u + local;
  if (i >= params.total) { return; }
  ${body}
}
`;
  const params = [u32("total", total), ...header.params];
  const workgroups = foldWorkgroups(Math.ceil(total / FLAT_WORKGROUP));
  return {
    variant: name,
    scratch: [],
    dispatches: [dispatch(`bench ${name}`, { ...header, params }, code, workgroups)],
  };
}
