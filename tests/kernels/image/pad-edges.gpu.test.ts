import { expect, it } from "vitest";
import { padEdges } from "../../../src/kernels/image/pad-edges.ts";
import { padEdges as reference } from "../../reference/pad-edges.ts";
import { runKernel, useGpu } from "../../support/gpu.ts";
import { noiseBytes } from "../../support/random.ts";

const setup = useGpu();

it.each([
  [1, 1, 0, 0, 1, 1],
  [1, 1, 7, 7, 16, 16],
  [1, 600, 7, 0, 16, 600],
  [31, 5, 0, 5, 31, 16],
  [13, 7, 20, 1, 33, 9],
])("padEdges %i×%i at (%i, %i) of %i×%i", async (srcWidth, srcHeight, left, top, width, height) => {
  const src = noiseBytes(srcWidth * srcHeight * 4, 1);
  const plan = padEdges.plan({ srcWidth, srcHeight, left, top, width, height }, setup.caps);
  const got = await runKernel(setup.gpu, plan, { src }, { dst: width * height * 4 });
  const expected = reference(src, [srcWidth, srcHeight], [left, top], [width, height]);
  expect(got["dst"]).toEqual(Uint8Array.from(expected));
});

it("refuses a source that reaches out of the result", () => {
  const problem = { srcWidth: 4, srcHeight: 4, left: 1, top: 0, width: 4, height: 4 };
  expect(() => padEdges.check(problem)).toThrow(
    "padEdges: columns must lie inside 0 … 4, got offset 1 and length 4",
  );
});
