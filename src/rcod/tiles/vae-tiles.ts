/** Where the tiles of the exactly tiled VAE lie. Apart from `tiled-vae.ts`, which only large images load. */
import type { VaeConfig } from "../settings/config.ts";
import type { Tile } from "./tiled-graph.ts";

/**
 * How far the tiled part looks beyond a pixel, in input pixels, rounded up: what an exact margin must cover.
 * Encoder: conv_in, resnets and downsamplers (which look two pixels to the right). Decoder: resnets,
 * upsamplers and conv_out.
 */
export function vaeReach(config: VaeConfig, kind: "encode" | "decode"): number {
  const levels = config.blockOutChannels.length;
  let reach = kind === "encode" ? 1 : 2 ** (1 - levels);
  for (let level = 0; level < levels; level++) {
    const isLast = level === levels - 1;
    if (kind === "encode") reach += (2 * config.layersPerBlock + (isLast ? 0 : 2)) * 2 ** level;
    else reach += (2 * (config.layersPerBlock + 1) + (isLast ? 0 : 1)) * 2 ** -level;
  }
  return Math.ceil(reach);
}

/** Cores of about `tileSize` that partition the map, each read with a margin and counted without. */
export function exactTiles(
  { width, height }: { readonly width: number; readonly height: number },
  tileSize: number,
  margin: number,
  multiple: number,
  scale: number,
): Tile[] {
  const rows = spans(height, tileSize, margin, multiple);
  const columns = spans(width, tileSize, margin, multiple);
  return rows.flatMap((row) =>
    columns.map((column) => ({
      input: { x0: column.from, x1: column.to, y0: row.from, y1: row.to },
      counted: { x0: column.start, x1: column.end, y0: row.start, y1: row.end },
      output: {
        x0: column.start * scale,
        x1: column.end * scale,
        y0: row.start * scale,
        y1: row.end * scale,
      },
    })),
  );
}

function spans(size: number, tileSize: number, margin: number, multiple: number) {
  const count = Math.max(1, Math.ceil(size / tileSize));
  const side = Math.ceil(size / count / multiple) * multiple;
  return Array.from({ length: Math.ceil(size / side) }, (_, k) => {
    const start = k * side;
    const end = Math.min(size, start + side);
    return { start, end, from: Math.max(0, start - margin), to: Math.min(size, end + margin) };
  });
}
