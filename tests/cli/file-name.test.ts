import { writeFile } from "node:fs/promises";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nameFromBytes, namesOfWord, systemPath } from "../../cli/file-name.ts";
import { shownText } from "../../cli/shown-text.ts";
import { useFolder } from "./support/terminal.ts";

const folder = useFolder();

describe("file names", () => {
  it("are bytes: whatever they are, they come back", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const path = systemPath(nameFromBytes(bytes));
        expect([...Buffer.from(path)]).toEqual([...bytes]);
      }),
    );
  });

  it.each([
    ["photo.png", "photo.png"],
    ["größe 🖼.png", "größe 🖼.png"],
    ["two\nlines\t.png", "two\\nlines\\t.png"],
    ["\u001b[31m", "\\x1b[31m"],
    ["odd-\udcff.png", "odd-\\xff.png"],
    ["\u009b31m\u007f\u0085", "\\u009b31m\\u007f\\u0085"], // as bytes of their own they would be \\x9b …
    ["a\u202egnp.exe\u2066\u200f", "a\\u202egnp.exe\\u2066\\u200f"],
    ["a\u2028b", "a\\u2028b"],
    ["שלום 👩‍🚀.png", "שלום 👩‍🚀.png"],
  ])("%j is shown as %j, on one line", (path, shown) => {
    expect(shownText(path)).toBe(shown);
  });

  it("are found where Node has replaced their bytes", async () => {
    const odd = (byte: number) =>
      Buffer.concat([Buffer.from(folder.file("a")), Buffer.from([byte]), Buffer.from(".png")]);
    await writeFile(odd(0xff), "");
    const word = folder.file("a\ufffd.png");
    expect(await namesOfWord(word)).toEqual([folder.file("a\udcff.png")]);
    await writeFile(odd(0xfe), "");
    expect((await namesOfWord(word)).toSorted()).toEqual([
      folder.file("a\udcfe.png"),
      folder.file("a\udcff.png"),
    ]);
    expect(await namesOfWord(folder.file("b\ufffd.png"))).toEqual([folder.file("b\ufffd.png")]);
    await writeFile(word, ""); // a name that really has that letter
    expect(await namesOfWord(word)).toEqual([word]);
  });
});
