/** Compiles a model for cards and measures what comes of it. */
import { spawnSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { DType } from "../../src/gpu/dtype.ts";
import type { Card } from "./cards.ts";
import { compileOn } from "./drivers.ts";
import { measure } from "./measure.ts";
import type { Options } from "./options.ts";
import type { CompileResult } from "./planned-shaders.ts";
import type { CompilersRecord, RunRecord } from "./record.ts";
import { runId, runRecord } from "./record.ts";
import { finalCode, parseReport } from "./report.ts";

/** Compilers that run at once. A process takes one core and 1 GB. */
const AT_ONCE = 2;

interface Run {
  readonly card: Card;
  readonly dtype: DType;
  readonly hasMatrixUnits: boolean;
}

/** All runs of the options. `folder`: of the drivers; `note` hears of each run as it ends. */
export async function runAll(
  folder: string,
  options: Options,
  note: (text: string) => void,
): Promise<CompilersRecord> {
  const runs = options.cards.flatMap((card) =>
    options.precisions.flatMap((dtype): Run[] => [
      { card, dtype, hasMatrixUnits: false },
      // Matrix units take f16.
      ...(card.matrixUnits && dtype === "f16" ? [{ card, dtype, hasMatrixUnits: true }] : []),
    ]),
  );
  const records = new Map<string, RunRecord>();
  let driver = "";
  const open = [...runs];
  const work = async (): Promise<void> => {
    for (let run = open.shift(); run !== undefined; run = open.shift()) {
      const { card, dtype, hasMatrixUnits } = run;
      const id = runId(card.id, dtype, hasMatrixUnits);
      const startedAt = performance.now();
      const result = await compileOn(folder, card, jobOf(options, run));
      ({ driver } = result);
      if (options.asm !== null) await writeCode(options.asm, id, card, result);
      const figures = result.shaders.map((shader) => measure(card, shader));
      records.set(id, runRecord(card, dtype, hasMatrixUnits, result.flops, figures));
      const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
      note(`${id}: ${result.shaders.length} shaders compiled in ${seconds} s`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const ids = runs.map(({ card, dtype, hasMatrixUnits }) => runId(card.id, dtype, hasMatrixUnits));
  return {
    date: new Date().toISOString().slice(0, 10),
    revision: revision(),
    mesa: /Mesa ([\d.]+)/.exec(driver)?.[1] ?? driver,
    model: options.model,
    size: options.size.join("x"),
    runs: Object.fromEntries(ids.map((id) => [id, records.get(id) as RunRecord])),
  };
}

function jobOf({ model, size, variants, filter }: Options, { card, dtype, hasMatrixUnits }: Run) {
  const [width, height] = size;
  const matrixUnits = hasMatrixUnits ? card.matrixUnits : null;
  return { model, width, height, dtype, matrixUnits, variants, filter };
}

/** `<dir>/<run>/<number> <label>.s`, in the order in which the model first needs them. */
async function writeCode(
  dir: string,
  id: string,
  { isa }: Card,
  { shaders }: CompileResult,
): Promise<void> {
  const folder = join(dir, id.replaceAll(" ", "-"));
  await mkdir(folder, { recursive: true });
  for (const [i, { label, code, report }] of shaders.entries()) {
    const name = `${String(i).padStart(2, "0")} ${label.replaceAll("/", "-")}`;
    await writeFile(join(folder, `${name}.wgsl`), code);
    const text = finalCode(isa, parseReport(report));
    if (text !== null) await writeFile(join(folder, `${name}.s`), text);
  }
}

/** The short name of the commit, with a + where files have been changed since. Null outside of a checkout. */
function revision(): string | null {
  const cwd = fileURLToPath(new URL("../..", import.meta.url));
  const said = spawnSync("git", ["describe", "--always", "--dirty=+"], { cwd, encoding: "utf8" });
  return said.status === 0 ? said.stdout.trim() : null;
}
