/** Benchmark, Verify and Inside in the built page, each with the least work that shows something. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ElementHandle, Page } from "puppeteer-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { useBrowser } from "../browser/support.ts";
import { seriousFindings } from "./axe.ts";
import { builtDemo } from "./support.ts";

const GOLDEN = fileURLToPath(
  new URL("../fixtures/goldens/ops_resize_time.safetensors", import.meta.url),
);

/** Pipelines compile for half a minute on a software adapter, and for longer where others compute beside. */
const PATIENCE_MS = 400_000;

const browser = await useBrowser();

describe.skipIf(browser === null)("the demo page", () => {
  let folder = "";
  beforeAll(async () => {
    browser!.server.mount("demo", await builtDemo());
    folder = await mkdtemp(join(tmpdir(), "rcod-report-tabs-"));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** Opens a view. What it copies and saves is kept in `taken`. */
  async function openTab(id: string): Promise<Page> {
    const { page } = await browser!.open(`/demo/?debug&canvas=2d#tab=${id}`);
    await page.waitForSelector(`#view-${id} h2`);
    await page.evaluate(() => {
      const taken = { text: "", json: "" };
      Object.assign(globalThis, { taken });
      const keep = (text: string): Promise<void> => {
        taken.text = text;
        return Promise.resolve();
      };
      Object.defineProperty(navigator.clipboard, "writeText", { value: keep });
      const { createObjectURL } = URL;
      URL.createObjectURL = (blob) => {
        if (blob instanceof Blob) void blob.text().then((text) => (taken.json = text));
        return createObjectURL.call(URL, blob);
      };
    });
    return page;
  }

  const taken = (page: Page, what: "text" | "json"): Promise<string> =>
    page
      .waitForFunction(
        (key) => (globalThis as unknown as { taken: Record<string, string> }).taken[key],
        {},
        what,
      )
      .then((handle) => handle.jsonValue() as Promise<string>);

  function press(page: Page, text: string): Promise<void> {
    return page.$$eval(
      ".view:not([hidden]) button:not([hidden])",
      (buttons, wanted) => {
        const found = buttons.find((button) => button.textContent === wanted);
        if (!found) throw new Error(`no button "${wanted}"`);
        found.click();
      },
      text,
    );
  }

  /** Waits for the end of the view's main run and gives its last sentence. */
  async function ended(page: Page): Promise<string> {
    await page.waitForFunction(
      () => document.querySelector<HTMLElement>(".view:not([hidden]) .run-panel progress")?.hidden,
      { timeout: PATIENCE_MS, polling: 100 },
    );
    return page.$eval(".view:not([hidden]) .run-status", (status) => status.textContent ?? "");
  }

  it("benchmarks a case of the quick suite", async () => {
    const page = await openTab("benchmark");
    await page.type("#view-benchmark input", "layernorm");
    await press(page, "Run benchmark");
    await page.waitForSelector("#view-benchmark .point");
    expect(await ended(page)).toMatch(/^1 case in .*, all computed right$/);
    const point = await page.$eval("#view-benchmark .point", (mark) => ({
      x: Number(mark.getAttribute("cx")),
      y: Number(mark.getAttribute("cy")),
      label: mark.getAttribute("aria-label") ?? "",
    }));
    expect(point.x).toBeGreaterThan(0);
    expect(point.y).toBeGreaterThan(0);
    expect(point.label).toMatch(/layernorm 4096×320.* GFLOP\/s.* % of the roof/);

    await press(page, "Save as JSON");
    const record = JSON.parse(await taken(page, "json")) as {
      readonly suite: string;
      readonly version: string;
      readonly adapter: { readonly vendor: string };
      readonly roofline: { readonly copyGbps: number };
      readonly cases: readonly { readonly variants: readonly { readonly gflops: number }[] }[];
    };
    expect(record.suite).toBe("kernels");
    expect(record.version).toMatch(/^\d+\.\d+\.\d+/);
    expect(record.adapter.vendor).not.toBe("");
    expect(record.roofline.copyGbps).toBeGreaterThan(0);
    expect(record.cases[0]?.variants[0]?.gflops).toBeGreaterThan(0);
    await press(page, "Copy as Markdown");
    expect(await taken(page, "text")).toMatch(/^rcod \d.*\n[^]*\| case \|[^]*layernorm 4096×320/);
    expect(await seriousFindings(page)).toEqual([]);
  });

  it("shows what compilers of other GPUs make of the kernels", async () => {
    const page = await openTab("benchmark");
    const select = "#view-benchmark section select";
    await page.waitForSelector(`${select} option`);
    await page.select(select, "m1");
    const table = "#view-benchmark section table";
    const rows = await page.$$eval(`${table} tbody tr`, (all) => all.length);
    expect(rows).toBeGreaterThan(5);
    expect(await page.$eval(`${table} caption`, ({ textContent }) => textContent)).toContain("M1");
    expect(await seriousFindings(page)).toEqual([]);
  });

  it("verifies golden files and finds the broken one", async () => {
    const broken = join(folder, "broken.safetensors");
    await writeFile(broken, await withWrongOutput(await readFile(GOLDEN), "nearest_x2_odd"));
    const page = await openTab("verify");
    await page.select("#view-verify .control-row label:nth-child(2) select", "f32");
    const input = (await page.$(
      "#view-verify input[type=file]",
    )) as ElementHandle<HTMLInputElement>;
    await input.uploadFile(GOLDEN, broken);
    await page.waitForSelector("#view-verify .verdict-line");
    expect(await ended(page)).toMatch(/^16 cases in /);
    const verdict = await page.$eval(".verdict-line", (line) => line.textContent);
    expect(verdict).toMatch(/^1 of \d+ results are wrong on /);
    const files = await page.$$eval("details.file-section", (sections) =>
      sections.map((section) => [
        section.querySelector(".file-title")?.textContent,
        section.open,
        section.querySelectorAll("tr.failed").length,
      ]),
    );
    expect(files).toEqual([
      ["Nearest-neighbour resize, timestep embedding", false, 0],
      ["broken.safetensors", true, 1],
    ]);
    await press(page, "Copy as text");
    expect(await taken(page, "text")).toMatch(/broken\.safetensors +nearest_x2_odd .*FAIL in f32/);
    expect(await seriousFindings(page)).toEqual([]);

    await press(page, "Verify this GPU");
    await page.waitForSelector("::-p-text(Kernels: one operation at a time)");
    await press(page, "Cancel");
    expect(await ended(page)).toBe("Cancelled");
    expect(await page.$eval(".verdict-line", (line) => line.textContent)).toMatch(/^All \d+ /);
  });

  it(
    "takes an upscale apart",
    async () => {
      const page = await openTab("inside");
      await page.evaluate(async () => {
        const blob = await (await fetch("./photos/boats.png")).blob();
        await rcodDemo?.openImage(blob, "boats.png", { x: 50, y: 60, width: 16, height: 16 });
      });
      await press(page, "Look inside");
      expect(await ended(page)).toMatch(/^Done in /);

      // Passes: a bar each, all of them in the table, shares that add up.
      const passes = await page.$$eval(
        "#view-inside .report-section:first-of-type .mark",
        (marks) =>
          marks.map((mark) => [
            mark.getAttribute("aria-label"),
            Number(mark.getAttribute("width")),
          ]),
      );
      const rows = await page.$$eval("#view-inside details:first-of-type tbody tr", (all) =>
        all.map(({ cells }) => [...cells].map(({ textContent }) => textContent)),
      );
      expect(passes.length).toBeGreaterThan(200);
      expect(passes.every(([, width]) => (width as number) > 0)).toBe(true);
      expect(passes.map(([label]) => (label as string).split(",")[0])).toEqual(
        rows.slice(0, passes.length).map(([module]) => module),
      );
      const shares = await page.$$eval(
        "#view-inside .table-scroll[aria-label='Time by class of kernel'] td:last-child",
        (cells) => cells.map(({ textContent }) => Number.parseFloat(textContent ?? "")),
      );
      expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(100, -0.5);

      // Pictures of values: each shows something, and not the same.
      const pictures = await page.$$eval("#view-inside .card > canvas", (canvases) =>
        canvases.map((canvas) => {
          const { width, height } = canvas;
          const data = canvas.getContext("2d")?.getImageData(0, 0, width, height).data ?? [];
          return `${canvas.getAttribute("aria-label")}: ${new Set(data).size > 20}`;
        }),
      );
      expect(pictures.slice(0, 4)).toEqual([
        "The picture that went in: true",
        "latents: all channels as colours: true",
        "eps: all channels as colours: true",
        "z: all channels as colours: true",
      ]);
      expect(pictures.slice(4).every((text) => text.endsWith("true"))).toBe(true);
      expect(pictures).toHaveLength(7);

      // The group and its timestep, by the model's own table.
      const verdict = await page.$eval(
        "#view-inside .verdict-line",
        (line) => line.textContent ?? "",
      );
      const [, metric, group, timestep] =
        /predicted as ([\d.]+), so .* group “(\w+)” and timestep (\d+)/.exec(verdict) ?? [];
      const expected =
        Number(metric) < 0.8646
          ? ["realism", "749"]
          : Number(metric) < 0.9542
            ? ["neutral", "499"]
            : ["fidelity", "249"];
      expect([group, timestep]).toEqual(expected);
      expect(await page.$eval("#view-inside .is-current", (row) => row.textContent)).toContain(
        timestep,
      );

      // Attention follows the keyboard.
      const said = (): Promise<string | null> =>
        page.$eval("#view-inside .attention [role=status]", (text) => text.textContent);
      const before = await said();
      expect(before).toMatch(/^Row 3, column 3 of 4 × 4 looks most at row \d, column \d, with \d+/);
      await page.focus("#view-inside .is-picker");
      await page.keyboard.press("ArrowRight");
      expect(await said()).toMatch(/^Row 3, column 4 of 4 × 4 /);

      // Any other module, of any network.
      await page.evaluate(() => {
        const choice = document.querySelector<HTMLSelectElement>(
          "#view-inside select:has(optgroup)",
        );
        const decoder = choice?.querySelector<HTMLOptionElement>("optgroup[label=Decode] option");
        if (choice && decoder) choice.value = decoder.value;
      });
      await press(page, "Show this module");
      await page.waitForFunction(
        () => document.querySelectorAll("#view-inside .card").length === 5,
        {
          timeout: PATIENCE_MS,
        },
      );
      expect(await seriousFindings(page)).toEqual([]);
    },
    2 * PATIENCE_MS,
  );
});

/** The file with one value of a case's stored output changed. */
async function withWrongOutput(file: Buffer, name: string): Promise<Buffer> {
  const headerBytes = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString("utf8", 8, 8 + headerBytes)) as Record<
    string,
    { readonly data_offsets: readonly [number, number] }
  >;
  const [, tensor] = Object.entries(header).find(([key]) => key.startsWith(`${name}/outputs/`))!;
  const changed = Buffer.from(file);
  const at = 8 + headerBytes + tensor.data_offsets[0];
  changed.writeFloatLE(changed.readFloatLE(at) + 1, at);
  return changed;
}
