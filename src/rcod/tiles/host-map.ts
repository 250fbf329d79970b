/** Feature maps on the host, in the device's storage: what tiles are cut from and pasted into. */
import type { DType } from "../../gpu/dtype.ts";
import { dtypeByteLength } from "../../gpu/dtype.ts";
import { paddedChannels } from "../../gpu/shape.ts";
import { packActivation, unpackActivation } from "../../graph/pack-activation.ts";
import type { Box } from "./tiling.ts";

/** One image [height, width, channels], channels padded to quads, elements of `dtype`. */
export interface HostMap {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly dtype: DType;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Bytes of one pixel. */
function pixelBytes({ channels, dtype }: Pick<HostMap, "channels" | "dtype">): number {
  return paddedChannels(channels) * dtypeByteLength(dtype);
}

/** A map of zeros. */
export function emptyHostMap(
  height: number,
  width: number,
  channels: number,
  dtype: DType,
): HostMap {
  return {
    height,
    width,
    channels,
    dtype,
    bytes: new Uint8Array(height * width * pixelBytes({ channels, dtype })),
  };
}

/** A map from floats [height, width, channels]. */
export function hostMapFromFloats(
  data: Float32Array,
  height: number,
  width: number,
  dtype: DType,
): HostMap {
  const channels = data.length / (height * width);
  return { height, width, channels, dtype, bytes: packActivation(data, channels, dtype) };
}

/** The map as floats [height, width, channels]. */
export function hostMapToFloats({
  bytes,
  height,
  width,
  channels,
  dtype,
}: HostMap): Float32Array<ArrayBuffer> {
  return unpackActivation(bytes, { id: 0, shape: [1, height, width, channels] }, dtype);
}

/** A copy of a rectangle inside the map. */
export function cropHostMap(map: HostMap, box: Box): HostMap {
  const out = emptyHostMap(box.y1 - box.y0, box.x1 - box.x0, map.channels, map.dtype);
  copyRectangle(map, box.x0, box.y0, out, { x0: 0, y0: 0, x1: out.width, y1: out.height });
  return out;
}

/** Copies the rectangle of `source` that starts at (x, y) onto `box` of `target`. */
export function copyRectangle(
  source: HostMap,
  x: number,
  y: number,
  target: HostMap,
  box: Box,
): void {
  const pixel = pixelBytes(source);
  const rowBytes = (box.x1 - box.x0) * pixel;
  for (let row = 0; row < box.y1 - box.y0; row++) {
    const start = ((y + row) * source.width + x) * pixel;
    target.bytes.set(
      source.bytes.subarray(start, start + rowBytes),
      ((box.y0 + row) * target.width + box.x0) * pixel,
    );
  }
}
