import { describe, expect, it } from "vitest";
import { formatBytes, formatMs, formatTable } from "../../cli/format.ts";

describe("formatBytes", () => {
  it.each([
    [0, "0 B"],
    [512, "512 B"],
    [999, "999 B"],
    [1000, "0.98 KiB"],
    [1024, "1 KiB"],
    [1536, "1.50 KiB"],
    [134_217_728, "128 MiB"],
    [1_073_741_824, "1 GiB"],
    [182.44 * 1024 * 1024, "182 MiB"],
    [18.26 * 1024 * 1024, "18.3 MiB"],
  ])("%d is %s", (bytes, text) => expect(formatBytes(bytes)).toBe(text));
});

describe("formatMs", () => {
  it.each([
    [0.4249, "0.42 ms"],
    [12.34, "12.3 ms"],
    [350, "350 ms"],
    [999.6, "1.0 s"],
    [12_345, "12.3 s"],
    [59_960, "1 min 00 s"],
    [125_000, "2 min 05 s"],
    [3_599_700, "1 h 00 min"],
    [3_720_000, "1 h 02 min"],
  ])("%d is %s", (ms, text) => expect(formatMs(ms)).toBe(text));
});

it("aligns columns and leaves no trailing spaces", () => {
  expect(
    formatTable(
      [
        ["conv", "5", "yes"],
        ["norm", "1234", ""],
      ],
      ["left", "right"],
    ),
  ).toBe("conv     5  yes\nnorm  1234");
});
