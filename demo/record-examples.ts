/**
 * Runs Inside, Benchmark and Verify of the built page, and stores what they give as the examples that these tabs begin
 * with. From a checkout, on a machine that does nothing else:
 *
 *     npm run build:demo && node bench/run.mjs ../demo/record-examples
 *
 * After a name (`inside`, `benchmark`, `verify`) only that is recorded; `RCOD_CHROMIUM` is another browser, on its own GPU.
 */
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { availableParallelism, cpus } from "node:os";
import { fileURLToPath } from "node:url";
import type { Page } from "puppeteer-core";
import type { App } from "./app.ts";
import { DIST, visitBuiltPage } from "./built-page.ts";
import type { BenchmarkRecord } from "./tabs/benchmark/record.ts";
import type { Example } from "./tabs/example/example.ts";
import { LETTERS, pack } from "./tabs/example/packed.ts";
import type { InsideRecord } from "./tabs/inside/record.ts";
import { inOrder } from "./tabs/verify/golden-files.ts";
import type { VerifyOutcome } from "./tabs/verify/outcome.ts";

const OUT = fileURLToPath(new URL("./examples/", import.meta.url));
const MAX_BYTES = 150_000;
/** Of the photo's middle: pictures of values that can be read, in a file that is small. */
const INSIDE_SIDE = 44;
/** Of a captured value. */
const CHANNELS = 8;

declare global {
  /** `rcodDemo` of the page, which is there. */
  var demoApp: App;
  var packRecord: (record: unknown) => Promise<string>;
}

/** A record without what is not drawn, as JSON. */
const RECORDERS: Readonly<Record<string, (page: Page) => Promise<string>>> = {
  inside: recordInside,
  benchmark: recordBenchmark,
  verify: recordVerify,
};

export function main(names: readonly string[]): Promise<number> {
  return visitBuiltPage(async (browser, address) => {
    await mkdir(OUT, { recursive: true });
    for (const [name, record] of Object.entries(RECORDERS)) {
      if (names.length > 0 && !names.includes(name)) continue;
      const page = await browser.newPage();
      await page.goto(`${address}?debug&canvas=2d`);
      // Not by a script tag: the page's policy refuses it.
      await page.evaluate(
        `demoApp = rcodDemo; packRecord = (record) => (${pack.toString()})(record, "${LETTERS}")`,
      );
      const { device, runtime } = await describe(page);
      const startedAt = performance.now();
      const packed = await record(page);
      const durationMs = Math.round(performance.now() - startedAt);
      const date = new Date().toISOString();
      const example: Example<string> = { device, date, runtime, durationMs, record: packed };
      const text = `${JSON.stringify(example, null, 2)}\n`;
      if (text.length > MAX_BYTES) throw new Error(`${name}.json has ${text.length} bytes`);
      await writeFile(`${OUT}${name}.json`, text);
      process.stdout.write(`${name}.json: ${text.length} bytes, ${durationMs} ms\n`);
      await page.close();
    }
  });
}

async function describe(page: Page): Promise<Pick<Example<unknown>, "device" | "runtime">> {
  const { name, isSoftware, runtime } = await page.evaluate(async () => {
    const device = await demoApp.start();
    return { ...device, runtime: navigator.userAgent };
  });
  // The processor is what computes there.
  const processor = `${availableParallelism()} cores of ${cpus()[0]?.model ?? "a processor"}`;
  const device = name.replace(/ Device \(.*\)$/, "");
  return { device: isSoftware ? `${device}, ${processor}` : device, runtime };
}

function recordInside(page: Page): Promise<string> {
  return page.evaluate(
    async (maxSide, channelCount) => {
      const app = demoApp;
      const photo = await fetch("./photos/boats.png");
      await app.openImage(await photo.blob(), "boats.png");
      await app.chooseModel(app.store.get().modelChoice);
      const record = await app.call("inside", { realism: "auto", captures: "default", maxSide });
      const passes = record.passes?.map((pass) => {
        const { stage, label, kernel, variant, startMs, durationMs } = pass;
        return { stage, label, kernel, variant, startMs, durationMs };
      });
      // Half of the grey levels are enough for small pictures.
      const captures = record.captures.map((view) => ({
        ...view,
        channels: view.channels.slice(0, channelCount).map((channel) => ({
          ...channel,
          grey: channel.grey.map((value) => Math.round(value / 8.2) * 8.2),
        })),
      }));
      // Of steps only their number is shown, and modules are for choosing others.
      const networks = record.networks.map((network) => ({
        ...network,
        steps: network.steps.map(() => ({})),
      }));
      const modules = { tokens: [], encode: [], unet: [], decode: [] };
      return packRecord({
        ...record,
        passes: passes ?? null,
        captures,
        networks,
        modules,
      } satisfies Shape<InsideRecord>);
    },
    INSIDE_SIDE,
    CHANNELS,
  );
}

function recordBenchmark(page: Page): Promise<string> {
  return page.evaluate(async () => {
    const { port1: updates } = new MessageChannel();
    const args = { suite: "quick", precision: "auto", filter: "", updates } as const;
    const record = await demoApp.call("benchmark", args, { transfer: [updates] });
    return packRecord(record satisfies Shape<BenchmarkRecord>);
  });
}

async function recordVerify(page: Page): Promise<string> {
  const names = inOrder(await readdir(`${DIST}/goldens`));
  return page.evaluate(async (files) => {
    const beside = files.map((name) => ({
      name,
      url: new URL(`goldens/${name}`, location.href).href,
    }));
    const jobs = (["f32", "f16"] as const).flatMap((precision) =>
      beside.map((source) => ({ precision, source })),
    );
    const { port1: updates } = new MessageChannel();
    const args = { jobs, beside, updates };
    const outcome = await demoApp.call("verify", args, { transfer: [updates] });
    const results = outcome.results.map(({ precision, result }) => {
      const { file, case: name, status, outputs, durationMs, note } = result;
      return { precision, result: { file, case: name, status, outputs, durationMs, note } };
    });
    return packRecord({ ...outcome, results } satisfies Shape<VerifyOutcome>);
  }, names);
}

/** Has what `T` has, less exactly. */
type Shape<T> = { readonly [K in keyof T]: unknown };
