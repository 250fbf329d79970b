/**
 * Names the kind of a file that could not be read, by how it begins. Loaded only when a file was refused.
 */

/** A kind of file, in words, and what to do about it. */
export interface ForeignKind {
  readonly what: string;
  readonly advice: string;
}

/** Bytes of a file's start that `kindOfBytes` looks at. */
export const KIND_BYTES = 512;

const DOWNLOAD = "Download the file itself again";
const UNPACK = "Unpack it, and give what is in it";
const CONVERT = "Use the safetensors or .bin files of the same model";

/** How files begin, as Latin-1 texts. */
const KINDS: readonly (readonly [start: RegExp, what: string, advice: string])[] = [
  [
    /^version https:\/\/git-lfs\.github\.com\/spec\//,
    "a git-lfs pointer in place of the file",
    'Fetch the file with "git lfs pull", or download it from its page',
  ],
  [
    /^(?:\u00EF\u00BB\u00BF)?\s*<(?:!doctype|html|head|body|!--|\?xml)/i,
    "a web page (HTML)",
    DOWNLOAD,
  ],
  [/^\s*\{\s*"error/, "a server's error message", DOWNLOAD],
  [/^(?:GGUF|ggml|ggjt|ggla)/, "a GGUF file", CONVERT],
  [/^\u0089HDF\r\n/, "an HDF5 file (.h5 of Keras or TensorFlow)", CONVERT],
  [/^model_checkpoint_path:/, "TensorFlow's list of checkpoints", CONVERT],
  [/^\u0093NUMPY/, "an array of numpy (.npy)", CONVERT],
  [/^.{4}TFL3/s, "a TensorFlow Lite model", CONVERT],
  [/^(?:\u0089PNG|\u00FF\u00D8\u00FF|GIF8|RIFF.{4}WEBP)/s, "a picture", "Give the model's file"],
  [/^%PDF/, "a PDF document", "Give the model's file"],
  [
    /^(?:7z\u00BC\u00AF|Rar!|\u00FD7zXZ|BZh\d|\u0028\u00B5\u002F\u00FD|.{257}ustar)/s,
    "a compressed archive",
    UNPACK,
  ],
];

/**
 * The kind of a file that begins with `start`, whose whole length is `byteLength`; null for what cannot be told.
 * `end`, its last 8 bytes, tells one more kind.
 */
export function kindOfBytes(
  start: Uint8Array,
  byteLength: number,
  end: Uint8Array = new Uint8Array(0),
): ForeignKind | null {
  if (byteLength === 0) return { what: "an empty file", advice: DOWNLOAD };
  const latin1 = (bytes: Uint8Array): string => String.fromCharCode(...bytes);
  const text = latin1(start.subarray(0, KIND_BYTES));
  if (start.every((byte) => byte === 0)) return { what: "a file of zeros", advice: DOWNLOAD };
  if (text.startsWith("PK\u0003\u0004")) return kindOfZip(text);
  if (latin1(end) === "\u0057\u00FB\u0080\u008B\u0024\u0075\u0047\u00DB") {
    return { what: "a checkpoint of TensorFlow", advice: CONVERT };
  }
  const [a = 0, b = 0] = start;
  if (a === 0x1f && b === 0x8b) return { what: "a compressed archive", advice: UNPACK };
  // The version of the format, and then who wrote it.
  if (a === 8 && b <= 20 && /^..[\s\S]{2,40}(?:onnx|torch|tf2|keras|graph)/is.test(text)) {
    return { what: "an ONNX model", advice: CONVERT };
  }
  const found = KINDS.find(([pattern]) => pattern.test(text));
  if (found !== undefined) return { what: found[1], advice: found[2] };
  if (/^\s*[{[]/.test(text))
    return { what: "a JSON text", advice: "Give the file with the weights" };
  return /^[\t\n\r\u0020-\u007E]+$/.test(text)
    ? { what: `a text that begins ${JSON.stringify(text.slice(0, 30))}`, advice: DOWNLOAD }
    : null;
}

/** Archives of torch.save begin with `<top>/data.pkl`; others by what stands first in them. */
function kindOfZip(text: string): ForeignKind | null {
  const nameLength = text.charCodeAt(26) + 256 * text.charCodeAt(27);
  const name = text.slice(30, 30 + nameLength);
  if (/^[^/]+\/(?:data\.pkl|\.?data\/|version|byteorder|\.format_version|code\/)/.test(name)) {
    return null;
  }
  if (name.endsWith(".npy")) return { what: "arrays of numpy (.npz)", advice: CONVERT };
  return {
    what: `a zip archive of other files (first ${JSON.stringify(name.slice(0, 60))})`,
    advice: "Unpack it, and give the folder or file that is in it",
  };
}

/** Whether a file begins like one of safetensors: the length of a header, and its JSON. */
export function looksLikeSafetensors(start: Uint8Array): boolean {
  return start[8] === 0x7b && start[6] === 0 && start[7] === 0;
}

/** Whether a file begins like one of torch.save: an archive or a pickle. */
export function looksLikeTorch(start: Uint8Array): boolean {
  const [a, b, c] = start;
  return (a === 0x50 && b === 0x4b && c === 3) || (a === 0x80 && b !== undefined && b <= 5);
}
