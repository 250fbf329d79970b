/**
 * Matrix units as WGSL sees them: the experimental extension `chromium_experimental_subgroup_matrix`. So far its builtins
 * have had three spellings (https://github.com/gpuweb/gpuweb/blob/main/proposals/subgroup-matrix.md). `matrix-probe.ts`
 * finds out which of them a device takes, and whether its numbers are right.
 */

/** Invocations of the shaders that use the units: a multiple of every subgroup size. */
export const MATRIX_WORKGROUP = 128;

/**
 * How loads and stores are written.
 *
 * - "quads": the majorness is a template argument. Arrays hold vec4, which offsets and strides count.
 * - "elements": the majorness is a template argument. Arrays hold scalars.
 * - "flag": the majorness is a boolean argument. Arrays hold scalars.
 */
export type MatrixSpelling = "quads" | "elements" | "flag";

/** All spellings but the oldest, in order of preference: "quads" stages whole quads. */
export const NEWER_SPELLINGS: readonly MatrixSpelling[] = ["quads", "elements"];

/** Matrix units that multiply f16 and add in f32, and how shaders reach them. */
export interface MatrixUnits {
  /** Rows of the result: 8 or 16. */
  readonly M: number;
  /** Columns of the result: 8 or 16. */
  readonly N: number;
  /** Length of the sums: 8, 16 or 32. */
  readonly K: number;
  /** Invocations that share a matrix. */
  readonly subgroupSize: number;
  /** Whether shaders pin that size. If not, the adapter has no other size. */
  readonly pinsSubgroupSize: boolean;
  /** How the builtins are written. */
  readonly spelling: MatrixSpelling;
}

/** Workgroup memory that matrices are loaded from or stored to, row after row. */
export interface MatrixArray {
  readonly name: string;
  readonly type: "f16" | "f32";
  /** A multiple of 8 (f16) or 4 (f32): rows have to begin at multiples of 16 bytes. */
  readonly rowLength: number;
  readonly rows: number;
  /** Whether its rows are the columns of the matrices: a lane's share of a right factor is then in one piece. */
  readonly isTransposed?: boolean;
}

/** Bytes of workgroup memory. */
export const matrixArrayByteLength = ({ type, rowLength, rows }: MatrixArray): number =>
  rowLength * rows * (type === "f16" ? 2 : 4);

/** Lines in front of a shader. */
export function matrixDirectives({ pinsSubgroupSize }: MatrixUnits): readonly string[] {
  return [
    // What a subgroup works on follows from its index. That is uniform within it, but the compiler does not know.
    "diagnostic(off, chromium.subgroup_matrix_uniformity);",
    "enable subgroups;",
    "enable chromium_experimental_subgroup_matrix;",
    ...(pinsSubgroupSize ? ["enable subgroup_size_control;"] : []),
  ];
}

/** Attribute of the entry point. */
export const subgroupSizeAttribute = ({ pinsSubgroupSize, subgroupSize }: MatrixUnits): string =>
  pinsSubgroupSize ? `@subgroup_size(${subgroupSize})` : "";

/** Declares an array, `set_<name>(quad, v)` and `get_<name>(quad)`. A quad is four elements. */
export function matrixArrayWgsl(units: MatrixUnits, array: MatrixArray): string {
  const { name, type, rowLength, rows } = array;
  const quads = (rowLength * rows) / 4;
  const isVector = units.spelling === "quads";
  const components = ["x", "y", "z", "w"] as const;
  const [set, get] = isVector
    ? [`${name}[quad] = v;`, `${name}[quad]`]
    : [
        components.map((component, i) => `${name}[4u * quad + ${i}u] = v.${component};`).join(" "),
        `vec4<${type}>(${components.map((_, i) => `${name}[4u * quad + ${i}u]`).join(", ")})`,
      ];
  return `var<workgroup> ${name}: array<${isVector ? `vec4<${type}>, ${quads}` : `${type}, ${4 * quads}`}>;
fn set_${name}(quad: u32, v: vec4<${type}>) { ${set} }
fn get_${name}(quad: u32) -> vec4<${type}> { return ${get}; }
`;
}

/**
 * Statements that store quads `<quad>0` to `<quad>3` of f16 transposed: component c of each in row c, counted from the quad `at` of
 * the array.
 */
export const setTransposed = ({ name, rowLength }: MatrixArray, at: string, quad: string): string =>
  ["x", "y", "z", "w"]
    .map((component, c) => {
      const row = [0, 1, 2, 3].map((i) => `${quad}${i}.${component}`).join(", ");
      return `set_${name}(${at} + ${(c * rowLength) / 4}u, vec4<f16>(${row}));`;
    })
    .join("\n");

/** WGSL type of a left or right factor of f16, or of the f32 result. */
export function matrixType({ M, N, K }: MatrixUnits, side: "left" | "right" | "result"): string {
  // The template's arguments are component, columns, rows.
  const [type, columns, rows] = {
    left: ["f16", K, M],
    right: ["f16", N, K],
    result: ["f32", N, M],
  }[side];
  return `subgroup_matrix_${side}<${type}, ${columns}, ${rows}>`;
}

/** Expression that loads a matrix whose first element is at `offset`, a u32 expression and a multiple of 8. */
export function loadMatrix(
  units: MatrixUnits,
  side: "left" | "right" | "result",
  { name, rowLength, isTransposed = false }: MatrixArray,
  offset: string,
): string {
  const type = matrixType(units, side);
  const order = isTransposed ? "col_major" : "row_major";
  return {
    quads: `subgroupMatrixLoad<${type}, ${order}>(&${name}, (${offset}) / 4u, ${rowLength / 4}u)`,
    elements: `subgroupMatrixLoad<${type}, ${order}>(&${name}, ${offset}, ${rowLength}u)`,
    flag: `subgroupMatrixLoad<${type}>(&${name}, ${offset}, ${isTransposed}, ${rowLength}u)`,
  }[units.spelling];
}

/** Statement that stores the result `value` with its first element at `offset`, a multiple of 4. */
export function storeMatrix(
  { spelling }: MatrixUnits,
  { name, rowLength }: MatrixArray,
  offset: string,
  value: string,
): string {
  return {
    quads: `subgroupMatrixStore<row_major>(&${name}, (${offset}) / 4u, ${value}, ${rowLength / 4}u);`,
    elements: `subgroupMatrixStore<row_major>(&${name}, ${offset}, ${value}, ${rowLength}u);`,
    flag: `subgroupMatrixStore(&${name}, ${offset}, ${value}, false, ${rowLength}u);`,
  }[spelling];
}
