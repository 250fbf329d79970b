/** Loops of a shader that are written out: one line, or block of lines, for each turn. */

/**
 * `line(0)` to `line(count − 1)`, each on lines of its own. Or `text` so many times, in which `name` (such as `$r`)
 * stands for the number of the turn: `unroll(2, "$r", "var sum$r = 0.0;")`.
 *
 * For arrays that would be indexed by loop variables. Written out they stay in registers: on SwiftShader an indexed
 * array lies in memory and ran 1.7 times slower.
 */
export function unroll(count: number, line: (index: number) => string): string;
export function unroll(count: number, name: `$${string}`, text: string): string;
export function unroll(
  count: number,
  line: string | ((index: number) => string),
  text = "",
): string {
  const turn = (index: number): string =>
    typeof line === "function" ? line(index) : text.replaceAll(line, `${index}`);
  return Array.from({ length: count }, (_, index) => turn(index)).join("\n");
}
