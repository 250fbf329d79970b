/** Where one place of the picture looks in an attention layer. */
import type { Capture } from "rcod-webgpu";
import { attentionMap } from "rcod-webgpu";
import { h } from "../../ui/dom.ts";
import { percent } from "../../ui/format-rate.ts";
import type { InsideRecord } from "./record.ts";

/** The picture's longest side on the canvas, in canvas pixels. */
const SIDE = 512;
/** Brightness of the picture below the glow. */
const DIM = 0.4;

interface Grid {
  readonly columns: number;
  readonly rows: number;
}

/** `path` names the layer whose queries and keys are in `record.attention`. */
export function attentionView(
  { source, attention }: InsideRecord,
  path: string,
): HTMLElement | null {
  const [q, k] = [attention[`${path}.q`], attention[`${path}.k`]];
  if (!q || !k) return null;
  const queries = grid(tokensOf(q), source.width / source.height);
  // Visual tokens: one for the whole picture, then a square of patches.
  const isCross = tokensOf(k) !== tokensOf(q);
  const side = Math.round(Math.sqrt(tokensOf(k) - 1));
  const keys = isCross ? { columns: side, rows: side } : queries;
  const skipped = isCross ? tokensOf(k) - side * side : 0;

  const scale = SIDE / Math.max(source.width, source.height);
  const canvas = h("canvas", {
    class: "pixels is-picker",
    width: Math.round(source.width * scale),
    height: Math.round(source.height * scale),
    tabindex: 0,
    role: "application",
    "aria-label": "The picture. The arrow keys choose a place",
  });
  const picture = document.createElement("canvas");
  picture.width = source.width;
  picture.height = source.height;
  picture
    .getContext("2d")
    ?.putImageData(new ImageData(source.rgba, source.width, source.height), 0, 0);
  const said = h("p", { class: "hint", role: "status" });
  const at = { column: Math.floor(queries.columns / 2), row: Math.floor(queries.rows / 2) };

  const draw = (): void => {
    const context = canvas.getContext("2d");
    if (!context) return;
    const weights = attentionMap(q, k, at.row * queries.columns + at.column);
    const largest = weights.slice(skipped).reduce((a, b) => Math.max(a, b), 0);
    const { width, height } = canvas;
    context.globalAlpha = 1;
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    context.globalAlpha = DIM;
    context.drawImage(picture, 0, 0, width, height);
    const cell = [width / keys.columns, height / keys.rows] as const;
    context.fillStyle = "#ffb454";
    for (let i = 0; i < keys.columns * keys.rows; i++) {
      context.globalAlpha = largest > 0 ? (0.85 * (weights[skipped + i] ?? 0)) / largest : 0;
      const [x, y] = [(i % keys.columns) * cell[0], Math.floor(i / keys.columns) * cell[1]];
      context.fillRect(x, y, cell[0] + 0.5, cell[1] + 0.5);
    }
    context.globalAlpha = 1;
    context.lineWidth = 2;
    context.strokeStyle = "#fff";
    const [w, hgt] = [width / queries.columns, height / queries.rows];
    context.strokeRect(at.column * w, at.row * hgt, w, hgt);
    const best = weights.slice(skipped).reduce((a, b, i, all) => (b > (all[a] ?? 0) ? i : a), 0);
    said.textContent =
      `Row ${at.row + 1}, column ${at.column + 1} of ${queries.rows} × ${queries.columns} looks most at row ${Math.floor(best / keys.columns) + 1}, column ${(best % keys.columns) + 1}, with ${percent(largest)} of its attention` +
      (skipped > 0
        ? `; ${percent(weights[0] ?? 0)} goes to the token for the whole picture.`
        : ".");
  };
  const choose = (column: number, row: number): void => {
    at.column = Math.min(queries.columns - 1, Math.max(0, column));
    at.row = Math.min(queries.rows - 1, Math.max(0, row));
    draw();
  };
  const point = (event: PointerEvent): void => {
    const box = canvas.getBoundingClientRect();
    choose(
      Math.floor(((event.clientX - box.left) / box.width) * queries.columns),
      Math.floor(((event.clientY - box.top) / box.height) * queries.rows),
    );
  };
  canvas.addEventListener("pointerdown", point);
  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("keydown", (event) => {
    const step = (
      { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] } as Readonly<
        Record<string, readonly [number, number]>
      >
    )[event.key];
    if (!step) return;
    event.preventDefault();
    choose(at.column + step[0], at.row + step[1]);
  });
  draw();
  return h(
    "div",
    { class: "attention" },
    canvas,
    h(
      "div",
      { class: "attention-words" },
      h(
        "p",
        { class: "prose" },
        isCross
          ? `Cross-attention: places of the latents look at the visual tokens, ${keys.columns} × ${keys.rows} patches that an image encoder has described. They stand where other models have a text prompt.`
          : "Self-attention: every place of the latents looks at all others and takes from those that resemble it. Point at a place; what glows is where it looks, the mean over all heads.",
      ),
      said,
    ),
  );
}

function tokensOf({ shape }: Capture): number {
  return shape[1] ?? 1;
}

/** Tokens are the pixels of a map as wide and high as the picture. */
function grid(tokens: number, aspect: number): Grid {
  const rows = Math.max(1, Math.round(Math.sqrt(tokens / aspect)));
  return tokens % rows === 0 ? { rows, columns: tokens / rows } : { rows: 1, columns: tokens };
}
