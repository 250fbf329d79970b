/** Pixels as a reader, for tests. */
import { depthOf, samplesIn } from "../../src/rcod/images/raw-image.ts";
import type { ImageReader, PixelRectangle, RawImage } from "../../src/rcod/settings/options.ts";

/** Reads from `image`; `onRead` hears of every rectangle. */
export function pictureReader(
  image: RawImage,
  onRead?: (rectangle: PixelRectangle) => void,
): ImageReader {
  const { width, height, channels } = image;
  return {
    width,
    height,
    channels,
    depth: depthOf(image),
    read(rectangle) {
      onRead?.(rectangle);
      return { ...image, ...rectangle, data: samplesIn(image, rectangle) };
    },
  };
}
