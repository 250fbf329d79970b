/** What a graph is planned as where there are matrix units: the fusions of "tiled", and so no step more. */
import { expect, it } from "vitest";
import type { Caps } from "../../src/gpu/caps.ts";
import type { Graph } from "../../src/graph/ir/ir.ts";
import { planGraph } from "../../src/graph/plan.ts";
import { MATRIX_CAPS } from "../support/matrix-caps.ts";
import { blocks } from "./blocks.ts";

const WITHOUT: Caps = { ...MATRIX_CAPS, matrixUnits: null, matrixRefusal: "switched off" };

const stepsOf = (graph: Graph, caps: Caps): readonly string[] =>
  planGraph(graph, caps).steps.map(({ plan }) =>
    plan.dispatches.map(({ label }) => label).join(", "),
  );

it("normalises maps of any size while it loads patches of them", () => {
  const labels = stepsOf(blocks.resnet("f16", 96, 96), MATRIX_CAPS).filter((label) =>
    /conv2d|affineActivation/.test(label),
  );
  expect(labels).toEqual([
    "conv2d/matrix-patch-8 3x3 norm stats",
    "conv2d/matrix-patch-8 3x3 + 1x1 merged norm",
  ]);
});

it.each(["resnet", "transformer", "longSums"] as const)("%s", (name) => {
  const block = blocks[name];
  const [plain, matrix] = [stepsOf(block("f16"), WITHOUT), stepsOf(block("f16"), MATRIX_CAPS)];
  expect(matrix).toEqual(plain.map((label) => label.replaceAll("/tiled", "/matrix")));
  expect(matrix.join()).toContain("/matrix");
  expect(stepsOf(block("f32"), MATRIX_CAPS)).toEqual(stepsOf(block("f32"), WITHOUT));
});
