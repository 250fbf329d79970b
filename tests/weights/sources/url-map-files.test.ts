import { readdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { rcodTiny } from "../../../src/models/rcod-tiny.ts";
import { modelFiles } from "../../../src/rcod/loading/model-source.ts";
import { WeightsError, readText, urlMapFiles } from "../../../src/weights/index.ts";

const data = (text: string): string => `data:application/json,${encodeURIComponent(text)}`;

describe("files by address", () => {
  it("are read, and others are absent", async () => {
    const files = urlMapFiles(new Map([["vae/config.json", new URL(data('{"a": 1}'))]]));
    expect(await readText(files, "vae/config.json")).toBe('{"a": 1}');
    expect(await files.open("unet/config.json")).toBeNull();
    await expect(files.open("../x")).rejects.toThrow(WeightsError);
    await expect(files.open("a", AbortSignal.abort())).rejects.toThrow("aborted");
  });

  it("are a model source", async () => {
    const files = modelFiles({ model: new Map([["a.json", data("7")]]) });
    expect(await readText(files, "a.json")).toBe("7");
    expect(modelFiles(new Map([["a.json", data("7")]])).name).toBe("a list of files (1)");
  });
});

describe("rcod-tiny", () => {
  it("lists all its files", async () => {
    const folder = new URL("../../../models/rcod-tiny/", import.meta.url);
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    const paths = entries
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => `${parentPath}/${name}`.slice(fileURLToPath(folder).length))
      .map((path) => path.replace(/^\//, ""))
      .filter((path) => !["README.md", "model_index.json"].includes(path)); // nobody reads these
    expect([...rcodTiny.keys()].toSorted()).toEqual(paths.toSorted());
    for (const [path, url] of rcodTiny) expect(url.href).toBe(new URL(path, folder).href);
  });
});
