/** The latent posterior on the host: for tiled encoding, and for sampling instead of taking its mean. */
import { normalNoise } from "./noise.ts";

/** Moments [.., 2L] → mean times the scaling factor, and clamped log-variance, each [.., L]. */
export function splitMoments(moments: Float32Array, latentChannels: number, scalingFactor: number) {
  const pixels = moments.length / (2 * latentChannels);
  const mean = new Float32Array(pixels * latentChannels);
  const logvar = new Float32Array(pixels * latentChannels);
  for (let i = 0; i < pixels; i++) {
    for (let c = 0; c < latentChannels; c++) {
      mean[i * latentChannels + c] =
        (moments[i * 2 * latentChannels + c] as number) * scalingFactor;
      const value = moments[(i * 2 + 1) * latentChannels + c] as number;
      logvar[i * latentChannels + c] = Math.min(Math.max(value, -30), 20);
    }
  }
  return { mean, logvar };
}

/** mean + scale · exp(logvar / 2) · n with seeded normal n; `mean` is already scaled. */
export function sampleLatents(
  mean: Float32Array,
  logvar: Float32Array,
  scale: number,
  seed: number,
): Float32Array {
  const noise = normalNoise(mean.length, seed);
  return mean.map(
    (m, i) => m + scale * Math.exp(0.5 * (logvar[i] as number)) * (noise[i] as number),
  );
}
