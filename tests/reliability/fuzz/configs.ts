/**
 * Texts beside the weights, damaged: configurations, index files, manifests. A mutation knows JSON: values, keys and
 * structure are hit as often as bytes. What is read all the same must be what `JSON.parse` reads.
 */
import { isDeepStrictEqual } from "node:util";
import { readConfigs } from "../../../src/rcod/loading/read-configs.ts";
import { modelParameters } from "../../../src/rcod/networks/stage-graphs.ts";
import {
  WeightsError,
  memoryFiles,
  openWeightIndex,
  writeSafetensors,
} from "../../../src/weights/index.ts";
import { PIECE_BYTES, parseManifestText } from "../../../src/weights/sources/manifest.ts";
import { minimalConfigs } from "../../rcod/support.ts";

type Random = () => number;

/** A kind of file that is tried. */
export interface FuzzTarget {
  readonly name: string;
  readonly seeds: readonly Uint8Array[];
  readonly mutate: (seed: Uint8Array, random: Random) => Uint8Array;
  /** Reads a file. An error that is no answer to it, and a value that is not in it, are thrown. Gives the answer in words. */
  readonly read: (bytes: Uint8Array) => Promise<string>;
}

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const pick = <T>(items: readonly T[], random: Random): T =>
  items[Math.floor(random() * items.length)] as T;

/** Longest message that helps anybody. */
const MAX_MESSAGE = 2000;

/** The refusal in words; throws what is no refusal. */
function refusal(error: unknown): string {
  if (!(error instanceof WeightsError)) throw error; // ConfigError is one
  const { message } = error;
  if (message.length > MAX_MESSAGE) throw new Error(`a message of ${message.length} characters`);
  return message;
}

// Mutations

/** Texts in the place of a value. */
const VALUES: readonly string[] = [
  // Numbers, and what is nearly one.
  ..."0 -0 -1 1 2 3 8 65536 65537 1e9 4294967296 9007199254740993 0.5 1e308 1e309 1e-320 -1e300".split(
    " ",
  ),
  ..."01 1. .5 +1 0x10 NaN Infinity null true false undefined".split(" "),
  ...String.raw`"" "a" "../x.safetensors" "\ud800" "\u0000" "x.safetensors" "RCOD_S"`.split(" "),
  ...'"CrossAttnDownBlock2D" "UNet2DModel" "v_prediction"'.split(" "),
  ...'[] {} [[]] [1] [0,0] [8,16] [1e9] [null] [-1,2] {"__proto__":{"a":1}}'.split(" "),
  "9".repeat(400),
  `"${"a".repeat(5000)}"`,
  `[${"1,".repeat(3000)}1]`,
  "[".repeat(70) + "]".repeat(70),
  "[".repeat(20_000),
  '{"a":'.repeat(5000),
];
/** Keys that some reader somewhere takes for more than a key. */
const KEYS = [
  "__proto__",
  "constructor",
  "toString",
  "length",
  "",
  "weight_map",
  "files",
  "\u00fc",
];
const SCALAR = /"(?:[^"\\]|\\.)*"(?!\s*:)|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/g;
const KEY = /"(?:[^"\\]|\\.)*"(?=\s*:)/g;
const CONTAINER = /\[[^[\]{}]*\]|\{[^[\]{}]*\}/g;

/** `text` with one match of `pattern` replaced; as it is where there is none. */
function replaceOne(
  text: string,
  pattern: RegExp,
  by: (found: string) => string,
  random: Random,
): string {
  const matches = [...text.matchAll(pattern)];
  const match = matches[Math.floor(random() * matches.length)];
  if (match === undefined) return text;
  const { index } = match;
  return text.slice(0, index) + by(match[0]) + text.slice(index + match[0].length);
}

const TEXT_MUTATIONS: readonly ((text: string, random: Random) => string)[] = [
  (text, random) => replaceOne(text, SCALAR, () => pick(VALUES, random), random),
  (text, random) => replaceOne(text, SCALAR, () => pick(VALUES, random), random),
  (text, random) => replaceOne(text, CONTAINER, () => pick(VALUES, random), random),
  (text, random) => replaceOne(text, KEY, () => JSON.stringify(pick(KEYS, random)), random),
  // The same key or element twice, or a thousand times.
  (text, random) => {
    const count = pick([2, 2, 1000], random);
    return replaceOne(
      text,
      /[^,[{}\]]+(?=[,\]}])/g,
      (found) => Array(count).fill(found).join(","),
      random,
    );
  },
  (text, random) => replaceOne(text, /[^,[{}\]]+,/g, () => "", random),
  (text, random) =>
    replaceOne(
      text,
      /[[\]{},:"]/g,
      () => pick(["", "[", "]", "{", "}", ",", ":", '"'], random),
      random,
    ),
  (text, random) =>
    replaceOne(
      text,
      /\s*[,:]\s*/g,
      (found) => `${found}${pick(["/**/", "\n", "\u00a0", "\ufeff", "\t \r"], random)}`,
      random,
    ),
  (text, random) => text.slice(0, Math.floor(random() * text.length)),
  (text, random) => text + pick(["\n", ",", "}", "{}", "\0", "x", " ".repeat(10_000)], random),
  (text, random) =>
    pick(["\ufeff", "\ufeff\ufeff", "//\n", ")]}',\n", "version https://git-lfs"], random) + text,
  (text, random) => text.replaceAll("'", '"').replaceAll('"', pick(["'", '"', "`"], random)),
];

const BYTE_MUTATIONS: readonly ((bytes: Uint8Array, random: Random) => Uint8Array)[] = [
  (bytes, random) => {
    const out = bytes.slice();
    for (let n = 1 + Math.floor(random() * 4); n > 0 && out.length > 0; n--) {
      out[Math.floor(random() * out.length)] = Math.floor(random() * 256);
    }
    return out;
  },
  (bytes, random) => bytes.slice(Math.floor(random() * bytes.length)),
  // A piece once more, elsewhere.
  (bytes, random) => {
    const [from, length, to] = [random(), random() * 0.2, random()].map((x) =>
      Math.floor(x * bytes.length),
    );
    const out = [...bytes.slice(0, to), ...bytes.slice(from, from! + length!), ...bytes.slice(to)];
    return Uint8Array.from(out);
  },
  (bytes) =>
    new Uint8Array(
      Uint16Array.from(new TextDecoder().decode(bytes), (c) => c.charCodeAt(0)).buffer,
    ),
  (bytes) => Uint8Array.from([0x1f, 0x8b, 8, 0, ...bytes]),
  () => new Uint8Array(0),
];

/** One to four mutations. */
function mutate(seed: Uint8Array, random: Random): Uint8Array {
  let bytes = seed;
  for (let n = 1 + Math.floor(random() * random() * 4); n > 0; n--) {
    const isText = random() < 0.8;
    bytes = isText
      ? utf8(pick(TEXT_MUTATIONS, random)(new TextDecoder().decode(bytes), random))
      : pick(BYTE_MUTATIONS, random)(bytes, random);
  }
  return bytes;
}

/** What `JSON.parse` makes of a text, with keys as plain data; duplicate keys are not its business. */
const plain = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes));

// Targets

const configs = minimalConfigs({ mem: [8, 8] });
const json = (value: unknown): Uint8Array => utf8(JSON.stringify(value, null, 2));
/** As RCOD's model and Stable Diffusion 2.1 have them, and the minimal ones. */
const CONFIG_SEEDS: Readonly<Record<string, readonly unknown[]>> = {
  "unet/config.json": [
    {
      _class_name: "UNet2DConditionModel",
      act_fn: "silu",
      attention_head_dim: [5, 10, 20, 20],
      block_out_channels: [320, 640, 1280, 1280],
      center_input_sample: false,
      cross_attention_dim: 1024,
      down_block_types: [...Array<string>(3).fill("CrossAttnDownBlock2D"), "DownBlock2D"],
      downsample_padding: 1,
      flip_sin_to_cos: true,
      freq_shift: 0,
      in_channels: 4,
      layers_per_block: 2,
      norm_eps: 1e-5,
      norm_num_groups: 32,
      out_channels: 4,
      up_block_types: ["UpBlock2D", ...Array<string>(3).fill("CrossAttnUpBlock2D")],
      use_linear_projection: true,
    },
  ],
  "vae/config.json": [
    {
      _class_name: "AutoencoderKL",
      block_out_channels: [128, 256, 512, 512],
      down_block_types: Array<string>(4).fill("DownEncoderBlock2D"),
      in_channels: 3,
      latent_channels: 4,
      layers_per_block: 2,
      norm_num_groups: 32,
      out_channels: 3,
      scaling_factor: 0.18215,
      up_block_types: Array<string>(4).fill("UpDecoderBlock2D"),
    },
  ],
  "image_encoder/config.json": [
    {
      architectures: ["CLIPVisionModel"],
      hidden_act: "quick_gelu",
      hidden_size: 1024,
      image_size: 224,
      intermediate_size: 4096,
      layer_norm_eps: 1e-5,
      num_attention_heads: 16,
      num_hidden_layers: 24,
      patch_size: 14,
    },
  ],
  "mem/config.json": [],
  "rcod_config.json": [
    {
      instance: "RCOD_O",
      alpha: 0.5,
      timesteps: { fidelity: 10, neutral: 200, realism: 400 },
      thresholds: [0.3, 0.6],
      color_fix: "wavelet",
      checkpoint: "rcod_o.pkl",
      latent_tile: 64,
      latent_overlap: 16,
      upscale: 4,
      min_size: 512,
    },
  ],
};

const KEY_OF = {
  "unet/config.json": "unet",
  "vae/config.json": "vae",
  "image_encoder/config.json": "clip",
  "mem/config.json": "mem",
  "rcod_config.json": "rcod",
} as const;

function configTarget(path: keyof typeof KEY_OF): FuzzTarget {
  const folderWith = (bytes: Uint8Array) =>
    memoryFiles(
      new Map([
        ...Object.entries(configs).map(([at, value]) => [at, json(value)] as const),
        [path, bytes],
      ]),
    );
  return {
    name: path,
    seeds: [json(configs[path]), ...(CONFIG_SEEDS[path] ?? []).map(json)],
    mutate,
    async read(bytes) {
      let found: Awaited<ReturnType<typeof readConfigs>>;
      try {
        found = await readConfigs(folderWith(bytes));
        // Graphs of all networks: absurd sizes must be refused before they grow.
        modelParameters(found);
      } catch (error) {
        return refusal(error);
      }
      const again = await readConfigs(folderWith(json(plain(bytes))));
      const [got, expected] = [found[KEY_OF[path]], again[KEY_OF[path]]];
      if (!isDeepStrictEqual(got, expected))
        throw new Error(`${JSON.stringify(got)} is not in the file`);
      return "read";
    },
  };
}

const SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] as const;
const tensorsOf = (shard: number): string[] =>
  Array.from({ length: 6 }, (_, i) => `layer.${shard}.${i}.weight`);
const shardFiles = new Map(
  SHARDS.map((name, shard) => {
    const data = Uint8Array.of(shard, 0, 0, 0);
    const tensors = tensorsOf(shard).map((tensor) => ({
      name: tensor,
      dtype: "F32" as const,
      shape: [1],
      data,
    }));
    return [name, writeSafetensors(tensors)] as const;
  }),
);

const indexTarget: FuzzTarget = {
  name: "model.safetensors.index.json",
  seeds: [
    json({
      metadata: { total_size: 48 },
      weight_map: Object.fromEntries(
        SHARDS.flatMap((name, shard) => tensorsOf(shard).map((tensor) => [tensor, name])),
      ),
    }),
  ],
  mutate,
  async read(bytes) {
    const path = "unet/model.safetensors.index.json";
    const files = memoryFiles(
      new Map([
        [path, bytes],
        ...[...shardFiles].map(([name, data]) => [`unet/${name}`, data] as const),
      ]),
    );
    let store: Awaited<ReturnType<typeof openWeightIndex>>;
    try {
      store = await openWeightIndex(files, path);
    } catch (error) {
      return refusal(error);
    }
    const { weight_map } = plain(bytes.slice(bytes[0] === 0xef ? 3 : 0)) as {
      weight_map: Record<string, string>;
    };
    const entries = Object.entries(weight_map);
    for (const [tensor, shard] of entries) {
      const [first] = await store.read(tensor);
      if (SHARDS[first!] !== shard) throw new Error(`${tensor} is of another shard than ${shard}`);
    }
    if ([...store.names()].length !== entries.length)
      throw new Error("other tensors than in the index");
    await store.close();
    return "read";
  },
};

const digest = (digit: string): string => digit.repeat(64);
const manifestTarget: FuzzTarget = {
  name: "manifest.json",
  seeds: [
    json({
      dtype: "f16",
      piece_bytes: PIECE_BYTES,
      files: [
        { path: "rcod_config.json", bytes: 200, sha256: digest("a") },
        {
          path: "unet/w.safetensors",
          bytes: PIECE_BYTES + 1,
          sha256: digest("b"),
          pieces: ["c", "d"].map(digest),
        },
      ],
    }),
  ],
  mutate,
  async read(bytes) {
    const listed = parseManifestText(bytes, "manifest.json");
    if (listed === null) return "no manifest of ours";
    const { files } = plain(bytes) as {
      files: { path: string; bytes: number; sha256: string; pieces?: string[] }[];
    };
    for (const [path, { byteLength, sha256, pieces }] of listed) {
      const file = files.findLast((each) => each.path === path);
      const isSame = file?.bytes === byteLength && file.sha256 === sha256;
      const isWhole = pieces === null || pieces.length === Math.ceil(byteLength / PIECE_BYTES);
      if (!isSame || !isWhole) throw new Error(`${path} is not as in the file`);
    }
    return "read";
  },
};

export const configTargets: readonly FuzzTarget[] = [
  ...(Object.keys(KEY_OF) as (keyof typeof KEY_OF)[]).map(configTarget),
  indexTarget,
  manifestTarget,
];
