/** What reaches a terminal: lines as they are, nothing that steers it, and JSON that stays JSON. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { processTerminal, reportError } from "../../cli/terminal.ts";

const STEERING = [
  ...Array.from({ length: 32 }, (_, code) => String.fromCharCode(code)).filter((c) => c !== "\n"),
  ...Array.from({ length: 33 }, (_, code) => String.fromCharCode(0x7f + code)),
  "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029",
].join("");
const NAME = `photo${STEERING}.png`;

afterEach(() => void vi.restoreAllMocks());

/** What is written to a stream of the process while `print` runs. */
function written(stream: "stdout" | "stderr", print: () => void): string {
  const spy = vi.spyOn(process[stream], "write").mockReturnValue(true);
  print();
  return spy.mock.calls.map(([text]) => String(text)).join("");
}

// oxlint-disable-next-line no-control-regex
const UNWANTED = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;

describe("processTerminal", () => {
  it.each([
    ["stdout", "out"],
    ["stderr", "note"],
  ] as const)("writes no character to %s that steers a terminal", (stream, method) => {
    const text = written(stream, () => processTerminal[method](`one\n${NAME}`));
    expect(text).not.toMatch(UNWANTED);
    expect(text).toMatch(/^one\nphoto\\x00\\x01.*\\x1b.*\\u009b.*\\u202e.*\.png\n$/);
  });

  it("leaves JSON what it is", () => {
    const value = { [NAME]: [NAME, "\n", "\udcff"] };
    const text = written("stdout", () => processTerminal.out(JSON.stringify(value)));
    expect(text).not.toMatch(UNWANTED);
    expect(JSON.parse(text)).toEqual(value);
  });

  it("reports errors about such names on one line", () => {
    const text = written("stderr", () =>
      reportError(processTerminal, new Error(`cannot read ${NAME}\nat all`), `a\n${NAME}`),
    );
    expect(text).not.toMatch(UNWANTED);
    expect(text).toMatch(/^rcod: a\\nphoto\\x00.*: cannot read photo.*\.png at all\n$/);
  });
});
