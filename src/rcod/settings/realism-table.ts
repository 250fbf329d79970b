/**
 * The way of the knob: which timestep a realism from 0 to 1 is. A table of timesteps at equal steps of realism, the first for 0
 * and the last for 1, with straight lines between them. A model's own makes equal turns of the knob change the picture alike.
 */

/** Two or more rising timesteps. */
export type RealismTable = readonly number[];

/** The timestep of a realism in 0 … 1. */
export function timestepAt(table: RealismTable, realism: number): number {
  const place = realism * (table.length - 1);
  const index = Math.min(Math.floor(place), table.length - 2);
  const [from, to] = sectionAt(table, index);
  return from + (to - from) * (place - index);
}

/** The realism of a timestep: the other way round, and straight on beyond both ends. */
export function realismAt(table: RealismTable, timestep: number): number {
  const next = table.findIndex((entry, i) => i > 0 && timestep <= entry);
  const index = (next < 0 ? table.length - 1 : next) - 1;
  const [from, to] = sectionAt(table, index);
  return (index + (timestep - from) / (to - from)) / (table.length - 1);
}

/** The two timesteps of a section of the table. */
function sectionAt(table: RealismTable, index: number): readonly [from: number, to: number] {
  return [table[index] as number, table[index + 1] as number];
}
