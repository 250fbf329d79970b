/** The latent posterior on the host, for sampling instead of taking its mean. */
import type { VaeConfig } from "../settings/config.ts";
import { sampleChannels } from "../settings/config.ts";

/**
 * mean + scale · exp(logvar / 2) · n with seeded normal n; `mean` is already scaled. What of it belongs to the pixel path stays as
 * it is: that is no posterior.
 */
export function sampleLatents(
  mean: Float32Array,
  logvar: Float32Array,
  vae: Pick<VaeConfig, "latentChannels" | "pixelChannels" | "scalingFactor">,
  seed: number,
): Float32Array {
  const { latentChannels, scalingFactor: scale } = vae;
  const channels = sampleChannels(vae);
  const noise = normalNoise(logvar.length, seed);
  const sample = mean.slice();
  noise.forEach((n, i) => {
    const place = Math.floor(i / latentChannels) * channels + (i % latentChannels);
    const deviation = scale * Math.exp(0.5 * (logvar[i] as number));
    sample[place] = (mean[place] as number) + deviation * n;
  });
  return sample;
}

/**
 * `count` normal deviates from a seed, the same on every machine: mulberry32 and Box–Muller in doubles. Not
 * PyTorch's generator: the reference does not seed its sample, so there is nothing to reproduce.
 */
function normalNoise(count: number, seed: number): Float32Array<ArrayBuffer> {
  let state = seed >>> 0;
  const uniform = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 4294967296; // open interval: log(0) cannot happen
  };
  const out = new Float32Array(count);
  for (let i = 0; i < count; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(uniform()));
    const angle = 2 * Math.PI * uniform();
    out[i] = radius * Math.cos(angle);
    if (i + 1 < count) out[i + 1] = radius * Math.sin(angle);
  }
  return out;
}
