/** 2-D convolution in double precision, as the product of unfolded patches with the weight. */
import type { ContractionResult } from "./linear.ts";
import { matmul } from "./linear.ts";

export interface ConvShape {
  readonly batch: number;
  readonly inHeight: number;
  readonly inWidth: number;
  readonly inChannels: number;
  readonly kernelSize: readonly [height: number, width: number];
  readonly stride: number;
  /** `[top, bottom, left, right]` */
  readonly padding: readonly [number, number, number, number];
}

/**
 * Zero-padded cross-correlation. x: [N, H, W, I]; weight: [O, I, kh, kw]; result: [N, OH, OW, O] and its
 * OH, OW.
 */
export function conv2d(
  x: Float64Array,
  weight: Float64Array,
  shape: ConvShape,
): ContractionResult & { readonly outHeight: number; readonly outWidth: number } {
  const { batch, inHeight, inWidth, inChannels, stride } = shape;
  const [kernelHeight, kernelWidth] = shape.kernelSize;
  const [top, bottom, left, right] = shape.padding;
  // Counted, not computed: windows that fit into the padded input.
  let outHeight = 0;
  while (outHeight * stride + kernelHeight <= top + inHeight + bottom) outHeight++;
  let outWidth = 0;
  while (outWidth * stride + kernelWidth <= left + inWidth + right) outWidth++;

  const patchLength = inChannels * kernelHeight * kernelWidth;
  const patches = new Float64Array(batch * outHeight * outWidth * patchLength);
  let at = 0;
  for (let n = 0; n < batch; n++) {
    for (let oy = 0; oy < outHeight; oy++) {
      for (let ox = 0; ox < outWidth; ox++) {
        for (let i = 0; i < inChannels; i++) {
          for (let ky = 0; ky < kernelHeight; ky++) {
            for (let kx = 0; kx < kernelWidth; kx++) {
              const y = oy * stride + ky - top;
              const z = ox * stride + kx - left;
              const inside = y >= 0 && y < inHeight && z >= 0 && z < inWidth;
              if (inside) {
                patches[at] = x[((n * inHeight + y) * inWidth + z) * inChannels + i] as number;
              }
              at++;
            }
          }
        }
      }
    }
  }
  return { ...matmul(patches, weight, patchLength), outHeight, outWidth };
}
