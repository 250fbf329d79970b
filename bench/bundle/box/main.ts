// Runs in the unpacked bundle, on a machine that has only a kernel, a C library and perhaps a GPU driver.
// Finds an adapter, then in every mode: doctor, verify, kernels, model, each in a process of its
// own, so that a driver that crashes costs one step. Prints one JSON object on stdout, progress on stderr.
import { spawn } from "node:child_process";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const HERE = dirname(fileURLToPath(import.meta.url));
const VULKAN = join(HERE, "vulkan");
const DISPLAY_LIBRARIES = join(HERE, "display");
const SOFTWARE_ICD = join(VULKAN, "vk_swiftshader_icd.json");

const USAGE = `./run.sh [options]: checks, then times; prints one JSON object
  --model <m>            full (recipe weights made on the spot), tiny, none; default full, on a CPU tiny
  --modes <a,b>          default; f16 (native f16 on NVIDIA under Vulkan); matrix (f16 and matrix units); default all
  --verify-filter <t>    only golden cases whose name contains this
  --kernels-filter <t>   only kernel cases whose name contains this
  --samples <n>          passes and warm images to time
  --time-limit <s>       seconds that a step may take (default 600)
  --out <file>           write the JSON there too
`;

const NATIVE_F16 = ["allow_unsafe_apis", "vulkan_enable_f16_on_nvidia"];
const MATRIX_FEATURE = "chromium-experimental-subgroup-matrix";

/** Dawn's toggles, environment, and variants of kernels that verify and model are made to take. */
const MODES = {
  default: { toggles: [], env: {}, variants: [] },
  f16: { toggles: NATIVE_F16, env: { RCOD_WITHOUT_FEATURES: MATRIX_FEATURE }, variants: [] },
  matrix: { toggles: NATIVE_F16, env: {}, variants: ["conv2d=matrix", "linear=matrix"] },
};

/** Places where drivers describe themselves that the loader does not always look at. */
const ICD_FOLDERS = [
  "/etc/vulkan/icd.d",
  "/usr/share/vulkan/icd.d",
  "/usr/local/share/vulkan/icd.d",
  "/usr/local/nvidia/share/vulkan/icd.d",
];
/** Where containers mount a driver's libraries. */
const DRIVER_LIBRARIES = ["/usr/local/nvidia/lib64", "/usr/local/nvidia/lib"];

/** Environments to try, in this order: what the system offers, then with what we bring along, then the CPU. */
function environments() {
  const inherited = process.env.LD_LIBRARY_PATH;
  const path = (folders) =>
    [...folders, ...DRIVER_LIBRARIES, ...(inherited ? [inherited] : [])].join(":");
  const icds = ICD_FOLDERS.filter(existsSync).flatMap((folder) =>
    readdirSync(folder)
      .filter((name) => /nvidia|radeon|amd|intel/.test(name) && name.endsWith(".json"))
      .map((name) => join(folder, name)),
  );
  const drivers = { VK_DRIVER_FILES: icds.join(":"), VK_ICD_FILENAMES: icds.join(":") };
  const brought = [
    ["", []],
    ["our loader", [VULKAN]],
    ["our loader and display libraries", [VULKAN, DISPLAY_LIBRARIES]],
  ].flatMap(([name, folders]) => [
    { name: name || "driver libraries", env: { LD_LIBRARY_PATH: path(folders) } },
    ...(icds.length > 0
      ? [
          {
            name: `${name || "driver libraries"}, named drivers`,
            env: { LD_LIBRARY_PATH: path(folders), ...drivers },
          },
        ]
      : []),
  ]);
  const software = {
    LD_LIBRARY_PATH: path([VULKAN]),
    VK_ICD_FILENAMES: SOFTWARE_ICD,
    VK_DRIVER_FILES: SOFTWARE_ICD,
    RCOD_SOFTWARE_ADAPTER: "1",
  };
  return [{ name: "system", env: {} }, ...brought, { name: "software adapter", env: software }];
}

/** Runs a Node script of the bundle to its end, whatever that is. */
function run(script, args, env, seconds) {
  return new Promise((resolve) => {
    const startedAt = Date.now();
    const child = spawn(process.execPath, [join(HERE, script), ...args], {
      cwd: HERE,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: seconds * 1000,
      killSignal: "SIGKILL",
    });
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (part) => (stdout += part));
    child.stderr.on("data", (part) => {
      stderr = (stderr + part).slice(-4000);
      process.stderr.write(part);
    });
    child.once("error", (error) => (stderr += error.message));
    child.once("close", (code, signal) =>
      resolve({ code, signal, seconds: (Date.now() - startedAt) / 1000, stdout, stderr }),
    );
  });
}

/** The JSON that a command printed, or what went wrong in its place. */
async function step(name, args, env, limit) {
  process.stderr.write(`== ${name}: rcod ${args.join(" ")}\n`);
  const { code, signal, seconds, stdout, stderr } = await run("bin/rcod.js", args, env, limit);
  let result = null;
  try {
    result = JSON.parse(stdout);
  } catch {
    // A crash or a time limit: stderr says more.
  }
  return {
    exitCode: code,
    seconds,
    ...(signal && { signal }),
    ...(result === null ? { stderr } : { result }),
  };
}

function options() {
  const { values } = parseArgs({
    options: {
      model: { type: "string" },
      modes: { type: "string", default: Object.keys(MODES).join(",") },
      "verify-filter": { type: "string" },
      "kernels-filter": { type: "string" },
      samples: { type: "string" },
      "time-limit": { type: "string", default: "600" },
      out: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const modes = values.modes.split(",");
  const unknown = modes.filter((name) => !Object.hasOwn(MODES, name));
  if (unknown.length > 0) throw new Error(`--modes: no mode "${unknown[0]}"`);
  if (![undefined, "full", "tiny", "none"].includes(values.model)) {
    throw new Error(`--model: full, tiny or none, got "${values.model}"`);
  }
  const limit = Number(values["time-limit"]);
  if (!(limit > 0)) throw new Error(`--time-limit: seconds above 0, got "${values["time-limit"]}"`);
  return { ...values, modes, limit };
}

async function main() {
  const chosen = options();
  if (chosen.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const tried = [];
  let found;
  for (const candidate of environments()) {
    const { code, stderr } = await run("dist/cli/probe.js", [], candidate.env, 60);
    tried.push({ name: candidate.name, exitCode: code, ...(code !== 0 && { stderr }) });
    if (code === 0) {
      found = candidate;
      break;
    }
  }
  const record = {
    bundle: 1,
    date: new Date().toISOString(),
    machine: {
      cpu: cpus()[0]?.model ?? "unknown",
      cores: cpus().length,
      memoryBytes: totalmem(),
      kernel: release(),
    },
    adapterSearch: tried,
    runs: [],
  };
  let failed = found === undefined;
  if (found !== undefined) {
    const samples = chosen.samples === undefined ? [] : ["--samples", chosen.samples];
    const filter = (text) => (text === undefined ? [] : ["--filter", text]);
    for (const name of chosen.modes) {
      const { toggles: features, variants, env } = MODES[name];
      const toggles = features.length > 0 ? ["--dawn-toggles", features.join(",")] : [];
      const rcod = (label, ...args) =>
        step(
          `${name} ${label}`,
          [...toggles, ...args, "--json"],
          { ...found.env, ...env },
          chosen.limit,
        );
      const doctor = await rcod("doctor", "doctor");
      const adapter = doctor.result?.adapter;
      if (variants.length > 0 && doctor.exitCode === 0 && !adapter?.matrixUnits) {
        const skipped = `no matrix units: ${adapter?.matrixRefusal ?? "the adapter tells nothing"}`;
        process.stderr.write(`== ${name}: left out, ${skipped}\n`);
        record.runs.push({ mode: name, dawnToggles: features, doctor, skipped });
        continue;
      }
      const isSoftware = adapter?.isSoftware ?? true;
      const forced = variants.flatMap((variant) => ["--variant", variant]);
      const halves = variants.length > 0 ? ["--precision", "f16"] : [];
      const model = chosen.model ?? (isSoftware ? "tiny" : "full");
      const steps = {
        doctor,
        verify: await rcod(
          "verify",
          "verify",
          "goldens",
          ...halves,
          ...forced,
          ...filter(chosen["verify-filter"]),
        ),
        kernels: await rcod(
          "kernels",
          "bench",
          "--suite",
          "kernels",
          ...halves,
          ...samples,
          ...filter(chosen["kernels-filter"]),
        ),
        ...(model !== "none" && {
          model: await rcod(
            `model ${model}`,
            "bench",
            "--suite",
            "model",
            ...halves,
            ...forced,
            ...samples,
            ...(model === "full" ? ["--model", "configs/sd21-clip-l", "--recipe-weights"] : []),
          ),
        }),
      };
      failed ||= Object.values(steps).some(({ exitCode }) => exitCode !== 0);
      record.runs.push({ mode: name, dawnToggles: features, ...steps });
    }
  }
  const text = `${JSON.stringify(record)}\n`;
  if (chosen.out !== undefined) writeFileSync(chosen.out, text);
  await new Promise((resolve) => process.stdout.write(text, () => resolve()));
  return failed ? 1 : 0;
}

try {
  process.exit(await main());
} catch (error) {
  process.stderr.write(`${error.message}\n\n${USAGE}`);
  process.exit(2);
}
