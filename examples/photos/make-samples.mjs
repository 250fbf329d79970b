/**
 * Makes three of the samples from photographs of scikit-image, small and worn as old pictures are. README.md says where
 * the photographs are from:
 *
 *     apt-get download python3-skimage && dpkg-deb -x python3-skimage_*.deb skimage
 *     node examples/photos/make-samples.mjs skimage/usr/lib/python3/dist-packages/skimage/data
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";

const from = process.argv[2];
if (from === undefined) throw new Error("make-samples: name the folder of the photographs");
const here = fileURLToPath(new URL(".", import.meta.url));
const photo = (name) => sharp(join(from, name));

// Head and shoulders.
await photo("astronaut.png")
  .extract({ left: 96, top: 0, width: 256, height: 256 })
  .resize(128)
  .jpeg({ quality: 82 })
  .toFile(join(here, "astronaut.jpg"));

await photo("text.png")
  .extract({ left: 128, top: 0, width: 320, height: 172 })
  .resize(160)
  .png()
  .toFile(join(here, "handwriting.png"));

// As cameras and web pages wrote them when memory was dear: half the colours, blocks that show.
await photo("chelsea.png")
  .resize(160)
  .jpeg({ quality: 30, chromaSubsampling: "4:2:0" })
  .toFile(join(here, "cat.jpg"));
