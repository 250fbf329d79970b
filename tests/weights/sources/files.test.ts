import { describe, expect, test } from "vitest";
import {
  checkRelativePath,
  directoryHandleFiles,
  fileListFiles,
  MAX_TEXT_BYTES,
  memoryFiles,
  readJson,
  readText,
} from "../../../src/weights/sources/files.ts";
import type { FileSet } from "../../../src/weights/sources/files.ts";
import { failureOf, recordingSource, utf8 } from "../samples.ts";

/** A file as a folder input gives it. */
function fileAt(path: string, text: string, isInFolder = true): File {
  const file = new File([text], path.split("/").at(-1) ?? "");
  Object.defineProperty(file, "webkitRelativePath", { value: isInFolder ? path : "" });
  return file;
}

async function textAt(files: FileSet, path: string): Promise<string | null> {
  const source = await files.open(path);
  return source && new TextDecoder().decode(await source.read(0, source.byteLength));
}

describe("checkRelativePath", () => {
  test.each(["a", "unet/config.json", "a..b/c", "...", "a b/ü", "%2e%2e/x", "CON"])(
    "accepts %j",
    (path) => {
      expect(() => checkRelativePath(path)).not.toThrow();
    },
  );

  test.each([
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    "..",
    "../a",
    "a/..",
    "a/../b",
    ".",
    "./a",
    "a/./b",
    "..\\a",
    "a\\b",
    "\\a",
    "C:/a",
    "c:a",
    "a\0b",
  ])("refuses %j", async (path) => {
    expect(await failureOf(() => checkRelativePath(path))).toMatch(
      /^weights: path must be relative with plain parts, got ".*"\. Use forward slashes/,
    );
    expect(await failureOf(() => memoryFiles(new Map()).open(path))).toMatch(/must be relative/);
    expect(await failureOf(() => fileListFiles([]).open(path))).toMatch(/must be relative/);
  });
});

describe("fileListFiles", () => {
  test("leaves out the folder that was chosen", async () => {
    const files = fileListFiles([
      fileAt("sd-turbo/unet/config.json", "u"),
      fileAt("sd-turbo/model_index.json", "m"),
    ]);
    expect(files.name).toBe("sd-turbo");
    expect(await textAt(files, "unet/config.json")).toBe("u");
    expect(await textAt(files, "model_index.json")).toBe("m");
    expect(await textAt(files, "sd-turbo/model_index.json")).toBeNull();
  });

  test("keeps paths without a common folder, and plain names", async () => {
    const folders = fileListFiles([fileAt("unet/a", "1"), fileAt("unet2/a", "2")]);
    expect(await textAt(folders, "unet/a")).toBe("1");
    expect(await textAt(folders, "unet2/a")).toBe("2");
    const plain = fileListFiles([fileAt("a", "1", false), fileAt("b", "2", false)]);
    expect(await textAt(plain, "b")).toBe("2");
    expect(await textAt(fileListFiles([]), "a")).toBeNull();
  });

  test("refuses two files of one path", async () => {
    const twice = [fileAt("x/a", "1"), fileAt("x/a", "2")];
    expect(await failureOf(() => fileListFiles(twice))).toMatch(/two files have the path "a"/);
  });
});

describe("directoryHandleFiles", () => {
  /** A directory handle over nested objects; strings are files, errors are thrown. */
  type Tree = { readonly [name: string]: Tree | string | DOMException };
  function handleOf(tree: Tree, name = "top"): FileSystemDirectoryHandle {
    const child = (key: string, isFile: boolean): Tree | string => {
      const found = Object.hasOwn(tree, key) ? tree[key] : undefined;
      if (found === undefined) throw new DOMException("absent", "NotFoundError");
      if (found instanceof DOMException) throw found;
      if ((typeof found === "string") !== isFile) throw new DOMException("", "TypeMismatchError");
      return found;
    };
    return {
      name,
      getDirectoryHandle: async (key: string) => handleOf(child(key, false) as Tree, key),
      getFileHandle: async (key: string) => {
        const text = child(key, true) as string;
        return { getFile: async () => new File([text], key) };
      },
    } as unknown as FileSystemDirectoryHandle;
  }

  test("walks folders; what is not there is null", async () => {
    const files = directoryHandleFiles(handleOf({ unet: { "config.json": "u" }, a: "1" }));
    expect(files.name).toBe("top");
    expect(await textAt(files, "unet/config.json")).toBe("u");
    expect(await textAt(files, "a")).toBe("1");
    for (const path of ["none", "vae/config.json", "unet", "a/b"]) {
      expect(await textAt(files, path)).toBeNull();
    }
    expect(await failureOf(() => files.open("../a"))).toMatch(/must be relative/);
  });

  test("passes a refusal on", async () => {
    const denied = handleOf({ a: new DOMException("no permission", "NotAllowedError") });
    expect(await failureOf(() => directoryHandleFiles(denied).open("a"))).toMatch(
      /cannot be opened, got NotAllowedError: no permission \("a"\)\. Choose the folder again/,
    );
  });
});

describe("readText and readJson", () => {
  const files = memoryFiles(
    new Map([
      ["a.json", utf8('{"a":[1,"ü"]}')],
      ["bom.json", utf8("\ufeff{}")],
      ["bad.json", Uint8Array.of(0x22, 0xc3, 0x22)],
      ["twice.json", utf8('{"a":1,"a":2}')],
      ["empty.json", new Uint8Array(0)],
    ]),
    "samples",
  );

  test("read a file", async () => {
    expect(await readText(files, "a.json")).toBe('{"a":[1,"ü"]}');
    expect(JSON.stringify(await readJson(files, "a.json"))).toBe('{"a":[1,"ü"]}');
    expect(await readText(files, "empty.json")).toBe("");
    expect(await readText(files, "bom.json")).toBe("{}"); // without the byte order mark
  });

  test.each([
    ["none.json", /file "none\.json" must exist \(samples\)/],
    ["bad.json", /must be UTF-8 \("bad\.json"\)/],
    ["twice.json", /key "a" appears twice \("twice\.json", character 7\)/],
    ["empty.json", /must be JSON, got an empty file/],
  ])("refuse %s", async (path, message) => {
    expect(await failureOf(() => readJson(files, path))).toMatch(message);
  });

  test("refuse a file above 16 MiB without reading it, and close it", async () => {
    const source = recordingSource(new Uint8Array(0), MAX_TEXT_BYTES + 1);
    const large: FileSet = { name: "large", open: async () => source };
    expect(await failureOf(() => readText(large, "x"))).toMatch(
      /text file may have 16777216 bytes, got 16777217/,
    );
    expect(source.reads).toEqual([]);
    expect(source.isClosed()).toBe(true);
  });
});
