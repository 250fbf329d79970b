/** What a failed command says and ends with. */
import { describe, expect, it } from "vitest";
import { EXIT, CliError, describeError } from "../../cli/errors.ts";
import { DeviceError, ShapeError } from "../../src/gpu/index.ts";
import { ConfigError, WeightsError } from "../../src/index.ts";

describe("describeError", () => {
  it.each([
    ["a broken configuration", new ConfigError("config: no"), EXIT.usage],
    ["broken weights", new WeightsError("weights: no"), EXIT.usage],
    ["an impossible image", new ShapeError("image: no"), EXIT.usage],
    ["a device", new DeviceError("device: no"), EXIT.failed],
    ["anything else", new TypeError("x is undefined"), EXIT.failed],
    ["what a command threw", new CliError("cancelled", 130), 130],
  ])("%s", (_, error, exitCode) => {
    expect(describeError(error)).toEqual({ message: error.message, exitCode });
  });

  it("makes one line of several, and something of nothing", () => {
    expect(describeError(new Error("a\n  b")).message).toBe("a b");
    expect(describeError(new Error("")).message).toBe("Error");
    expect(describeError("text").message).toBe("text");
  });

  it("cuts what has no end", () => {
    const { message } = describeError(new Error("x".repeat(20_000)));
    expect(message).toBe(`${"x".repeat(2000)}… (18000 more)`);
  });
});
