import { readFileSync } from "node:fs";
import { CARDS } from "./cards.ts";
import { measure } from "./measure.ts";
export async function main(args: readonly string[]) {
  for (const id of args) {
    const card = CARDS.find((c) => c.id === id.split("+")[0])!;
    const all = (JSON.parse(readFileSync(`/work/tmp/comp-${id}.json`, "utf8")) as any[]).map((s) =>
      measure(card, s),
    );
    const flops = all.reduce((a, s) => a + s.flops, 0);
    console.log(
      "==",
      card.name,
      id,
      "least",
      all.reduce((a, s) => a + s.leastMs, 0).toFixed(1),
      "flops/peak",
      (flops / 2 / (card.peaks.cores * card.peaks.lanes * card.peaks.gigahertz * 1e6)).toFixed(1),
    );
    for (const s of all.toSorted((a, b) => b.leastMs - a.leastMs).slice(0, 12)) {
      const b = s.bound;
      const h = s.hot?.counts;
      const st = s.step?.counts;
      const fill = (c: any) =>
        c
          ? `ma ${c.multiplyAdd.toFixed(0)} mx ${c.matrix.toFixed(0)} v ${c.vector.toFixed(0)} sh ${c.shared.toFixed(0)} g ${c.global.toFixed(0)} s ${c.scalar.toFixed(0)} [${((100 * c.multiplyAdd) / (c.multiplyAdd + c.vector)).toFixed(0)}% ${((100 * c.multiplyAdd) / (c.multiplyAdd + c.vector + c.scalar + c.shared + c.global + c.barrier)).toFixed(0)}%]`
          : "-";
      console.log(
        s.label.slice(0, 38).padEnd(38),
        ((100 * s.flops) / flops).toFixed(1) + "%",
        "x" + s.dispatches,
        "R",
        s.registers,
        "sp",
        s.spills + "/" + s.registerSpills,
        "occ",
        s.occupancy,
        "lds",
        s.sharedBytes,
        "sg",
        s.subgroupSize,
        s.isKnown ? "" : "UNKNOWN",
        "| hot",
        fill(h),
        JSON.stringify(s.hot?.sharedWidths),
        "| step",
        fill(st),
        "| v",
        b.vector.toFixed(1),
        "m",
        b.matrix.toFixed(1),
        "s",
        b.scalar.toFixed(1),
        "l",
        b.shared.toFixed(1),
        "g",
        b.global.toFixed(1),
        "=",
        s.leastMs.toFixed(1),
        "x" + s.multiplyAddsPerNeeded?.toFixed(2),
      );
    }
  }
  return 0;
}
