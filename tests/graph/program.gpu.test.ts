import { afterEach, describe, expect, it } from "vitest";
import type { Gpu } from "../../src/gpu/device.ts";
import { DeviceError, DeviceLostError } from "../../src/gpu/errors.ts";
import { readBytes } from "../../src/gpu/transfer.ts";
import type { Graph } from "../../src/graph/ir/ir.ts";
import { statsPlan } from "../../src/graph/lowering/lower-statistics.ts";
import { packActivation } from "../../src/graph/pack-activation.ts";
import { planGraph } from "../../src/graph/plan.ts";
import type { ProgramOptions } from "../../src/graph/program.ts";
import { Program } from "../../src/graph/program.ts";
import { SlotPool } from "../../src/graph/slot-pool.ts";
import { DeviceWeights } from "../../src/graph/weights/device-weights.ts";
import { requestNodeGpu } from "../../src/node/gpu.ts";
import { useGpu } from "../support/gpu.ts";
import { blocks } from "./blocks.ts";
import { randomInputs, randomSource } from "./support.ts";

const setup = useGpu();
const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).toReversed()) cleanup();
});

async function make(
  graph: Graph,
  options: ProgramOptions = {},
  gpu: Gpu = setup.gpu,
): Promise<Program> {
  const plan = planGraph(graph, gpu.caps);
  const weights = new DeviceWeights(gpu, randomSource(plan.weights), { dtype: graph.dtype });
  await weights.load(plan.weights);
  const program = await Program.create(gpu, plan, weights, options);
  cleanups.push(
    () => weights.dispose(),
    () => program.dispose(),
  );
  return program;
}

const inputsOf = (program: Program, seed = 1) => randomInputs(program.plan.graph, seed);
/** All bits of the result; comparing these is fast for large maps too. */
const output = async (program: Program) =>
  Buffer.from((await program.read("y")).data.buffer).toString("base64");

describe("running", () => {
  it("a replay equals the first run bit for bit, also after other inputs", async () => {
    const program = await make(blocks.resnet("f16"));
    await program.run(inputsOf(program));
    const first = await output(program);
    await program.run(inputsOf(program, 50));
    expect(await output(program)).not.toBe(first);
    await program.run(inputsOf(program));
    expect(await output(program)).toBe(first);
    expect((await program.read("y")).data.some((value) => value !== 0)).toBe(true);
  });

  it("takes an input from a device buffer", async () => {
    const program = await make(blocks.resnet("f32"));
    const { x, ...rest } = inputsOf(program);
    await program.run({ x: x as Uint8Array, ...rest });
    const expected = await output(program);
    const buffer = setup.gpu.memory.create("x", (x as Uint8Array).byteLength, "images");
    cleanups.push(() => setup.gpu.memory.release(buffer));
    setup.gpu.device.queue.writeBuffer(buffer, 0, x as Uint8Array<ArrayBuffer>);
    await program.run({ x: buffer, ...rest });
    expect(await output(program)).toBe(expected);
  });

  it("two resolutions in turn share all pipelines and keep their results", async () => {
    const small = await make(blocks.resnet("f32", 5, 7));
    await small.run(inputsOf(small));
    const smallResult = await output(small);
    const compiled = setup.gpu.pipelines.size;
    const large = await make(blocks.resnet("f32", 9, 12));
    await large.run(inputsOf(large));
    const largeResult = await output(large);
    expect(setup.gpu.pipelines.size).toBe(compiled);
    await small.run(inputsOf(small));
    expect(await output(small)).toBe(smallResult);
    await large.run(inputsOf(large));
    expect(await output(large)).toBe(largeResult);
    expect(setup.gpu.pipelines.size).toBe(compiled);
  });

  it("reports progress that never falls and ends at 1", async () => {
    const program = await make(blocks.chain("f32"));
    const seen: number[] = [];
    await program.run(inputsOf(program), { onProgress: (fraction) => seen.push(fraction) });
    expect(seen.length).toBeGreaterThan(setup.caps.isSoftware ? 3 : 0);
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    expect(seen.at(-1)).toBe(1);
    expect(seen[0]).toBeGreaterThan(0);
  });

  it("runs in segments as at once", async () => {
    const program = await make(blocks.resnet("f32"));
    await program.run(inputsOf(program));
    const whole = await output(program);
    program.setInputs(inputsOf(program));
    const seen: number[] = [];
    await program.run({}, { steps: [0, 3], onProgress: (fraction) => seen.push(fraction) });
    await program.run(
      {},
      { steps: [3, program.plan.steps.length], onProgress: (fraction) => seen.push(fraction) },
    );
    expect(await output(program)).toBe(whole);
    expect(seen).toEqual([1, 1]);
  });

  it("new params change one step: statistics over a part of the map", async () => {
    const program = await make(blocks.resnet("f32"));
    await program.run(inputsOf(program));
    const whole = await output(program);
    const { steps } = program.plan;
    const index = steps.findIndex(({ kernel }) => kernel === "channelStats");
    const region = { y0: 0, y1: 5, x0: 0, x1: 4 };
    const part = statsPlan([1, 5, 7, 8], "f32", setup.caps, region);
    program.setParams(
      index,
      part.plan.dispatches.map(({ params }) => params),
    );
    await program.run(inputsOf(program));
    const changed = await output(program);
    expect(changed).not.toBe(whole);
    program.setParams(
      index,
      (steps[index] as (typeof steps)[number]).plan.dispatches.map(({ params }) => params),
    );
    await program.run(inputsOf(program));
    expect(await output(program)).toBe(whole);
  });
});

describe("aborting", () => {
  it("rejects with the signal's reason, and the next run is right", async () => {
    const program = await make(blocks.chain("f32"));
    await program.run(inputsOf(program));
    const expected = await output(program);
    const controller = new AbortController();
    const reason = new Error("enough");
    const seen: number[] = [];
    const run = program.run(inputsOf(program, 9), {
      signal: controller.signal,
      onProgress: (fraction) => {
        seen.push(fraction);
        controller.abort(reason);
      },
    });
    await expect(run).rejects.toBe(reason);
    if (setup.caps.isSoftware) expect(seen.at(-1)).toBeLessThan(1);
    await program.run(inputsOf(program));
    expect(await output(program)).toBe(expected);
  });

  it("does not start with an aborted signal", async () => {
    const program = await make(blocks.oddGeglu("f32"));
    const run = program.run(inputsOf(program), { signal: AbortSignal.abort(new Error("before")) });
    await expect(run).rejects.toThrow("before");
  });
});

describe("errors", () => {
  it("names of inputs, results and captures, and sizes", async () => {
    const program = await make(blocks.resnet("f32"));
    const { temb } = inputsOf(program);
    await expect(program.run({ X: new Uint8Array(4) })).rejects.toThrow(
      'program: no input "X". Inputs: x, temb',
    );
    await expect(program.run({ x: new Uint8Array(12), temb: temb as Uint8Array })).rejects.toThrow(
      'program: input "x" [1, 5, 7, 8] takes 1120 bytes, got 12',
    );
    await expect(program.read("z")).rejects.toThrow('program: no result "z". Results: y');
    expect(() => packActivation([1, 2, 3], 2, "f32")).toThrow("3 values are no rows of 2 channels");
  });

  it("a buffer that is too short is refused, not run with stale data", async () => {
    const program = await make(blocks.resnet("f32"));
    const buffer = setup.gpu.memory.create("short", 64, "images");
    cleanups.push(() => setup.gpu.memory.release(buffer));
    await expect(program.run({ x: buffer })).rejects.toThrow(
      'program: input "x" [1, 5, 7, 8] takes 1120 bytes, got 64',
    );
  });

  it("a program that was disposed, twice", async () => {
    const program = await make(blocks.oddGeglu("f32"));
    program.dispose();
    program.dispose();
    await expect(program.run(inputsOf(program))).rejects.toThrow(
      "device: this program was disposed. Build a new one",
    );
    await expect(program.read("y")).rejects.toThrow(DeviceError);
    await expect(program.profile()).rejects.toThrow("disposed");
    expect(() => program.input("x")).toThrow("disposed");
  });

  it("weights that were not loaded are named", async () => {
    const plan = planGraph(blocks.oddGeglu("f32"), setup.caps);
    const weights = new DeviceWeights(setup.gpu, randomSource(plan.weights), { dtype: "f32" });
    const program = await Program.create(setup.gpu, plan, weights);
    cleanups.push(
      () => weights.dispose(),
      () => program.dispose(),
    );
    await expect(program.run(randomInputs(plan.graph))).rejects.toThrow(
      'weight "proj.weight" is not loaded',
    );
  });
});

describe("SlotPool", () => {
  it("growing for a second program keeps the first one right", async () => {
    const pool = new SlotPool(setup.gpu);
    cleanups.push(() => pool.dispose());
    const small = await make(blocks.resnet("f32", 3, 3), { pool });
    await small.run(inputsOf(small));
    const expected = await output(small);
    const before = pool.byteLength;
    const large = await make(blocks.resnet("f32", 9, 8), { pool });
    expect(pool.byteLength).toBeGreaterThan(before);
    const largest = large.plan.memory.slotByteLengths.map((bytes, i) =>
      Math.max(bytes, small.plan.memory.slotByteLengths[i] ?? 0),
    );
    expect(pool.byteLength).toBeLessThan(
      1.05 * largest.reduce((sum, bytes) => sum + bytes, 0) + 16 * largest.length,
    );
    await large.run(inputsOf(large));
    const largeResult = await output(large);
    await small.run(inputsOf(small));
    expect(await output(small)).toBe(expected);
    await large.run(inputsOf(large));
    expect(await output(large)).toBe(largeResult);
  });

  it("a refused growth leaves the other programs usable", async () => {
    const pool = new SlotPool(setup.gpu);
    cleanups.push(() => pool.dispose());
    const small = await make(blocks.resnet("f32", 3, 3), { pool });
    await small.run(inputsOf(small));
    const expected = await output(small);
    const sizes = small.plan.memory.slotByteLengths;
    expect(() => pool.reserve([(sizes[0] as number) * 2, 2 ** 50])).toThrow(
      'device: buffer "slot 1" needs',
    );
    await small.run(inputsOf(small));
    expect(await output(small)).toBe(expected);
  });

  it("a program that does not fit frees what it made", async () => {
    const plan = planGraph(blocks.oddGeglu("f32"), setup.caps);
    const weights = new DeviceWeights(setup.gpu, randomSource(plan.weights), { dtype: "f32" });
    cleanups.push(() => weights.dispose());
    const before = setup.gpu.memory.use().currentBytes;
    const tooLarge = { ...plan, memory: { ...plan.memory, slotByteLengths: [16, 2 ** 50] } };
    await expect(Program.create(setup.gpu, tooLarge, weights)).rejects.toThrow(DeviceError);
    expect(setup.gpu.memory.use().currentBytes).toBe(before);
  });
});

it("dispose gives back all memory, weights apart", async () => {
  const before = setup.gpu.memory.use();
  const plan = planGraph(blocks.resnet("f32"), setup.caps);
  const weights = new DeviceWeights(setup.gpu, randomSource(plan.weights), { dtype: "f32" });
  await weights.load(plan.weights);
  const program = await Program.create(setup.gpu, plan, weights);
  await program.run(randomInputs(plan.graph));
  const purpose = (name: string): number =>
    (setup.gpu.memory.use().byPurpose[name]?.current ?? 0) - (before.byPurpose[name]?.current ?? 0);
  expect(purpose("activations")).toBeGreaterThanOrEqual(plan.memory.totalBytes);
  program.dispose();
  expect(purpose("activations")).toBe(0);
  expect(purpose("params")).toBe(0);
  expect(purpose("weights")).toBeGreaterThan(0);
  weights.dispose();
  expect(setup.gpu.memory.use().currentBytes).toBe(before.currentBytes);
});

it("profile() times every step, or says what is missing", async () => {
  const program = await make(blocks.transformer("f32"));
  if (!setup.caps.hasTimestampQuery) {
    process.stderr.write("no timestamp-query on this adapter: only the refusal is tested\n");
    await expect(program.profile(inputsOf(program))).rejects.toThrow(
      "profiling needs the feature timestamp-query",
    );
    return;
  }
  const staging = setup.gpu.memory.use().byPurpose["staging"]?.current ?? 0;
  const times = await program.profile(inputsOf(program));
  expect(times.map(({ path, kernel }) => `${kernel} ${path}`)).toEqual(
    program.plan.steps.map(({ node, kernel }) => `${kernel} ${node.path}`),
  );
  for (const { durationMs, flops, bytes } of times) {
    expect(durationMs).toBeGreaterThanOrEqual(0);
    expect(durationMs).toBeLessThan(60_000);
    expect(flops).toBeGreaterThan(0);
    expect(bytes).toBeGreaterThan(0);
  }
  expect(times.some(({ durationMs }) => durationMs > 0)).toBe(true);
  expect(setup.gpu.memory.use().byPurpose["staging"]?.current ?? 0).toBe(staging);
  const profiled = await output(program);
  await program.run(inputsOf(program));
  expect(await output(program)).toBe(profiled);
});

describe("device loss", () => {
  it("during a run rejects with DeviceLostError, and so does all that follows", async () => {
    const gpu = await requestNodeGpu();
    const program = await make(blocks.chain("f32"), {}, gpu);
    let steps = 0;
    const run = program.run(inputsOf(program), {
      onProgress: () => {
        if (++steps === 1) gpu.device.destroy();
      },
    });
    await expect(run).rejects.toBeInstanceOf(DeviceLostError);
    await expect(program.run(inputsOf(program))).rejects.toBeInstanceOf(DeviceLostError);
    await expect(program.read("y")).rejects.toBeInstanceOf(DeviceLostError);
    await expect(
      Program.create(gpu, program.plan, new DeviceWeights(gpu, randomSource([]), { dtype: "f32" })),
    ).rejects.toBeInstanceOf(DeviceError);
    for (const cleanup of cleanups.splice(0).toReversed()) cleanup();
    gpu.destroy();
  });

  it("while nothing has been awaited yet", async () => {
    const gpu = await requestNodeGpu();
    const program = await make(blocks.oddGeglu("f32"), {}, gpu);
    const run = program.run(inputsOf(program));
    gpu.device.destroy();
    await expect(run).rejects.toBeInstanceOf(DeviceLostError);
    const lost = await gpu.lost;
    expect(lost.reason).toBe("destroyed");
    await expect(readBytes(gpu, program.plan as never, 0, 4)).rejects.toBe(lost);
    for (const cleanup of cleanups.splice(0).toReversed()) cleanup();
    gpu.destroy();
  });
});
