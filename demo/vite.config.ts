/** The demo: static files that work from any folder of any server. `npm run build:demo` writes demo/dist. */
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import packageJson from "../package.json" with { type: "json" };
import { convertedModel } from "./build/converted-model.ts";
import { precache } from "./build/precache.ts";
import { copied, fileLists, servedFolders } from "./build/served-files.ts";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

const MODEL = here("../models/rcod-tiny");
/** Not the originals, nor the pair of proof.ts, nor results of the quick start. */
const PHOTOS = /^(?!.*-(original|before|after|x4)\.).*\.(png|jpg|webp)$/;

const FOLDERS = [
  convertedModel(MODEL, "models/rcod-tiny-int8", "int8"),
  copied(MODEL, "models/rcod-tiny", /\.(json|safetensors)$/),
  copied(here("../examples/photos"), "photos", PHOTOS),
  copied(here("../tests/fixtures/goldens"), "goldens", /\.safetensors$/),
  copied(here("examples"), "examples", /\.json$/),
  copied(here("../bench/results"), "results", /^compilers\.json$/),
];

export default defineConfig({
  root: here("."),
  base: "./",
  publicDir: false,
  define: { __VERSION__: JSON.stringify(packageJson.version) },
  resolve: {
    // The names that users import, with the sources of this checkout behind them.
    alias: [
      { find: /^rcod-webgpu$/, replacement: here("../src/index.ts") },
      { find: "rcod-webgpu/worker-calls", replacement: here("../src/worker/calls.ts") },
      {
        find: /^rcod-webgpu\/(gpu|graph|kernels|weights|cache|bench|verify)$/,
        replacement: here("../src/$1/index.ts"),
      },
    ],
  },
  worker: { format: "es", plugins: () => [fileLists(FOLDERS)] },
  build: {
    outDir: here("dist"),
    emptyOutDir: true,
    target: "es2023",
    // Browsers with WebGPU preload modules themselves.
    modulePreload: { polyfill: false },
    // Inlined assets would be data: addresses, which the page's policy refuses.
    assetsInlineLimit: 0,
    rolldownOptions: {
      input: { index: here("index.html"), sw: here("sw.ts") },
      output: {
        // At the top, so that its scope is the whole page.
        entryFileNames: ({ name }) => (name === "sw" ? "sw.js" : "assets/[name]-[hash].js"),
      },
    },
  },
  plugins: [fileLists(FOLDERS), servedFolders(FOLDERS), precache()],
});
