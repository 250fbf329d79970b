// node bench/full-size/measure.mjs <what> --model DIR [--clip DIR] [--checkpoint FILE] [--out DIR] [--save FILE]
//     [--low-memory] [--side 32] [--cap BYTES]
//
// What loading or converting a model takes: time, peak memory of the process, peak of the JavaScript heap and of the
// buffers outside it. `what` is "convert", "load" or "upscale" (loads, then makes a picture of four times `--side`, of noise).
// With `--cap` the exit code is 1 where buffers of the device were ever more bytes than that.
// A software adapter keeps device memory in this process: its counted bytes are given beside, to be subtracted.
// Needs `npm run build`. On a machine without a GPU the process starts itself again with the software adapter.
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { runConvert } from "../../dist/cli/convert/run.js";
import { loadModelAt } from "../../dist/cli/engine.js";
import { launch } from "../../dist/cli/launch.js";
import { requestNodeGpu } from "../../dist/src/node/gpu.js";

const SAMPLE_MS = 10;
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: "string" },
    clip: { type: "string" },
    checkpoint: { type: "string" },
    out: { type: "string" },
    save: { type: "string" },
    precision: { type: "string", default: "f16" },
    "low-memory": { type: "boolean", default: false },
    side: { type: "string", default: "32" },
    cap: { type: "string" },
  },
});
const [what] = positionals;
const { model, clip, checkpoint } = values;
const paths = { model, ...(clip && { clip }), ...(checkpoint && { checkpoint }) };

const exitCode = what === "convert" ? null : await launch();
if (exitCode === null) await measure();
else process.exitCode = exitCode;

async function measure() {
  const gpu = what === "convert" ? null : await requestNodeGpu();
  const peaks = {
    heapUsed: 0,
    external: 0,
    heapAndExternal: 0,
    rss: 0,
    rssBesideDevice: 0,
    device: 0,
  };
  const startRss = process.memoryUsage.rss();
  const sample = () => {
    const { heapUsed, external, rss } = process.memoryUsage();
    const device = gpu?.memory.use().currentBytes ?? 0;
    const now = {
      heapUsed,
      external,
      heapAndExternal: heapUsed + external,
      rss,
      rssBesideDevice: rss - device,
      device,
    };
    for (const [key, bytes] of Object.entries(now)) peaks[key] = Math.max(peaks[key], bytes);
  };
  const timer = setInterval(sample, SAMPLE_MS);
  const times = {};
  const timed = async (name, work) => {
    const startedAt = performance.now();
    const result = await work();
    times[name] = Math.round(performance.now() - startedAt);
    sample();
    return result;
  };
  let result;
  if (what === "convert") {
    const options = { ...paths, out: values.out, dtype: "fp16", shardSize: 200e6, quiet: true };
    const terminal = { out: console.log, note: console.error, progressStream: process.stderr };
    await timed("convert", () => runConvert(options, terminal));
  } else {
    const options = { gpu, precision: values.precision, lowMemory: values["low-memory"] };
    const loaded = await timed("load", () => loadModelAt(paths, options));
    const loadPeaks = mebibytes(peaks);
    if (what === "upscale") {
      const image = noise(Number(values.side));
      const { peakBytes: plannedBytes } = await loaded.estimate({
        width: image.width,
        height: image.height,
      });
      const { image: output, ...rest } = await timed("upscale", () => loaded.upscale(image));
      times.loadPeaks = loadPeaks;
      result = { size: [output.width, output.height], plannedBytes, ...rest };
      if (values.save) writeFileSync(values.save, output.data);
    }
    const { peakBytes } = gpu.memory.use();
    result = { ...result, deviceBytes: peakBytes };
    if (values.cap !== undefined && !(peakBytes <= Number(values.cap))) {
      console.error(`measure: buffers must stay within ${values.cap} bytes, got ${peakBytes}`);
      process.exitCode = 1;
    }
    loaded.dispose();
    gpu.destroy();
  }
  clearInterval(timer);
  const highWater = /VmHWM:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"));
  console.log(
    JSON.stringify(
      {
        what,
        ...paths,
        precision: values.precision,
        lowMemory: values["low-memory"],
        timesMs: times,
        peakMiB: mebibytes(peaks),
        startRssMiB: Math.round(startRss / 2 ** 20),
        highWaterMiB: highWater ? Math.round(Number(highWater[1]) / 1024) : null,
        result,
      },
      null,
      1,
    ),
  );
}

function mebibytes(bytes) {
  return Object.fromEntries(
    Object.entries(bytes).map(([key, value]) => [key, Math.round(value / 2 ** 20)]),
  );
}

/** Smooth noise, always the same. */
function noise(side) {
  const data = new Uint8Array(side * side * 3);
  let state = 1;
  for (let i = 0; i < data.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const x = Math.floor(i / 3) % side;
    data[i] = Math.round(127 + 60 * Math.sin(x / 3) + 40 * (state / 2 ** 32 - 0.5));
  }
  return { width: side, height: side, channels: 3, data };
}
