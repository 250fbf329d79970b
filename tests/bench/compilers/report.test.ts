/** What the layer writes of a pipeline. */
import { expect, it } from "vitest";
import { finalCode, parseCode, parseReport } from "../../../bench/compilers/report.ts";
import { NAK } from "./excerpts.ts";

const text = (name: string, content: string): string =>
  `R ${name}\t${Buffer.byteLength(content)}\n${content}`;

it("has statistics and texts of any content", () => {
  // Lengths are in bytes, and a text may look like the head of another one.
  const report = parseReport(
    `S Subgroup Size\t32\nS Spills to reg\t48\n${text("NIR shader", "éééééééé\nS none\t1\n")}${text("NAK assembly", NAK)}`,
  );
  expect(report.statistics).toEqual({ "Subgroup Size": 32, "Spills to reg": 48 });
  expect(report.representations["NIR shader"]).toBe("éééééééé\nS none\t1\n");
  expect(finalCode("nak", report)).toBe(NAK);
  expect(parseCode("nak", report)).toHaveLength(10);
});

it("has no code of Apple's driver", () => {
  const report = parseReport("S Subgroup Size\t32\nS Spills\t15\n");
  expect(finalCode("agx", report)).toBeNull();
  expect(parseCode("agx", report)).toBeNull();
});

it("says what a driver lacks", () => {
  expect(() => parseReport("")).toThrow("no statistics");
  const report = parseReport(`S VGPRs\t96\n${text("ACO IR", "")}`);
  expect(() => parseCode("aco", report)).toThrow('the driver shows no "Assembly", but ACO IR');
});
