/** GEGLU in double precision. */
import { activation } from "./activation.ts";

/** x [rows, 2·channels] = [value | gate] → value · gelu(gate) [rows, channels]. */
export function geglu(x: Float64Array, rows: number, channels: number): Float64Array {
  const y = new Float64Array(rows * channels);
  for (let row = 0; row < rows; row++) {
    for (let c = 0; c < channels; c++) {
      const value = x[row * 2 * channels + c] as number;
      const gate = x[row * 2 * channels + channels + c] as number;
      y[row * channels + c] = value * activation("gelu", gate);
    }
  }
  return y;
}
