/** The distinct shaders of a model's plan, and how often and with which numbers each is dispatched. */
import type { Caps } from "../../src/gpu/caps.ts";
import type { DType } from "../../src/gpu/dtype.ts";
import type { BindingAccess } from "../../src/gpu/pipelines.ts";
import type { MatrixUnits } from "../../src/gpu/subgroup-matrix.ts";
import { planGraph } from "../../src/graph/plan.ts";
import type { VariantChoice } from "../../src/kernels/variant-choice.ts";
import { readConfigs } from "../../src/rcod/loading/read-configs.ts";
import { stageGraphs } from "../../src/rcod/networks/stage-graphs.ts";
import { folderFiles } from "../../src/weights/sources/node-source.ts";

/** What to compile. */
export interface CompileJob {
  readonly model: string;
  readonly width: number;
  readonly height: number;
  readonly dtype: DType;
  readonly matrixUnits: MatrixUnits | null;
  /** Forced variants. */
  readonly variants?: VariantChoice;
  /** Only shaders whose label contains this are compiled. */
  readonly filter?: string;
}

/** What comes of it. */
export interface CompileResult {
  /** The driver's name and version, as the adapter tells them. */
  readonly driver: string;
  /** Of the whole model. */
  readonly flops: number;
  readonly shaders: readonly CompiledShader[];
}

/** Dispatches of one shader that do not differ. */
export interface Use {
  /** The uniform's fields. */
  readonly params: Readonly<Record<string, number>>;
  readonly workgroups: readonly [number, number, number];
  readonly count: number;
  /** Of one dispatch. */
  readonly flops: number;
  /** Of one dispatch: each operand once. */
  readonly bytes: number;
}

export interface PlannedShader {
  readonly label: string;
  readonly code: string;
  readonly bindings: readonly BindingAccess[];
  readonly uses: readonly Use[];
}

export interface CompiledShader extends PlannedShader {
  /** What the layer wrote. */
  readonly report: string;
}

/** The shaders of all stages, in the order of the pipeline. */
export async function describeDispatches(
  job: CompileJob,
  caps: Caps,
): Promise<readonly PlannedShader[]> {
  const configs = await readConfigs(folderFiles(job.model));
  const shaders = new Map<
    string,
    { label: string; bindings: BindingAccess[]; uses: Map<string, Use> }
  >();
  for (const graph of Object.values(stageGraphs(configs, job.height, job.width, job.dtype))) {
    for (const { plan, cost } of planGraph(graph, caps).steps) {
      plan.dispatches.forEach(({ label, code, operands, params, workgroups }, i) => {
        const shader = shaders.get(code) ?? { label, bindings: [], uses: new Map<string, Use>() };
        shaders.set(code, shader);
        shader.bindings = [...operands.map(({ access }) => access), "uniform"];
        // The work of a plan is counted where its first dispatch is.
        const work =
          i === 0
            ? { flops: cost.flops, bytes: cost.bytesRead + cost.bytesWritten }
            : { flops: 0, bytes: 0 };
        const fields = paramFields(code, params);
        const key = JSON.stringify([fields, workgroups, work]);
        const use = shader.uses.get(key) ?? { params: fields, workgroups, count: 0, ...work };
        shader.uses.set(key, { ...use, count: use.count + 1 });
      });
    }
  }
  return [...shaders].map(([code, { label, bindings, uses }]) => ({
    label,
    code,
    bindings,
    uses: [...uses.values()],
  }));
}

/** Reads a uniform's bytes by the struct that the shader declares. */
export function paramFields(code: string, bytes: Uint8Array): Record<string, number> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fields = /struct Params \{ (.*?) \}/.exec(code)?.[1] ?? "";
  return Object.fromEntries(
    [...fields.matchAll(/(\w+): (u32|i32|f32)/g)].map(([, name = "", type], i) => {
      if (type === "f32") return [name, view.getFloat32(4 * i, true)];
      return [name, type === "i32" ? view.getInt32(4 * i, true) : view.getUint32(4 * i, true)];
    }),
  );
}
