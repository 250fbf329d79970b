/** What `rcod group` does without a GPU: pairs of files, options, histogram and plot. */
import { mkdir, writeFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { BINS, histogram, histogramSvg, histogramText } from "../../../cli/group/plot.ts";
import { findPairs, runGroup } from "../../../cli/group/run.ts";
import { recordingTerminal, useFolder } from "../support/terminal.ts";

const folder = useFolder();

async function touch(...names: readonly string[]): Promise<void> {
  for (const name of names) await writeFile(folder.file(...name.split("/")), "");
}

describe("pairs", () => {
  it("two files are one pair", async () => {
    await touch("a.png", "b.jpg");
    const [low, high] = [folder.file("a.png"), folder.file("b.jpg")];
    expect(await findPairs(low, high)).toEqual({ pairs: [{ low, high }], isFolder: false });
  });

  it("two folders pair files of one name in the order of names, whatever the format", async () => {
    await mkdir(folder.file("lq"));
    await mkdir(folder.file("hq"));
    await touch("lq/b.png", "lq/a.jpg", "lq/notes.txt", "hq/a.png", "hq/b.webp");
    const { pairs, isFolder } = await findPairs(folder.file("lq"), folder.file("hq"));
    expect(isFolder).toBe(true);
    expect(pairs).toEqual([
      { low: folder.file("lq", "a.jpg"), high: folder.file("hq", "a.png") },
      { low: folder.file("lq", "b.png"), high: folder.file("hq", "b.webp") },
    ]);
  });

  it("refuses what is no pair, before anything else", async () => {
    await mkdir(folder.file("lq"));
    await mkdir(folder.file("hq"));
    const [low, high] = [folder.file("lq"), folder.file("hq")];
    await expect(findPairs(low, high)).rejects.toThrow(
      "the folder has no file with the name of an image",
    );
    await touch("lq/a.png", "lq/b.png", "hq/a.png", "x.png");
    await expect(findPairs(low, high)).rejects.toThrow(
      `1 image has no partner of the same name: ${folder.file("lq", "b.png")}`,
    );
    await expect(findPairs(low, folder.file("x.png"))).rejects.toThrow("two images or two folders");
    await expect(findPairs(low, folder.file("no"))).rejects.toThrow("no such file or folder");
    await touch("hq/b.png", "lq/b.jpg");
    await expect(findPairs(low, high)).rejects.toThrow("have the same name. Keep one of them");
  });

  it("refuses another plot than SVG, one that is there and an absent model without asking for a GPU", async () => {
    await touch("a.png");
    const options = {
      lq: folder.file("a.png"),
      hq: folder.file("a.png"),
      model: folder.file("no-model"),
      precision: "auto",
      dawnToggles: [],
    } as const;
    const terminal = recordingTerminal();
    const launch = () => expect.unreachable("launched");
    await expect(runGroup({ ...options, out: "plot.png" }, terminal, launch)).rejects.toThrow(
      "plot.png: the plot's name must end in .svg",
    );
    await touch("old.svg");
    await expect(
      runGroup({ ...options, out: folder.file("old.svg") }, terminal, launch),
    ).rejects.toThrow(`${folder.file("old.svg")} exists already. Use --force to replace it`);
    await expect(
      runGroup({ ...options, out: folder.file("old.svg"), force: true }, terminal, launch),
    ).rejects.toThrow("no-model does not exist");
    await expect(runGroup(options, terminal, launch)).rejects.toThrow("does not exist");
  });
});

describe("histogram", () => {
  it("counts thresholds into the bin that they begin, and ends into the outer ones", () => {
    const counts = histogram([0.7, 0.35, 0.3, 0.15, 1, 1.2, -0.4, 0, NaN]);
    const filled = counts.flatMap((count, bin) => (count > 0 ? [[bin, count]] : []));
    expect(counts).toHaveLength(BINS);
    expect(filled).toEqual([
      [0, 2],
      [3, 1],
      [6, 1],
      [7, 1],
      [14, 1],
      [19, 2],
    ]);
  });

  it("as text has a line per bin between the outermost", () => {
    const counts = histogram([0.5, 0.52, 0.61]);
    expect(histogramText(counts)).toEqual([
      `  0.50  ${"#".repeat(40)}  2`,
      `  0.55  ${" ".repeat(40)}  0`,
      `  0.60  ${"#".repeat(20)}${" ".repeat(20)}  1`,
    ]);
    expect(histogramText(histogram([]))).toEqual([]);
  });

  it("as SVG has a bar per filled bin and a line per threshold", () => {
    const thresholds = { 3: [0.5, 0.7], 4: [0.3, 0.5, 0.7] };
    const svg = histogramSvg(histogram([0.5, 0.52, 0.61]), thresholds);
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"[^]*<\/svg>\n$/);
    expect(svg.match(/<rect [^>]*><title>/g)).toHaveLength(2);
    expect(svg.match(/stroke="#b03030"\/>/g)).toHaveLength(2);
    expect(svg.match(/stroke-dasharray="4 4"\/>/g)).toHaveLength(3);
    expect(svg).toContain("Latent metric of 3 pairs");
    expect(svg).toContain("<title>0.50 … 0.55: 2</title>");
    // The highest bar reaches from the axis to the top of the plot.
    expect(svg).toContain('y="40.0"');
    expect(svg).toContain('height="272.0"');
    expect(histogramSvg(histogram([]), thresholds)).not.toContain("NaN");
  });
});
