/**
 * `node bench/run.mjs quantization/speed [--adapter swiftshader|llvmpipe] [--side 64] [--rounds 5] FOLDER FOLDER …`: what a call
 * takes with models that differ in the storage of their weights, the first being what the others are compared with. The models
 * take turns in one process, so that a change of clock speed or other work meets all. Prints one JSON object: for each folder
 * the least and the median of the warm calls, in milliseconds of all threads of the process and of the wall clock.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { requestNodeGpu } from "../../src/node/gpu.ts";
import type { SoftwareAdapter } from "../../src/node/software-adapter.ts";
import { SOFTWARE_MARKER, unpackedMesa } from "../../src/node/software-adapter.ts";
import { swiftShader } from "../../src/node/swiftshader.ts";
import type { RcodModel } from "../../src/rcod/model.ts";
import { loadModel } from "../../src/rcod/model.ts";
import type { RawImage } from "../../src/rcod/settings/options.ts";
import { folderFiles } from "../../src/weights/sources/node-source.ts";

const USAGE =
  "quantization/speed [--adapter swiftshader|llvmpipe] [--side 64] [--rounds 5] FOLDER FOLDER …\n";

const pathOf = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url));

/** A driver is chosen when a process starts. */
async function adapterNamed(name: string): Promise<SoftwareAdapter | null> {
  if (name === "swiftshader") return swiftShader();
  return name === "llvmpipe" ? unpackedMesa(pathOf("node_modules/.cache/mesa")) : null;
}

/** Noise with structure, always the same. */
function testImage(side: number): RawImage {
  const data = Uint8Array.from({ length: side * side * 3 }, (_, i) => {
    const x = Math.floor(i / 3) % side;
    return 127 + 60 * Math.sin(x / 3) + ((Math.imul(i + 1, 0x9e3779b9) >>> 26) - 32);
  });
  return { width: side, height: side, channels: 3, data };
}

interface Times {
  readonly threads: number[];
  readonly wall: number[];
}

async function timed(model: RcodModel, image: RawImage, { threads, wall }: Times): Promise<void> {
  const [cpu, at] = [process.cpuUsage(), performance.now()];
  await model.upscale(image, { realism: "fidelity" });
  const { user, system } = process.cpuUsage(cpu);
  wall.push(performance.now() - at);
  threads.push((user + system) / 1000);
}

const least = (values: readonly number[]): number => Math.round(Math.min(...values));
const median = (values: readonly number[]): number =>
  Math.round(values.toSorted((a, b) => a - b)[values.length >> 1] as number);

export async function main(argv: readonly string[]): Promise<number> {
  const { values, positionals: folders } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      adapter: { type: "string" },
      side: { type: "string", default: "64" },
      rounds: { type: "string", default: "5" },
    },
  });
  const [side, rounds] = [Number(values.side), Number(values.rounds)];
  if (folders.length === 0 || !(side >= 1) || !(rounds >= 1)) {
    process.stderr.write(USAGE);
    return 2;
  }
  if (values.adapter !== undefined && process.env[SOFTWARE_MARKER] === undefined) {
    const adapter = await adapterNamed(values.adapter);
    if (adapter === null) {
      process.stderr.write(`quantization/speed: no adapter ${values.adapter} here\n${USAGE}`);
      return 2;
    }
    const args = [pathOf("bench/run.mjs"), "quantization/speed", ...argv];
    const env = { ...process.env, ...adapter.env };
    return spawnSync(adapter.node, args, { env, stdio: "inherit" }).status ?? 1;
  }
  const gpu = await requestNodeGpu();
  const image = testImage(side);
  const models = await Promise.all(
    folders.map(async (folder) => {
      const model = await loadModel(folderFiles(folder), { gpu });
      const times: Times = { threads: [], wall: [] };
      await model.upscale(image, { realism: "fidelity" }); // compiles
      return { folder, model, times };
    }),
  );
  for (let round = 0; round < rounds; round++) {
    for (const { model, times } of models) await timed(model, image, times);
  }
  const first = models[0]?.times.threads ?? [];
  const rows = models.map(({ folder, times: { threads, wall } }) => ({
    folder,
    threadsMs: { least: least(threads), median: median(threads) },
    wallMs: { least: least(wall), median: median(wall) },
    threadsToFirst: Number((Math.min(...threads) / Math.min(...first) - 1).toFixed(3)),
  }));
  const date = new Date().toISOString().slice(0, 10);
  const report = { date, adapter: gpu.caps.description, side, rounds, rows };
  process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  return 0;
}
