/** Pixels in textures that the device can have: one, or a grid of tiles where a side is too long for one. */

/** Sides of tiles; every device has textures of twice that. */
const TILE_SIDE = 4096;
/** Pixels of its neighbours that a tile holds too: what the view's filters see beyond an edge. */
const RIM = 4;

/** What a layer is cut into: first and last pixels of its columns and rows of tiles. */
export interface Tiling {
  readonly width: number;
  readonly height: number;
  /** Ascending, from 0 to the width. */
  readonly columns: readonly number[];
  readonly rows: readonly number[];
}

/** A texture, and the pixel of the layer at its corner. */
export interface LayerTile {
  readonly texture: GPUTexture;
  readonly x: number;
  readonly y: number;
}

/** RGBA pixels of a rectangle. */
export interface Pixels {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly data: BufferSource;
}

export class Layer implements Tiling {
  readonly width: number;
  readonly height: number;
  readonly columns: readonly number[];
  readonly rows: readonly number[];
  /** Row by row. */
  readonly tiles: readonly LayerTile[];

  private constructor({ width, height, columns, rows }: Tiling, tiles: readonly LayerTile[]) {
    this.width = width;
    this.height = height;
    this.columns = columns;
    this.rows = rows;
    this.tiles = tiles;
  }

  /** The pixels of a texture, which belongs to the layer from now on. */
  static of(texture: GPUTexture): Layer {
    const { width, height } = texture;
    const tiling = { width, height, columns: [0, width], rows: [0, height] };
    return new Layer(tiling, [{ texture, x: 0, y: 0 }]);
  }

  /** A layer without pixels yet. */
  static empty(device: GPUDevice, width: number, height: number): Layer {
    const tiling = { width, height, columns: cuts(width), rows: cuts(height) };
    const tiles = spans(tiling.rows).flatMap(([top, bottom]) =>
      spans(tiling.columns).map(([left, right]) => ({
        texture: device.createTexture({
          label: "layer",
          size: [right - left, bottom - top],
          format: "rgba8unorm",
          usage:
            GPUTextureUsage.TEXTURE_BINDING |
            GPUTextureUsage.RENDER_ATTACHMENT |
            GPUTextureUsage.COPY_DST |
            GPUTextureUsage.COPY_SRC,
        }),
        x: left,
        y: top,
      })),
    );
    return new Layer(tiling, tiles);
  }

  get byteLength(): number {
    return this.tiles.reduce((sum, { texture }) => sum + texture.width * texture.height * 4, 0);
  }

  tileAt(column: number, row: number): LayerTile {
    return this.tiles[row * (this.columns.length - 1) + column] as LayerTile;
  }

  /** Puts pixels into every tile that holds some of them. */
  write(queue: GPUQueue, { x, y, width, height, data }: Pixels): void {
    for (const { texture, x: left, y: top } of this.tiles) {
      const from = [Math.max(x, left), Math.max(y, top)] as const;
      const right = Math.min(x + width, left + texture.width);
      const bottom = Math.min(y + height, top + texture.height);
      if (right <= from[0] || bottom <= from[1]) continue;
      queue.writeTexture(
        { texture, origin: [from[0] - left, from[1] - top] },
        data,
        { offset: ((from[1] - y) * width + from[0] - x) * 4, bytesPerRow: width * 4 },
        [right - from[0], bottom - from[1]],
      );
    }
  }

  destroy(): void {
    for (const { texture } of this.tiles) texture.destroy();
  }
}

function cuts(length: number): readonly number[] {
  const count = Math.ceil(length / (TILE_SIDE - 2 * RIM));
  return Array.from({ length: count + 1 }, (_, i) => Math.round((i * length) / count));
}

/** From where to where tiles reach, with their rims. */
function spans(edges: readonly number[]): (readonly [from: number, to: number])[] {
  const end = edges.at(-1) ?? 0;
  return edges
    .slice(1)
    .map((to, i) => [Math.max(0, (edges[i] as number) - RIM), Math.min(end, to + RIM)]);
}
