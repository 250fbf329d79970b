/**
 * [.., rows, columns, inner] → [.., columns, rows, inner]: between our layout (rows of channels) and those that ONNX
 * graphs use.
 */
export function swapAxes(
  values: Float32Array,
  rows: number,
  columns: number,
  inner = 1,
): Float32Array {
  const size = rows * columns * inner;
  return values.map((_, i) => {
    const [row, column] = [Math.floor(i / inner) % rows, Math.floor((i % size) / (rows * inner))];
    return values[i - (i % size) + (row * columns + column) * inner + (i % inner)] as number;
  });
}
