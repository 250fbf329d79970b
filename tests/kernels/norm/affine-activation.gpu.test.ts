import { describe, it } from "vitest";
import type { DType } from "../../../src/gpu/dtype.ts";
import { dtypeByteLength, roundToDtype } from "../../../src/gpu/dtype.ts";
import { paddedChannels } from "../../../src/gpu/shape.ts";
import type { AffineActivationProblem } from "../../../src/kernels/norm/affine-activation.ts";
import { affineActivation } from "../../../src/kernels/norm/affine-activation.ts";
import { activation as activationReference } from "../../reference/activation.ts";
import { expectClose } from "../../support/expect-close.ts";
import { packRows, runKernel, unpackRows, useGpu } from "../../support/gpu.ts";
import { uniformArray } from "../../support/random.ts";
import { pointwise } from "../../support/tolerance.ts";

const setup = useGpu();

interface Case {
  readonly batch?: number;
  readonly pixels: number;
  /** Channels of the sources, each applied by its own plan into one y. */
  readonly sources: readonly number[];
  readonly scale?: number;
}

const CASES: readonly Case[] = [
  { pixels: 1, sources: [1] },
  { pixels: 4, sources: [4] }, // exactly one strip
  { pixels: 5, sources: [4] }, // one pixel more
  { pixels: 7, sources: [33], batch: 3 },
  { pixels: 64, sources: [16] }, // exactly one workgroup
  { pixels: 64, sources: [17] },
  { pixels: 9, sources: [8, 10], batch: 2 },
  { pixels: 256, sources: [640, 320] },
  { pixels: 1024, sources: [320] },
  { pixels: 6, sources: [12], scale: 6e4 }, // silu of large negative values; f16 overflow clamps
];

const TABLE = CASES.flatMap(({ batch = 1, pixels, sources, scale = 4 }) =>
  (["f32", "f16"] as const satisfies readonly DType[]).flatMap((dtype) =>
    (["none", "silu"] as const).map((activation) => {
      const name = `affineActivation ${dtype} [${batch},${pixels},${sources.join("+")}] ${activation}, ± ${scale}`;
      return [name, { dtype, batch, pixels, sources, scale, activation }] as const;
    }),
  ),
);

describe("affineActivation", () => {
  it.each(TABLE)("%s", async (_, { dtype, batch, pixels, sources, scale, activation }) => {
    const totalChannels = sources.reduce((sum, count) => sum + count, 0);
    const x = uniformArray(batch * pixels * totalChannels, 21, scale).map((value) =>
      roundToDtype(value, dtype),
    );
    // Rows [batch][a, b] of totalChannels.
    const table = uniformArray(batch * 2 * totalChannels, 22, 1.5).map(Math.fround);
    const affine = packRows(table, totalChannels, "f32");
    const byteLength = batch * pixels * paddedChannels(totalChannels) * dtypeByteLength(dtype);

    let y: Uint8Array<ArrayBuffer> | undefined;
    let channelOffset = 0;
    for (const channels of sources) {
      const [from, to] = [channelOffset, channelOffset + channels];
      const part = x.filter((_value, i) => i % totalChannels >= from && i % totalChannels < to);
      const problem: AffineActivationProblem = {
        dtype,
        batch,
        pixels,
        channels,
        channelOffset,
        totalChannels,
        activation,
      };
      ({ y } = await runKernel(
        setup.gpu,
        affineActivation.plan(problem, setup.caps),
        { x: packRows(part, channels, dtype), affine, ...(y === undefined ? {} : { y }) },
        { y: byteLength },
      ));
      channelOffset = to;
    }

    const expected = x.map((value, i) => {
      const c = i % totalChannels;
      const row = Math.floor(i / (pixels * totalChannels)) * 2;
      const [a, b] = [
        table[row * totalChannels + c] as number,
        table[(row + 1) * totalChannels + c] as number,
      ];
      const result = activationReference(activation, a * value + b);
      return dtype === "f16" ? Math.min(Math.max(result, -65504), 65504) : result;
    });
    const got = unpackRows(y as Uint8Array<ArrayBuffer>, totalChannels, dtype);
    expectClose(got, expected, [batch, pixels, totalChannels], pointwise(dtype));
  });
});
