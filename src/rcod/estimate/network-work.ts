/**
 * How much work a model's networks are, for pictures of any size. Each is planned at two sizes: convolutions grow with the
 * pixels, attention with their square, and the weights are read however few pixels there are.
 */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import type { Graph } from "../../graph/ir/ir.ts";
import { planGraph } from "../../graph/plan.ts";
import { workOf } from "../../kernels/kernel.ts";
import { stageGraphs } from "../networks/stage-graphs.ts";
import { vaeFactor } from "../settings/config.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";

/** Latent sides of the two maps. Smaller ones have other shares of edges and of small dispatches. */
const SIDES = [16, 64] as const;

/** Work of one run, in floating-point operations and their like: fixed + perPixel · n + perPair · n² for n pixels of the enlarged picture. */
export interface WorkByArea {
  readonly fixed: number;
  readonly perPixel: number;
  readonly perPair: number;
}

/** Of each network that a model has. */
export type NetworkWork = Readonly<
  Partial<Record<keyof ReturnType<typeof stageGraphs>, WorkByArea>>
>;

export const workAt = (
  { fixed, perPixel, perPair }: WorkByArea = { fixed: 0, perPixel: 0, perPair: 0 },
  pixels: number,
): number => fixed + perPixel * pixels + perPair * pixels ** 2;

/** Plans every network twice. */
export function measureNetworkWork(configs: ModelConfigs, caps: Caps, dtype: DType): NetworkWork {
  const sides = SIDES.map((side) => side * vaeFactor(configs.vae));
  const [small, large] = sides.map((side) => stageGraphs(configs, side, side, dtype));
  const [a, b] = sides.map((side) => side ** 2) as [number, number];
  const names = Object.keys(small ?? {}) as (keyof NetworkWork)[];
  return Object.fromEntries(
    names.map((name) => {
      const [one, two] = [small, large].map((graphs) => measure(graphs?.[name] as Graph, caps)) as [
        Measured,
        Measured,
      ];
      const perPixel = (two.rest - one.rest) / (b - a);
      const perPair = (two.attention / b - one.attention / a) / (b - a);
      const isFixed = perPixel === 0; // the vision tower looks at one size
      const across = one.attention / a - perPair * a; // attention to the tokens
      return [
        name,
        isFixed
          ? { fixed: one.rest + one.attention, perPixel: 0, perPair: 0 }
          : { fixed: one.rest - perPixel * a, perPixel: perPixel + across, perPair },
      ];
    }),
  );
}

/** Work of a graph's attention, and of all else. */
interface Measured {
  readonly attention: number;
  readonly rest: number;
}

function measure(graph: Graph, caps: Caps): Measured {
  let [attention, rest] = [0, 0];
  for (const { kernel, cost } of planGraph(graph, caps).steps) {
    if (kernel === "attention") attention += workOf(cost);
    else rest += workOf(cost);
  }
  return { attention, rest };
}
