/** `rcod info FILE`: what a single file holds, whichever kind it is, or why it is refused. */
import { basename, dirname } from "node:path";
import { kindOfTensors } from "../../src/rcod/loading/foreign-names.ts";
import { withPlainNames } from "../../src/rcod/loading/stored-tensors.ts";
import {
  ConfigError,
  parseClipConfig,
  parseMemConfig,
  parseRcodConfig,
  parseUNetConfig,
  parseVaeConfig,
} from "../../src/rcod/settings/config.ts";
import type {
  FileSet,
  JsonObject,
  JsonValue,
  WeightFile,
  WeightStore,
} from "../../src/weights/index.ts";
import { openWeightFile, openWeightIndex, readJson } from "../../src/weights/index.ts";
import { folderFiles } from "../../src/weights/sources/node-source.ts";
import { shapeText } from "../../src/weights/tensor-info.ts";
import { EXIT, usageError } from "../errors.ts";
import { formatBytes, formatTable } from "../format.ts";
import type { Terminal } from "../terminal.ts";

/** A tensor of the file, or of the shards that an index names. */
interface TensorLine {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: number;
}

interface FileContent {
  readonly kind: "safetensors" | "torch" | "index" | "config";
  /** What the names of its tensors are known as. */
  readonly what?: string;
  readonly tensors: readonly TensorLine[];
  /** Metadata, plain values of a checkpoint, or the fields of a config. */
  readonly values: ReadonlyMap<string, JsonValue>;
}

/** Lists a file. Exit code 0; files that are refused throw, with exit code 2. */
export async function runFileInfo(
  path: string,
  json: boolean,
  terminal: Terminal,
): Promise<number> {
  const content = await readContent(folderFiles(dirname(path)), basename(path));
  if (json) {
    const { values, ...rest } = content;
    terminal.out(JSON.stringify({ file: path, ...rest, values: Object.fromEntries(values) }));
  } else {
    terminal.out(render(path, content));
  }
  return EXIT.ok;
}

async function readContent(files: FileSet, name: string): Promise<FileContent> {
  if (/\.index\.(?:[\w-]+\.)?json$/.test(name)) {
    const store = await openWeightIndex(files, name);
    const values = new Map<string, JsonValue>();
    const what = await whatIs({ kind: "safetensors", store, values });
    return { kind: "index", ...what, tensors: await listTensors(store), values };
  }
  if (name.endsWith(".json")) {
    const json = await readJson(files, name);
    checkConfig(json, name);
    return { kind: "config", tensors: [], values: new Map(Object.entries(json as JsonObject)) };
  }
  const file = await openWeightFile(files, name);
  if (file === null) throw usageError(`file ${name} cannot be found any more`);
  const what = await whatIs(file);
  return { kind: file.kind, ...what, tensors: await listTensors(file.store), values: file.values };
}

async function whatIs(file: WeightFile): Promise<Pick<FileContent, "what">> {
  const { store } = await withPlainNames(file, {});
  const what = kindOfTensors(store.names());
  return what === null ? {} : { what };
}

/** All tensors of a store, which is closed. */
async function listTensors(store: WeightStore): Promise<readonly TensorLine[]> {
  const tensors = Array.from(store.names(), (name): TensorLine => {
    const { dtype, shape, byteLength } = store.info(name);
    return { name, dtype, shape, bytes: byteLength };
  });
  await store.close();
  return tensors;
}

/** Configs of this project's models, by the class that they name. Others are listed as they are. */
const CONFIG_PARSERS: ReadonlyMap<JsonValue | undefined, (json: unknown, name: string) => unknown> =
  new Map<JsonValue | undefined, (json: unknown, name: string) => unknown>([
    ["UNet2DConditionModel", parseUNetConfig],
    ["AutoencoderKL", parseVaeConfig],
    ["MetricEstimationModule", parseMemConfig],
    ["clip", parseClipConfig],
    ["clip_vision_model", parseClipConfig],
  ]);

function checkConfig(json: JsonValue, name: string): void {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw usageError(`config: ${name} must be a JSON object`);
  }
  const fields = json as JsonObject;
  const parse =
    name === "rcod_config.json"
      ? parseRcodConfig
      : CONFIG_PARSERS.get(fields["_class_name"] ?? fields["model_type"]);
  try {
    parse?.(json, name);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw usageError(error.message);
  }
}

function render(path: string, { kind, what, tensors, values }: FileContent): string {
  const bytes = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  const size = `${tensors.length} tensors, ${formatBytes(bytes)}`;
  const lines = [`${path}: ${kind}, ${what === undefined ? "" : `${what}, `}${size}`];
  if (tensors.length > 0) {
    const rows = tensors.map((tensor) => [
      `  ${printable(tensor.name)}`,
      tensor.dtype,
      shapeText(tensor.shape),
      formatBytes(tensor.bytes),
    ]);
    lines.push("", "Tensors", formatTable(rows, ["left", "left", "left", "right"]));
  }
  if (values.size > 0) {
    const rows = [...values].map(([name, value]) => [`  ${printable(name)}`, valueText(value)]);
    lines.push("", "Values", formatTable(rows));
  }
  return lines.join("\n");
}

const MAX_NAME_LENGTH = 200;
const MAX_VALUE_LENGTH = 100;

/** A value as JSON; of long ones the beginning, of long lists also how many there are. */
function valueText(value: JsonValue): string {
  const text = JSON.stringify(value);
  if (text.length <= MAX_VALUE_LENGTH) return text;
  const count = Array.isArray(value) ? `${value.length} items: ` : "";
  return `${count}${text.slice(0, MAX_VALUE_LENGTH)}…`;
}

/** Names come out of files: they may be long, and control characters would reach the terminal. */
function printable(name: string): string {
  const text = JSON.stringify(name).slice(1, -1);
  return text.length <= MAX_NAME_LENGTH ? text : `${text.slice(0, MAX_NAME_LENGTH)}…`;
}
