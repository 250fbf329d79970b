import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { WeightsError } from "../../src/weights/errors.ts";
import { JsonCursor, MAX_JSON_DEPTH, parseStrictJson } from "../../src/weights/strict-json.ts";
import { failureOf } from "./samples.ts";

const parse = (text: string): unknown => parseStrictJson(text, "x.json");

describe("parseStrictJson", () => {
  test("gives what JSON.parse gives for any value without equal keys", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6, stringUnit: "binary" }), (text) => {
        expect(JSON.stringify(parse(text))).toBe(JSON.stringify(JSON.parse(text)));
      }),
      { numRuns: 1000 },
    );
  });

  test("accepts exactly the texts of JSON.parse, short of equal keys and lone surrogates", () => {
    const piece = fc.constantFrom(
      "{",
      "}",
      "[",
      "]",
      ",",
      ":",
      '"',
      '"a"',
      '"\\u0061"',
      "\\",
      "0",
      "-",
      "1",
      ".5",
      "e2",
      "true",
      "null",
      "fals",
      " ",
      "\n",
      "\t",
      "\u00a0",
      "\ufeff",
      "\u0001",
      '"b":',
      "e400",
    );
    const outcome = (read: (text: string) => unknown, text: string): string => {
      try {
        return JSON.stringify(read(text));
      } catch (error) {
        return error instanceof WeightsError || error instanceof SyntaxError ? "refused" : "crash";
      }
    };
    let accepted = 0;
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const text = pieces.join("");
        const got = outcome(parse, text);
        if (got !== "refused") accepted++;
        if (/e2|e400|"(a|\\u0061)".*"(a|\\u0061)"|b.*b/.test(text)) {
          expect(got).not.toBe("crash");
        } else {
          expect(got).toBe(outcome(JSON.parse, text));
        }
      }),
      { numRuns: 5000 },
    );
    expect(accepted).toBeGreaterThan(100);
  });

  test.each([
    ["", /expected a value, got the end/],
    ["{", /expected a string, got the end/],
    ['{"a":1', /expected "," or "}", got the end/],
    ['{"a" 1}', /expected ":", got/],
    ['{"a":1,}', /expected a string/],
    ["[1,]", /expected a value/],
    ["[1 2]", /expected "," or "]"/],
    ["{} {}", /expected the end, got "{}"/],
    ["01", /expected the end/],
    ["tru", /expected a value/],
    ["\ufeff{}", /expected a value/],
    ['"a', /string has no end/],
    ['"a\\', /string has no end/],
    ['"\u0007"', /control character in a string/],
    ['"\\x"', /bad escape/],
    ['"\\u12g4"', /bad escape/],
    ['"\\ud800"', /lone surrogate/],
    ["1e400", /number "1e400" is too large/],
    ['{"a":1,"a":2}', /key "a" appears twice \(x\.json, character 7\)/],
    ['{"a":1,"\\u0061":2}', /key "a" appears twice/],
    ['[{"k":{"b":1,"b":1}}]', /key "b" appears twice/],
  ])("refuses %j", async (text, message) => {
    expect(await failureOf(() => parse(text))).toMatch(message);
  });

  test("bounds the nesting", async () => {
    const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);
    expect(() => parse(nested(MAX_JSON_DEPTH))).not.toThrow();
    expect(await failureOf(() => parse(nested(MAX_JSON_DEPTH + 1)))).toMatch(/nested deeper/);
    expect(await failureOf(() => parse("[".repeat(1_000_000)))).toMatch(/nested deeper/);
    expect(await failureOf(() => parse('{"a":'.repeat(1_000_000)))).toMatch(/nested deeper/);
  });

  test("has no prototypes to pollute", () => {
    const value = parse('{"__proto__":{"isAdmin":true},"constructor":1}') as object;
    expect(Object.keys(value)).toEqual(["__proto__", "constructor"]);
    expect(Object.getPrototypeOf(value)).toBeNull();
    expect(({} as Record<string, unknown>)["isAdmin"]).toBeUndefined();
  });

  test("cuts what it repeats of a huge key", async () => {
    const key = "k".repeat(1_000_000);
    const message = await failureOf(() => parse(`{"${key}":1,"${key}":2}`));
    expect(message.length).toBeLessThan(300);
    expect(message).toContain("(1000000 characters)");
  });
});

describe("JsonCursor.integer", () => {
  const integer = (text: string): number => new JsonCursor(text, "x").integer();

  test("takes plain integers", () => {
    expect(["0", "7", " 10", "9007199254740991"].map(integer)).toEqual([0, 7, 10, 2 ** 53 - 1]);
  });

  test.each([
    "-0",
    "-1",
    "1.0",
    "1.5",
    "1e3",
    "1E3",
    "01",
    "+1",
    "1e400",
    "0x10",
    "9007199254740992",
    // This one rounds to 2^53 as a double; the text tells.
    "9007199254740993",
    "18446744073709551616",
    "1".repeat(1000),
    '"1"',
    "null",
    "[1]",
    "",
  ])("refuses %s", async (text) => {
    // 0x10 reads as 0 with the rest standing behind it, so the end is part of the check.
    const message = await failureOf(() => {
      const cursor = new JsonCursor(text, "x");
      cursor.integer();
      cursor.end();
    });
    expect(message).toMatch(/expected a (plain|non-negative) integer|expected the end/);
  });
});
