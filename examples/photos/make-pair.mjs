/**
 * Makes the pair that the demo page begins with: the sample enlarged by bicubic, and by the bundled model.
 *
 *     npm run upscale -- examples/photos/boats.png
 *     node examples/photos/make-pair.mjs
 */
import { fileURLToPath } from "node:url";
import sharp from "sharp";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const webp = { quality: 80, effort: 6 };

await sharp(path("boats.png"))
  .resize(512, 512, { kernel: "cubic" })
  .webp(webp)
  .toFile(path("boats-before.webp"));
await sharp(path("boats-x4.png")).webp(webp).toFile(path("boats-after.webp"));
