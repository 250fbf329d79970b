/** Measuring on a device: every variant that runs is timed, and one that computes wrong cannot win. */
import { expect, it } from "vitest";
import { wallClock } from "../../../src/gpu/clock.ts";
import type { Gpu } from "../../../src/gpu/device.ts";
import { GraphBuilder, WeightScope } from "../../../src/graph/ir/builder.ts";
import { tune, tuneCases } from "../../../src/graph/measure/tune.ts";
import { planGraph } from "../../../src/graph/plan.ts";
import { useGpu } from "../../support/gpu.ts";
import { blocks } from "../blocks.ts";

const setup = useGpu();

/** The device, with shaders whose label has `marker` made to compute a little too much. */
function withFault(gpu: Gpu, marker: string): Gpu {
  const pipelines: Pick<Gpu["pipelines"], "get"> = {
    get: (label, code, bindings) => {
      const faulty = code.replace("= pack(v);", "= pack(1.01 * v);");
      if (label.includes(marker)) expect(faulty).not.toBe(code);
      return gpu.pipelines.get(label, label.includes(marker) ? faulty : code, bindings);
    },
  };
  return Object.create(gpu, { pipelines: { value: pipelines } }) as Gpu;
}

const gegluCase = () =>
  tuneCases([planGraph(blocks.oddGeglu("f32"), setup.caps)]).filter(
    ({ key }) => !key.includes("geglu"),
  );

it("times every variant that agrees with the naive one; a wrong one is rejected", async () => {
  const cases = gegluCase();
  expect(cases.length).toBe(1);
  const seen: string[] = [];
  const [result] = await tune(withFault(setup.gpu, "linear/register-1x2"), cases, {
    clock: wallClock(setup.gpu),
    budgetMs: 600_000,
    onResult: ({ key }, done, total) => seen.push(`${key} ${done}/${total}`),
  });
  expect(seen).toEqual([`${cases[0]?.key} 1/1`]);
  const byName = new Map(result?.candidates.map((c) => [c.variant, c]));
  expect(byName.has("naive")).toBe(false);
  expect(byName.get("register-1x2")?.rejected).toBe("its result is wrong");
  expect(byName.get("register-8x2")?.rejected).not.toBe("its result is wrong");
  for (const { medianMs } of byName.values()) expect(medianMs).toBeGreaterThan(0);
  expect(result?.chosen).not.toBe("register-1x2");
  expect(setup.gpu.memory.use().currentBytes).toBe(0);
});

it("measures weights of integers, whose scales it fills with numbers", async () => {
  const g = new GraphBuilder("f32");
  const scope = new WeightScope("to_q", () => "int8");
  g.output("y", g.linear(g.input("x", [1, 9, 320]), scope, 64, false));
  const cases = tuneCases([planGraph(g.build(), setup.caps)]);
  expect(cases[0]?.key).toContain("int8");
  const clock = wallClock(setup.gpu);
  const [result] = await tune(setup.gpu, cases, { clock, budgetMs: 600_000 });
  const wrong = result?.candidates.filter(({ rejected }) => rejected === "its result is wrong");
  expect([result?.candidates.length, wrong]).toEqual([5, []]);
});

it("begins nothing without budget, and stops when aborted", async () => {
  const clock = wallClock(setup.gpu);
  expect(await tune(setup.gpu, gegluCase(), { clock, budgetMs: -1 })).toEqual([]);
  const signal = AbortSignal.abort(new Error("enough"));
  await expect(tune(setup.gpu, gegluCase(), { clock, budgetMs: 1, signal })).rejects.toThrow(
    "enough",
  );
});
