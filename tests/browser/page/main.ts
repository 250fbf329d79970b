/** What the tests call in the page. Bytes cross the border as base64: puppeteer passes JSON. */
import type { ModelSource, RawImage, UpscaleOptions } from "../../../src/index.ts";
import { loadModel } from "../../../src/index.ts";

/** An image with its pixels as base64. */
export interface EncodedImage extends Omit<RawImage, "data"> {
  readonly data: string;
}

/** Functions of the page, as `window.rcod`. */
export interface TestApi {
  /** Loads a model, enlarges one image in f32 and disposes. */
  upscale(source: ModelSource, image: EncodedImage, options: UpscaleOptions): Promise<EncodedImage>;
}

declare global {
  var rcod: TestApi;
}

const decode = (text: string): Uint8Array =>
  Uint8Array.from(atob(text), (char) => char.charCodeAt(0));

const encode = (bytes: ArrayLike<number>): string => {
  let text = "";
  for (let i = 0; i < bytes.length; i++) text += String.fromCharCode(bytes[i] as number);
  return btoa(text);
};

globalThis.rcod = {
  async upscale(source, { data, ...size }, options) {
    const model = await loadModel(source, { precision: "f32" });
    try {
      const { image } = await model.upscale({ ...size, data: decode(data) }, options);
      return { ...image, data: encode(image.data) };
    } finally {
      model.dispose();
    }
  },
};
