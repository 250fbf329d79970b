import { describe, expect, it } from "vitest";
import type { OptionRules } from "../src/options.ts";
import {
  abortSignal,
  callback,
  checkOptions,
  flag,
  integer,
  nameList,
  objectValue,
  oneOf,
  shown,
} from "../src/options.ts";

interface Options {
  readonly colorFix?: string;
  readonly seed?: number;
  readonly tile?: number;
  readonly depth?: number;
  readonly reference?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: () => void;
  readonly inspect?: object;
  readonly captures?: readonly string[];
}

const rules: OptionRules<Options> = {
  colorFix: oneOf("adain", "wavelet"),
  seed: integer(0, 255),
  tile: integer(64, Infinity, " pixels"),
  depth: oneOf(8, 16),
  reference: flag,
  signal: abortSignal,
  onProgress: callback,
  inspect: objectValue,
  captures: nameList,
};

const check = (options: object): void => checkOptions("upscale", options, rules);

describe("checkOptions", () => {
  it("takes what the rules allow, and undefined for anything", () => {
    check({});
    check({
      colorFix: "wavelet",
      seed: 255,
      tile: 64,
      depth: 16,
      reference: false,
      signal: new AbortController().signal,
      onProgress: () => undefined,
      inspect: {},
      captures: ["a"],
    });
    check({ seed: undefined, colourFix: undefined });
  });

  it.each([
    [{ colourFix: "adain" }, 'there is no option "colourFix". Did you mean "colorFix"?'],
    [{ onprogress: () => undefined }, 'Did you mean "onProgress"?'],
    [{ sed: 1 }, 'Did you mean "seed"?'],
    [{ toString: 1 }, 'there is no option "toString". There are colorFix, seed, '],
    [{ ["__proto__x"]: 1 }, "There are colorFix"],
    [{ ["x".repeat(5000)]: 1 }, "…. There are"],
  ])("%o is no option, and the nearest is named", (options, message) => {
    expect(() => check(options)).toThrow(TypeError);
    expect(() => check(options)).toThrow(message);
  });

  it.each([
    [{ reference: "true" }, TypeError, 'upscale: reference must be true or false, got "true"'],
    [{ reference: null }, TypeError, "got null"],
    [{ signal: {} }, TypeError, "signal must be an AbortSignal, got Object"],
    [{ onProgress: 1 }, TypeError, "onProgress must be a function, got 1"],
    [{ inspect: null }, TypeError, "inspect must be an object, got null"],
    [{ captures: ["a", 1] }, TypeError, "captures must be a list of names, got Array"],
    [{ colorFix: "wavlet" }, RangeError, '"adain" or "wavelet", got "wavlet"'],
    [{ depth: "8" }, RangeError, 'depth must be 8 or 16, got "8"'],
    [{ seed: NaN }, RangeError, "seed must be an integer in 0 … 255, got NaN"],
    [{ seed: -1 }, RangeError, "got -1"],
    [{ seed: 256 }, RangeError, "got 256"],
    [{ seed: 1n }, RangeError, "got 1"],
    [{ tile: 63.5 }, RangeError, "tile must be an integer ≥ 64 pixels, got 63.5"],
    [{ tile: Infinity }, RangeError, "got Infinity"],
  ])("%o is refused", (options, type, message) => {
    expect(() => check(options)).toThrow(type);
    expect(() => check(options)).toThrow(message);
  });

  it.each([[null], ["fast"], [undefined], [3]])("%o are no options", (options) => {
    expect(() => check(options as unknown as object)).toThrow(
      `upscale: options must be an object, got ${shown(options)}`,
    );
  });
});
