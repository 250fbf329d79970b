/** The Metric Estimation Module in double precision. */
import { activation } from "./activation.ts";
import { conv2d } from "./conv2d.ts";

/**
 * ReLU of the mean over all pixels of head · f + bias, where f comes from latents [h, w, L] through
 * `convs.<i>` (3×3, stride 2, zero padding of 1) and SiLU. Parameters by name, `convs.<i>.weight` [O, I, 3, 3].
 */
export function metric(
  latents: Float64Array,
  [height, width, channels]: readonly [number, number, number],
  parameters: ReadonlyMap<string, Float64Array>,
): number {
  const of = (name: string): Float64Array => parameters.get(name) as Float64Array;
  let [x, inHeight, inWidth, inChannels] = [latents, height, width, channels];
  for (let i = 0; parameters.has(`convs.${i}.weight`); i++) {
    const bias = of(`convs.${i}.bias`);
    const outChannels = bias.length;
    const { y, outHeight, outWidth } = conv2d(x, of(`convs.${i}.weight`), {
      batch: 1,
      inHeight,
      inWidth,
      inChannels,
      kernelSize: [3, 3],
      stride: 2,
      padding: [1, 1, 1, 1],
    });
    x = y.map((sum, at) => activation("silu", sum + (bias[at % outChannels] as number)));
    [inHeight, inWidth, inChannels] = [outHeight, outWidth, outChannels];
  }
  const head = of("head.weight");
  const pixels = inHeight * inWidth;
  const sum = x.reduce((total, value, at) => total + value * (head[at % inChannels] as number), 0);
  return activation("relu", sum / pixels + (of("head.bias")[0] as number));
}
