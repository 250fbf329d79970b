/** A LoRA whose matrix between the factors depends on the input, by its definition. */

/**
 * `weight[o, r] + scaling · Σ_j Σ_k b[o, j] · m[k, j] · a[k, r]`: what the layer base + scaling·B(A(x)·M), with
 * A(x) a row vector, is to a single weight. r is over everything behind the output axis.
 */
export function mergeModulatedLora(
  weight: Float64Array,
  a: Float64Array,
  b: Float64Array,
  m: Float64Array,
  rank: number,
  scaling: number,
): Float64Array {
  const outChannels = b.length / rank;
  const rest = weight.length / outChannels;
  return weight.map((value, index) => {
    const o = Math.floor(index / rest);
    let delta = 0;
    for (let j = 0; j < rank; j++) {
      for (let k = 0; k < rank; k++) {
        delta +=
          (b[o * rank + j] as number) *
          (m[k * rank + j] as number) *
          (a[k * rest + (index % rest)] as number);
      }
    }
    return value + scaling * delta;
  });
}

/** B·Mᵀ [outChannels, rank]. */
export function modulatedFactor(b: Float64Array, m: Float64Array, rank: number): Float64Array {
  return b.map((_, index) => {
    const [o, k] = [Math.floor(index / rank), index % rank];
    let sum = 0;
    for (let j = 0; j < rank; j++) sum += (b[o * rank + j] as number) * (m[k * rank + j] as number);
    return sum;
  });
}
