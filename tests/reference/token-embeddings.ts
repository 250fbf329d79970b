/** patches [B, P, C], class embedding [C], positions [P + 1, C] → [B, P + 1, C]. */
export function tokenEmbeddings(
  batch: number,
  patches: Float64Array,
  classEmbedding: Float64Array,
  position: Float64Array,
): Float64Array {
  const channels = classEmbedding.length;
  const tokens = position.length / channels;
  const y = new Float64Array(batch * position.length);
  for (let b = 0; b < batch; b++) {
    for (let t = 0; t < tokens; t++) {
      for (let c = 0; c < channels; c++) {
        const token =
          t === 0
            ? (classEmbedding[c] as number)
            : (patches[(b * (tokens - 1) + t - 1) * channels + c] as number);
        y[(b * tokens + t) * channels + c] = token + (position[t * channels + c] as number);
      }
    }
  }
  return y;
}
