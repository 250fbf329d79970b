/** Loops of a shader that are written out: one line, or block of lines, for each turn. */

/**
 * `line(0)` to `line(count − 1)`, each on lines of its own. For arrays that would be indexed by loop variables: written
 * out they stay in registers (an indexed array ran 1.7 times slower on SwiftShader, where it lies in memory).
 */
export function unroll(count: number, line: (index: number) => string): string {
  return Array.from({ length: count }, (_, index) => line(index)).join("\n");
}
