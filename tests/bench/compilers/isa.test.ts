/** Machine code of three vendors, parsed: kinds of instructions, blocks, loops. */
import { describe, expect, it } from "vitest";
import { parseAco } from "../../../bench/compilers/isa/aco.ts";
import { parseIr3 } from "../../../bench/compilers/isa/ir3.ts";
import { parseNak } from "../../../bench/compilers/isa/nak.ts";
import type { Block, Instruction, Loop } from "../../../bench/compilers/isa/program.ts";
import { instruction, loopsOf } from "../../../bench/compilers/isa/program.ts";
import { ACO, IR3, NAK } from "./excerpts.ts";

/** The first instruction whose name begins so. */
function find(blocks: readonly Block[], name: string): Instruction {
  const found = blocks
    .flatMap(({ instructions }) => instructions)
    .find((one) => one.name.startsWith(name));
  if (found === undefined) throw new Error(`no ${name}`);
  return found;
}

/** Headers with the loops in them: `[8, [32, [35]]]`. */
type Shape = (number | Shape)[];
const shapeOf = (loops: readonly Loop[]): Shape =>
  loops.flatMap(({ header, inner }): Shape => [
    header,
    ...(inner.length > 0 ? [shapeOf(inner)] : []),
  ]);

const blocksOf = (loop: Loop | undefined): readonly number[] =>
  [...(loop?.blocks ?? [])].toSorted((a, b) => a - b);

describe("AMD", () => {
  const blocks = parseAco(ACO);
  const names = [...ACO.matchAll(/^(BB\d+):/gm)].map(([, name]) => name);

  it("knows what instructions do", () => {
    expect(find(blocks, "ds_load_b64")).toEqual(
      instruction("ds_load_b64", "shared", { sharedBytes: 8 }),
    );
    expect(find(blocks, "ds_load_2addr_b32")).toMatchObject({ kind: "shared", sharedBytes: 8 });
    expect(find(blocks, "ds_store_b128")).toMatchObject({ sharedBytes: 16, isStore: true });
    expect(find(blocks, "v_fmac")).toMatchObject({
      kind: "multiplyAdd",
      multiplyAdds: 1,
      isPaired: true,
    });
    expect(find(blocks, "v_fma_mix")).toMatchObject({ kind: "multiplyAdd", isPaired: false });
    expect(find(blocks, "v_dual_fmac")).toMatchObject({ kind: "multiplyAdd", multiplyAdds: 1 });
    expect(find(blocks, "v_mul_f32")).toMatchObject({ kind: "vector", cost: 1, multiplyAdds: 0 });
    expect(find(blocks, "v_mul_lo_u32")).toMatchObject({ kind: "vector", cost: 4, lanes: "float" });
    expect(find(blocks, "v_exp")).toMatchObject({ kind: "vector", cost: 1, lanes: "special" });
    expect(find(blocks, "v_wmma")).toMatchObject({ kind: "matrix", matrixMultiplyAdds: 4096 });
    expect(find(blocks, "scratch_store")).toMatchObject({ kind: "global", isSpill: true });
    expect(find(blocks, "buffer_load")).toMatchObject({ kind: "global", isStore: false });
    expect(find(blocks, "s_barrier").kind).toBe("barrier");
    expect(find(blocks, "s_waitcnt").kind).toBe("wait");
    expect(find(blocks, "s_add_u32").kind).toBe("scalar");
  });

  it("leaves out the padding behind a jump", () => {
    expect(blocks[names.indexOf("BB7")]?.instructions.map(({ name }) => name)).toEqual([
      "s_mov_b64",
      "s_branch",
    ]);
    expect(blocks[names.indexOf("BB7")]?.successors).toEqual([names.indexOf("BB8")]);
  });

  it("finds a loop that is entered in its middle, and nested ones", () => {
    const loops = loopsOf(blocks);
    const at = (name: string): number => names.indexOf(name);
    expect(shapeOf(loops)).toEqual([at("BB8"), at("BB32"), [at("BB35")]]);
    expect(blocksOf(loops[0])).toEqual(["BB15", "BB8", "BB9", "BB13"].map(at));
    expect(blocksOf(loops[1]?.inner[0])).toEqual(["BB75", "BB35", "BB37"].map(at));
  });
});

describe("NVIDIA", () => {
  const blocks = parseNak(NAK);

  it("knows what instructions do", () => {
    expect(find(blocks, "ffma")).toMatchObject({ kind: "multiplyAdd", multiplyAdds: 1 });
    expect(find(blocks, "hmma")).toMatchObject({ kind: "matrix", matrixMultiplyAdds: 2048 });
    expect(find(blocks, "ld.shared")).toMatchObject({
      kind: "shared",
      sharedBytes: 16,
      isStore: false,
    });
    expect(find(blocks, "st.shared")).toMatchObject({
      kind: "shared",
      sharedBytes: 8,
      isStore: true,
    });
    expect(find(blocks, "ld.global")).toMatchObject({ kind: "global" });
    expect(find(blocks, "st.local")).toMatchObject({ isSpill: true });
    expect(find(blocks, "shf")).toMatchObject({ kind: "vector", lanes: "integer" });
    expect(find(blocks, "mufu")).toMatchObject({ kind: "vector", lanes: "special" });
    expect(find(blocks, "f2f")).toMatchObject({ kind: "vector", lanes: "float" });
    // Uniform registers are a subgroup's.
    expect(find(blocks, "imad").kind).toBe("scalar");
    expect(find(blocks, "bar.sync").kind).toBe("barrier");
    expect(find(blocks, "membar").kind).toBe("wait");
  });

  it("finds a loop whose blocks are not in their order", () => {
    const loops = loopsOf(blocks);
    expect(shapeOf(loops)).toEqual([2]);
    expect(blocksOf(loops[0])).toEqual([2, 3, 4, 5, 8]);
  });
});

describe("Qualcomm", () => {
  const blocks = parseIr3(IR3);

  it("knows what instructions do, and how often", () => {
    expect(find(blocks, "mad.f32")).toMatchObject({ kind: "multiplyAdd", times: 2 });
    expect(find(blocks, "cov.f16f32")).toMatchObject({ kind: "vector", times: 4 });
    expect(find(blocks, "ldl")).toMatchObject({ kind: "shared", sharedBytes: 16, isStore: false });
    expect(find(blocks, "stl")).toMatchObject({ kind: "shared", sharedBytes: 8, isStore: true });
    expect(find(blocks, "isam").kind).toBe("global");
    expect(find(blocks, "stp")).toMatchObject({ kind: "global", isSpill: true });
    expect(find(blocks, "rsq")).toMatchObject({ kind: "vector", lanes: "special" });
    // r48 and above are a subgroup's.
    expect(find(blocks, "mull").kind).toBe("scalar");
    expect(find(blocks, "bar").kind).toBe("barrier");
    const waits = blocks.flatMap(({ instructions }) =>
      instructions.filter(({ kind }) => kind === "wait"),
    );
    expect(waits.map(({ times }) => times)).toEqual([3, 2]);
  });

  it("does not take what stands behind a jump for a way into a loop", () => {
    const [outer] = loopsOf(blocks);
    // The outer loop's last block stands behind such a one.
    expect(outer?.inner).toHaveLength(1);
    const inside = [...(outer?.inner[0]?.blocks ?? [])].flatMap(
      (i) => blocks[i]?.instructions ?? [],
    );
    expect(inside.map(({ name }) => name)).toContain("isam.v.base0");
    expect(inside.map(({ name }) => name)).not.toContain("mov.u32u32");
  });
});
