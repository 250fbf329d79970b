/** LoRA merge and packed weight layout, element by element. */

/** `weight[o, r] + scaling · Σ_k b[o, k] · a[k, r]`, with r over everything behind the output axis. */
export function mergeLora(
  weight: Float64Array,
  a: Float64Array,
  b: Float64Array,
  rank: number,
  scaling: number,
): Float64Array {
  const outChannels = b.length / rank;
  const rest = weight.length / outChannels;
  return weight.map((value, index) => {
    const o = Math.floor(index / rest);
    let delta = 0;
    for (let k = 0; k < rank; k++) {
      delta += (b[o * rank + k] as number) * (a[k * rest + (index % rest)] as number);
    }
    return value + scaling * delta;
  });
}

/** Rows in packing order: padded to quads; with GEGLU quads of the two halves in turn. -1 is padding. */
export function packedRows(outChannels: number, geglu: boolean): number[] {
  const quadsOf = (first: number, count: number): number[][] => {
    const quads: number[][] = [];
    for (let start = 0; start < count; start += 4) {
      quads.push([0, 1, 2, 3].map((lane) => (start + lane < count ? first + start + lane : -1)));
    }
    return quads;
  };
  if (!geglu) return quadsOf(0, outChannels).flat();
  const half = outChannels / 2;
  const gates = quadsOf(half, half);
  return quadsOf(0, half).flatMap((values, index) => [...values, ...(gates[index] as number[])]);
}

/**
 * weight: [outChannels, inChannels, taps] → [taps, input channels padded to quads / 4, output quads, 4
 * input channels, 4 output channels], zero in the padding.
 */
export function packWeight(
  weight: Float64Array,
  outChannels: number,
  inChannels: number,
  taps: number,
  geglu: boolean,
): Float64Array {
  const rows = packedRows(outChannels, geglu);
  const packed: number[] = [];
  for (let tap = 0; tap < taps; tap++) {
    for (let firstIn = 0; firstIn < inChannels; firstIn += 4) {
      for (let firstRow = 0; firstRow < rows.length; firstRow += 4) {
        for (let i = firstIn; i < firstIn + 4; i++) {
          for (const o of rows.slice(firstRow, firstRow + 4)) {
            const inside = o >= 0 && i < inChannels;
            packed.push(inside ? (weight[(o * inChannels + i) * taps + tap] as number) : 0);
          }
        }
      }
    }
  }
  return Float64Array.from(packed);
}

/**
 * weight [rest, 3, 3] → [rest, 16]: the taps of the four phases of a convolution after nearest doubling,
 * found by asking which pixel of the small map each tap of the 3×3 kernel meets.
 */
export function upsampleTaps(weight: Float64Array): Float64Array {
  const folded = new Float64Array((weight.length / 9) * 16);
  weight.forEach((value, index) => {
    const [kernel, ky, kx] = [Math.floor(index / 9), Math.floor((index % 9) / 3), index % 3];
    for (const py of [0, 1]) {
      for (const px of [0, 1]) {
        // Output row 2i + py meets row 2i + py + ky − 1 of the doubled map, which is row i + … of the small one.
        const u = Math.floor((py + ky - 1) / 2) + (1 - py);
        const v = Math.floor((px + kx - 1) / 2) + (1 - px);
        const at = kernel * 16 + (2 * py + px) * 4 + 2 * u + v;
        folded[at] = (folded[at] as number) + value;
      }
    }
  });
  return folded;
}
