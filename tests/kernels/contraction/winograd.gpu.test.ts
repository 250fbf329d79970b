/** What `conv2d.gpu.test.ts` is too small for: maps in stripes, with tiles that hang over two borders. */
import { expect, it } from "vitest";
import type { Conv2dProblem } from "../../../src/kernels/contraction/conv2d.ts";
import { conv2d } from "../../../src/kernels/contraction/conv2d.ts";
import { conv2d as reference } from "../../reference/conv2d.ts";
import { expectClose } from "../../support/expect-close.ts";
import { packRows, runKernel, unpackRows, useGpu } from "../../support/gpu.ts";
import { PLAIN_PACK, packOnGpu } from "../../support/packed-weight.ts";
import { PLAIN_EPILOGUE } from "../../support/plain-epilogue.ts";
import { uniformArray } from "../../support/random.ts";
import { winograd } from "../../support/tolerance.ts";

const setup = useGpu();

/** 17 channels, 5 quads: a line of 3,000 tiles takes 8.6 MB of `v`, so that a stripe of 16 MiB has one of two. */
const LONG: Conv2dProblem = {
  dtype: "f32",
  batch: 1,
  inHeight: 5,
  inWidth: 11_999,
  inChannels: [17],
  outChannels: 3,
  kernelSize: [3, 3],
  stride: 1,
  padding: [1, 1, 1, 1],
  upsample: false,
  shortcutChannels: [],
  inputNorm: "none",
  mergedNorm: null,
  weightStorage: "float",
  epilogue: PLAIN_EPILOGUE,
};

it("computes a map in stripes, with the same bits in every run", async () => {
  const { inHeight, inWidth, outChannels } = LONG;
  const x = uniformArray(inHeight * inWidth * 17, 1, 2).map(Math.fround);
  const weight = uniformArray(outChannels * 17 * 9, 2, 0.2).map(Math.fround);
  const bias = uniformArray(outChannels, 3, 1).map(Math.fround);
  const expected = reference(x, weight, { ...LONG, inChannels: 17 });
  const biased = expected.y.map((sum, i) => sum + (bias[i % outChannels] as number));
  const packed = await packOnGpu(
    setup.gpu,
    { ...PLAIN_PACK, dtype: "f32", sourceDType: "F32", outChannels, inChannels: 17, taps: 9 },
    weight,
  );
  const inputs = {
    x0: packRows(x, 17, "f32"),
    weight: packed,
    bias: packRows(bias, outChannels, "f32"),
  };
  const plan = conv2d.plan(LONG, setup.caps, "winograd");
  expect(plan.dispatches).toHaveLength(1 + 2 * 3);
  const bytes = packRows(biased, outChannels, "f32").byteLength;
  const run = async (): Promise<Uint8Array<ArrayBuffer>> =>
    (await runKernel(setup.gpu, plan, inputs, { y: bytes }))["y"] as Uint8Array<ArrayBuffer>;
  const y = await run();
  const tolerance = winograd("f32", 17 * 9, expected.productRms);
  expectClose(
    unpackRows(y, outChannels, "f32"),
    biased,
    [inHeight, inWidth, outChannels],
    tolerance,
  );
  expect(await run()).toEqual(y);
});
