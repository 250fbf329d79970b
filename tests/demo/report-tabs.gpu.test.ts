/** Benchmark, Verify and Inside in the built page, each with the least work that shows something. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ElementHandle, Page } from "puppeteer-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { useBrowser } from "../browser/support.ts";
import { findings } from "./axe.ts";
import { expectNoLongTasks } from "./long-tasks.ts";
import { builtDemo } from "./support.ts";

const GOLDEN = fileURLToPath(
  new URL("../fixtures/goldens/ops_resize_time.safetensors", import.meta.url),
);

/** Pipelines compile for half a minute on a software adapter, and for longer where others compute beside. */
const PATIENCE_MS = 400_000;

const browser = await useBrowser();
expectNoLongTasks(browser?.browser ?? null);

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
    await page.emulateMediaFeatures([{ name: "prefers-reduced-motion", value: "reduce" }]);
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
    return statusOf(page);
  }

  const statusOf = (page: Page): Promise<string> =>
    page.$eval(".view:not([hidden]) .run-status", (status) => status.textContent ?? "");

  const isShown = (page: Page, selector: string): Promise<boolean> =>
    page.$eval(selector, (element) => element.checkVisibility());

  it("benchmarks a case of the quick suite", async () => {
    const page = await openTab("benchmark");
    await page.type("#view-benchmark input", "layernorm");
    await press(page, "Run here");
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
    expect(await findings(page)).toEqual([]);
  });

  it("says what stopped a run in words, with the engine's own behind them", async () => {
    const page = await openTab("benchmark");
    await page.evaluate(() => {
      const message = "device: out of memory: buffer of 12 bytes";
      rcodDemo!.call = () =>
        Promise.reject(Object.assign(new Error(message), { name: "DeviceError" }));
    });
    await press(page, "Run here");
    expect(await ended(page)).toMatch(/^Not enough memory\. .* Close other programs/);
    const raw = (): Promise<string> =>
      page.$eval(
        "#view-benchmark .run-panel details:not([hidden])",
        (node) => node.textContent ?? "",
      );
    expect(await raw()).toContain("buffer of 12 bytes");
    expect(await findings(page)).toEqual([]);
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
    expect(await findings(page)).toEqual([]);
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
    expect(await ended(page)).toMatch(/^16 cases in /);
    await page.waitForFunction(() => document.querySelector("#view-verify .example-line") === null);
    const verdict = await page.$eval(".verdict-line", (line) => line.textContent);
    expect(verdict).toMatch(/^1 of \d+ results is wrong on /);
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
    expect(await findings(page)).toEqual([]);

    // Cancelled: what was computed is right, and nobody says so of the rest.
    await press(page, "Run here");
    await page.waitForSelector("::-p-text(Kernels: one operation at a time)");
    expect(await isShown(page, "#view-verify .verdict-line")).toBe(false);
    expect(await statusOf(page)).toMatch(/^\d+ of 18 done: f32, ops_/);
    await press(page, "Cancel");
    expect(await ended(page)).toBe("Cancelled");
    const said = (): Promise<string | null> =>
      page.$eval(".verdict-line", (line) => line.textContent);
    expect(await said()).toMatch(/^\d+ results are right on .*, the rest was not run$/);
    expect(await page.$eval("#view-verify", (view) => view.textContent)).toMatch(
      /Not run, or not all of it: 1\d of 18 files\. Cancelled\./,
    );
  });

  it("says of a verification without a network that it was not run, and tries again", async () => {
    const page = await openTab("verify");
    const text = (): Promise<string> =>
      page.$eval("#view-verify", (view) => (view as HTMLElement).innerText);
    expect(await text()).toMatch(/18 files, 7\.\d MB to download/);
    await page.select("#view-verify .control-row label:nth-child(2) select", "f32");
    await page.select("#view-verify .control-row label:nth-child(1) select", "blocks");
    browser!.server.fault = (path) =>
      path.endsWith("blocks_clip.safetensors") ? { status: 503 } : null;
    browser!.server.isDown = true;
    await press(page, "Run here");
    await ended(page);
    const said = (): Promise<string | null> =>
      page.$eval(".verdict-line", (line) => line.textContent);
    expect(await said()).toBe("Nothing was verified");
    expect(await text()).toContain("6 of 6 files. The server cannot be reached.");
    expect(await text()).not.toMatch(/wrong/);
    // One file is missing still, then none.
    browser!.server.isDown = false;
    await press(page, "Try these again");
    await ended(page);
    expect(await said()).toMatch(/^\d+ results are right on .*, the rest was not run$/);
    expect(await text()).toContain("1 of 6 files. The server answers 503.");
    browser!.server.fault = null;
    await press(page, "Try these again");
    await ended(page);
    expect(await said()).toMatch(/^All \d+ results are right on /);
    expect(await findings(page)).toEqual([]);
  });

  it("takes what is dropped on its field, and leaves the rest of the window to pictures", async () => {
    const page = await openTab("verify");
    const drag = (target: string, types: readonly string[], name: string): Promise<void> =>
      page.evaluate(
        (selector, names, fileName) => {
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File(["?"], fileName));
          for (const type of names) {
            const event = new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true });
            document.querySelector(selector)?.dispatchEvent(event);
          }
        },
        target,
        types,
        name,
      );
    await drag("#view-verify h2", ["dragenter", "dragover"], "notes.txt");
    expect(await isShown(page, ".drop-curtain")).toBe(true);
    await drag(".drop-field", ["dragenter"], "notes.txt");
    await drag("#view-verify h2", ["dragleave"], "notes.txt");
    expect(await isShown(page, ".drop-curtain")).toBe(false);
    await drag("#view-verify h2", ["dragenter"], "notes.txt");
    await drag(".drop-field", ["dragover", "drop"], "notes.txt");
    expect(await isShown(page, ".drop-curtain")).toBe(false);
    expect(await statusOf(page)).toBe("Golden files end in .safetensors. Choose one of those.");
    // A damaged one is no fault of the GPU.
    await drag(".drop-field", ["drop"], "damaged.safetensors");
    await ended(page);
    const text = await page.$eval("#view-verify", (view) => (view as HTMLElement).innerText);
    expect(text).toMatch(
      /Nothing was verified\s+Not run, or not all of it: 1 of 1 file\. weights: /,
    );
  });

  it("begins each report with an example that says where it is from", async () => {
    const page = await openTab("inside");
    for (const [id, filled] of [
      ["inside", ".mark"],
      ["benchmark", ".point"],
      ["verify", ".file-section"],
    ] as const) {
      await page.click(`#tab-${id}`);
      await page.waitForSelector(`#view-${id} ${filled}`);
      const text = await page.$eval(`#view-${id}`, (view) => (view as HTMLElement).innerText);
      expect(text).toMatch(/Example Recorded on .+, \d+ \w+ 20\d\d/);
      await page.waitForFunction(
        (view) =>
          /The example took about|A run takes about/.test(
            document.querySelector(view)?.textContent ?? "",
          ),
        {},
        `#view-${id}`,
      );
      expect(await findings(page)).toEqual([]);
    }
  });

  it("says why it cannot be zoomed out of or into", async () => {
    const page = await openTab("inside");
    await page.waitForSelector("#view-inside .mark");
    const button = (label: string): Promise<string | null> =>
      page.$eval(`#view-inside .button-row ::-p-text(${label})`, (node) => {
        const { disabled, title } = node as HTMLButtonElement;
        return disabled ? title : null;
      });
    expect(await button("Zoom out")).toBe("All of it is shown.");
    await press(page, "Zoom in");
    expect(await button("Zoom out")).toBeNull();
    for (let zoom = 2; zoom < 64; zoom *= 2) await press(page, "Zoom in");
    expect(await button("Zoom in")).toBe("×64 is the most.");
  });

  it("keeps the contents of Inside in view, on a desktop and on a phone", async () => {
    const page = await openTab("inside");
    await page.waitForSelector("#view-inside .report-section:last-child .mark"); // all of it is there
    for (const [width, height] of [
      [1200, 800],
      [390, 844],
    ] as const) {
      await page.setViewport({ width, height });
      for (const title of ["Attention", "Memory", "Time"]) {
        await press(page, title);
        await page.waitForFunction(
          (wanted) => document.querySelector(".contents [aria-current]")?.textContent === wanted,
          {},
          title,
        );
        const { contents, heading } = await page.evaluate((wanted) => {
          const headings = [...document.querySelectorAll("#view-inside h3")];
          const found = headings.find(({ textContent }) => textContent === wanted);
          const entry = document.querySelector(".contents [aria-current]");
          return {
            contents: entry?.getBoundingClientRect().toJSON() as DOMRect,
            heading: found?.getBoundingClientRect().toJSON() as DOMRect,
          };
        }, title);
        for (const box of [contents, heading]) {
          expect(box.top).toBeGreaterThanOrEqual(52);
          expect(box.bottom).toBeLessThanOrEqual(height);
          expect(box.left).toBeGreaterThanOrEqual(0);
          expect(box.right).toBeLessThanOrEqual(width);
        }
      }
    }
  });

  it(
    "takes an upscale apart",
    async () => {
      const page = await openTab("inside");
      await page.evaluate(async () => {
        const blob = await (await fetch("./photos/boats.png")).blob();
        await rcodDemo?.openImage(blob, "boats.png", { x: 50, y: 60, width: 16, height: 16 });
      });
      await press(page, "Run here");
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
      await page.click("#view-inside details.file-section summary");
      await page.waitForFunction(
        (count) =>
          document.querySelectorAll("#view-inside details.file-section tbody tr").length >= count,
        {},
        passes.length,
      );
      const rows = await page.$$eval("#view-inside details.file-section tbody tr", (all) =>
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
      expect(await findings(page)).toEqual([]);
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
