// A hash of the SPIR-V that Tint makes of each WGSL file in a folder: names, comments and constants by name do not
// matter to it. With `dispatch-hashes --each --codes FOLDER` it proves that a rewritten shader is still the same.
//
//   export RCOD_NODE=node_modules/.cache/mesa/node VK_DRIVER_FILES=node_modules/.cache/mesa/icd/lvp_icd.json
//   node tests/support/spirv-hashes.mjs FOLDER >hashes.json
//
// RCOD_NODE is a Node whose adapter has the features that the shaders enable (tests/matrix-units/run.sh makes it).
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { argv, env, execPath, exit } from "node:process";

const FEATURES =
  "shader-f16 subgroups subgroup-size-control chromium-experimental-subgroup-matrix".split(" ");
const [folder, ...chunk] = argv.slice(2);
const read = (name) => readFileSync(`${folder}/${name}`, "utf8");
const squeezed = (text) => text.replaceAll(/\s+/g, " ").trim();

if (chunk.length > 0) {
  const { create, globals } = await import("webgpu");
  Object.assign(globalThis, globals);
  const gpu = create(["enable-dawn-features=dump_shaders,allow_unsafe_apis"]);
  const adapter = await gpu.requestAdapter();
  const { maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup } = adapter.limits;
  const device = await adapter.requestDevice({
    requiredFeatures: FEATURES.filter((name) => adapter.features.has(name)),
    requiredLimits: { maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup },
  });
  for (const name of chunk) {
    device.pushErrorScope("validation");
    const module = device.createShaderModule({ code: read(name) });
    const compute = { module, entryPoint: "main" };
    // What this adapter cannot compile has no hash.
    await device.createComputePipelineAsync({ layout: "auto", compute }).catch(() => undefined);
    await device.popErrorScope();
  }
  exit(0);
}

const hashes = {};
let names = readdirSync(folder).filter((name) => name.endsWith(".wgsl"));
const named = new Map(names.map((name) => [squeezed(read(name)), name]));
// Dawn writes to the process's own output, and may lose some of it: what is missing is compiled again, in smaller groups.
for (const size of [50, 10, 1]) {
  for (let i = 0; i < names.length; i += size) {
    const args = [import.meta.filename, folder, ...names.slice(i, i + size)];
    const options = { maxBuffer: 2 ** 30, encoding: "utf8" };
    const { stdout } = spawnSync(env.RCOD_NODE ?? execPath, args, options);
    for (const piece of stdout.split("// Dumped WGSL:\n").slice(1)) {
      const name = named.get(squeezed(piece.split(/\n(?:info|warning):\n/)[0]));
      const spirv = /; SPIR-V[^]*?(?=\n(?:info|warning):|$)/.exec(piece)?.[0].trim();
      if (name === undefined || spirv === undefined) continue;
      hashes[name] = createHash("sha256").update(spirv).digest("hex").slice(0, 16);
    }
  }
  names = names.filter((name) => !(name in hashes));
}
console.log(JSON.stringify({ hashes, "not compiled": names }, null, 1));
