import { writeFile } from "node:fs/promises";
import { CARDS } from "./cards.ts";
import { compileOn, fetchDrivers } from "./drivers.ts";
export async function main(argv: readonly string[]): Promise<number> {
  const folder = await fetchDrivers();
  for (const id of argv) {
    const [name, mode] = id.split("+");
    const card = CARDS.find((c) => c.id === name)!;
    const t = performance.now();
    const shaders = await compileOn(folder, card, {
      model: "bench/configs/sd21-clip-l",
      width: 512,
      height: 512,
      dtype: "f16",
      matrixUnits: mode ? card.matrixUnits : null,
    });
    await writeFile(`/work/tmp/comp-${id}.json`, JSON.stringify(shaders));
    console.log(id, shaders.length, ((performance.now() - t) / 1000).toFixed(1));
  }
  return 0;
}
