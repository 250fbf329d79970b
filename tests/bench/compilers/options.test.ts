/** Options of `npm run bench:compilers`, and what is said of wrong ones. */
import { expect, it, vi } from "vitest";
import { main } from "../../../bench/compilers/main.ts";
import { OptionError, parseOptions } from "../../../bench/compilers/options.ts";

it("have defaults", () => {
  const { cards, ...rest } = parseOptions([]);
  expect(cards.map(({ id }) => id)).toEqual(["navi31", "ga102", "m1", "a730"]);
  expect(rest).toEqual({
    model: "bench/configs/sd21-clip-l",
    size: [512, 512],
    filter: "",
    precisions: ["f16"],
    variants: {},
    asm: null,
    json: false,
    svg: null,
    does: "print",
  });
});

it("say what to compile", () => {
  const argv =
    "--card m1,ga102 --size 640x512 --precision f32 --precision f16 --variant conv2d=tiled";
  expect(parseOptions(argv.split(" "))).toMatchObject({
    cards: [{ id: "m1" }, { id: "ga102" }],
    size: [640, 512],
    precisions: ["f32", "f16"],
    variants: { conv2d: "tiled" },
  });
  expect(parseOptions(["--accept"]).cards).toHaveLength(
    parseOptions(["--card", "all"]).cards.length,
  );
  expect(parseOptions(["--check", "--card", "m1", "--filter", "conv2d"])).toMatchObject({
    does: "check",
  });
});

it.each([
  ["--card navi99", /--card must name cards of navi21, .*, or be all, got "navi99"/],
  ["--size 5x", '--size must be pixels such as 512 or 640x480, got "5x"'],
  ["--precision f64", '--precision must be f16 or f32, got "f64"'],
  ["--variant conv2d", '--variant must be kernel=name, e.g. conv2d=tiled, got "conv2d"'],
  ["--variant conv2d=fast", '--variant: conv2d has no variant "fast". Variants: naive'],
  ["--check --accept", "--check and --accept exclude each other. Give one"],
  ["--check --variant conv2d=tiled", "made without --variant. Leave it out"],
  ["--accept --card m1", "made without --card. Leave it out"],
  ["--nope", "Unknown option"],
])("refuses %s", (argv, message) => {
  expect(() => parseOptions(argv.split(" "))).toThrow(OptionError);
  expect(() => parseOptions(argv.split(" "))).toThrow(message);
});

it("are checked before anything is fetched: exit code 2", async () => {
  const said: string[] = [];
  const write = vi
    .spyOn(process.stderr, "write")
    .mockImplementation((text) => said.push(String(text)) > 0);
  try {
    expect(await main(["--size", "500x512"])).toBe(2);
    expect(await main(["--model", "no/such/folder"])).toBe(2);
  } finally {
    write.mockRestore();
  }
  expect(said[0]).toContain("--size 500x512: sides must be multiples of 8");
  expect(said[1]).toContain("no model in no/such/folder");
});
