/**
 * All that the pickles of torch.save may name, as pairs of module and name: what PyTorch's own `weights_only` loader
 * takes, and plain classes that training scripts leave beside the tensors. What a name does is written out here; none
 * is looked up anywhere else.
 */
import { isCount } from "../tensor-info.ts";
import type { TensorDtype } from "../tensor-info.ts";
import { numpyScalar } from "./torch-numpy.ts";
import { torchTensor } from "./torch-tensor.ts";
import { isKind, keyText } from "./torch-value.ts";
import type { Call, Global, Item, Opaque } from "./torch-value.ts";

/** The element types of storages, by their names in the module `torch`. Of quantised ones the scales are not read. */
const STORAGE_DTYPES: ReadonlyMap<string, TensorDtype> = new Map<string, TensorDtype>([
  ["DoubleStorage", "F64"],
  ["FloatStorage", "F32"],
  ["HalfStorage", "F16"],
  ["BFloat16Storage", "BF16"],
  ["LongStorage", "I64"],
  ["IntStorage", "I32"],
  ["ShortStorage", "I16"],
  ["CharStorage", "I8"],
  ["ByteStorage", "U8"],
  ["BoolStorage", "BOOL"],
  ["ComplexFloatStorage", "C64"],
  ["ComplexDoubleStorage", "C128"],
  ["QInt8Storage", "QI8"],
  ["QUInt8Storage", "QU8"],
  ["QInt32Storage", "QI32"],
]);

/** Element types without a storage of their own: their elements come as bytes, with the type's name in `torch`. */
const DTYPES_IN_BYTES: ReadonlyMap<string, TensorDtype> = new Map<string, TensorDtype>([
  ["torch.uint16", "U16"],
  ["torch.uint32", "U32"],
  ["torch.uint64", "U64"],
  ["torch.float8_e4m3fn", "F8_E4M3"],
  ["torch.float8_e5m2", "F8_E5M2"],
  ["torch.float8_e8m0fnu", "F8_E8M0"],
]);

const words = (text: string): readonly string[] => text.split(" ");

/** Values that are their own name. */
const CONSTANTS = new Set([
  ...words("float64 double float32 float float16 half bfloat16 complex32 complex64 complex128"),
  ...words("int64 long int32 int int16 short int8 uint8 uint16 uint32 uint64 bool"),
  ...words("float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu"),
  ...words("float4_e2m1fn_x2 qint8 quint8 qint32 quint4x2 quint2x4 bits8 bits16 bits1x8 bits2x4"),
  ...words("bits4x2 strided sparse_coo sparse_csr contiguous_format channels_last preserve_format"),
  ...words("per_tensor_affine per_tensor_symmetric per_channel_affine per_channel_symmetric"),
  ...Array.from({ length: 7 }, (_, i) => [`int${i + 1}`, `uint${i + 1}`]).flat(),
]);

/** `(storage, offset, shape, strides, …)`: how the arguments of every tensor begin. */
const tensorOf: Call = ([storage, offset, shape, stride], { maxByteLength, where }, dtype) => {
  if (
    !isKind(storage, "storage") ||
    !isCount(offset) ||
    !isKind(shape, "tuple") ||
    !isKind(stride, "tuple") ||
    !shape.items.every(isCount) ||
    !stride.items.every(isCount)
  ) {
    return null;
  }
  return torchTensor(storage, offset, shape.items, stride.items, maxByteLength, where, dtype);
};

const first: Call = ([value = null]) => value;
const tensorBehind: Call = ([tensor]) => (isKind(tensor, "tensor") ? tensor : null);
const sequence: Call = ([items = null], { spend }) => {
  if (isKind(items, "list")) return items;
  if (items !== null && !isKind(items, "tuple")) return null;
  // A list of its own: what was a tuple may be filled now.
  spend(items?.items.length ?? 0);
  return { kind: "list", items: [...(items?.items ?? [])] };
};

/** A dictionary of a list of pairs, of another dictionary, or empty. */
const dictionary: Call = (args, { spend }) => {
  const [source = null] = args.filter((arg) => arg !== null && !isKind(arg, "callable"));
  if (isKind(source, "dict")) return source;
  if (source !== null && !isKind(source, "list")) return null;
  const entries = new Map<string | number, Item>();
  if (source !== null) {
    spend(source.items.length);
    for (const pair of source.items) {
      const [key, value] = isKind(pair, "list") || isKind(pair, "tuple") ? pair.items : [];
      const name = key === undefined ? null : keyText(key);
      if (name === null || value === undefined) return null;
      entries.set(name, value);
    }
  }
  return { kind: "dict", entries };
};

/** The arguments with a sign between them: a device, a path. */
const joined =
  (separator: string): Call =>
  (args, { spend }) => {
    const text = args.map((arg) => (typeof arg === "object" ? "" : String(arg))).join(separator);
    spend(text.length);
    return text.replace(/^\/\//, "/");
  };

/** What a call gives of whose result only the class is kept. */
const opaque =
  (name: string): Call =>
  () => ({ kind: "opaque", text: `<${name}>` });

/** Constructors by their module and name. */
const CALLS = new Map<string, Call>();
const define = (modules: string, names: string, call: Call | null): void => {
  for (const module of words(modules)) {
    for (const name of words(names)) {
      CALLS.set(`${module}\n${name}`, call ?? opaque(`${module}.${name}`));
    }
  }
};

define("torch._utils", "_rebuild_tensor _rebuild_tensor_v2 _rebuild_qtensor", (args, limits) =>
  args.length >= 4 && args.length <= 8 ? tensorOf(args, limits) : null,
);
define("torch._utils", "_rebuild_tensor_v3", (args, limits) => {
  // (storage, offset, shape, strides, requires_grad, hooks, dtype[, metadata])
  const [storage, , , , , , type] = args;
  if (!isKind(storage, "storage") || storage.dtype !== "U8" || !isKind(type, "opaque")) return null;
  const dtype = DTYPES_IN_BYTES.get(type.text);
  if (dtype !== undefined) return tensorOf(args, limits, dtype);
  return { kind: "opaque", text: `<a tensor of ${type.text}>` };
});
define("torch._utils", "_rebuild_parameter _rebuild_parameter_with_state", tensorBehind);
define("torch.nn.parameter", "Parameter Buffer", tensorBehind);
define("torch._tensor", "_rebuild_from_type_v2", ([call, , args], limits) =>
  isKind(call, "callable") && isKind(args, "tuple") ? call.call(args.items, limits) : null,
);
define(
  "torch._utils",
  "_rebuild_sparse_tensor _rebuild_sparse_csr_tensor _rebuild_meta_tensor_no_storage " +
    "_rebuild_nested_tensor _rebuild_wrapper_subclass _rebuild_device_tensor_from_numpy " +
    "_rebuild_device_tensor_from_cpu_tensor",
  null,
);
define("torch", "Size", ([sizes, ...more]) =>
  isKind(sizes, "tuple") && more.length === 0 ? sizes : null,
);
define("torch", "device", joined(":"));
define("torch", "Tensor Generator", null);
define("torch.serialization", "_get_layout", first);
define("collections", "OrderedDict defaultdict Counter", dictionary);
define("collections", "deque", sequence);
define("builtins __builtin__", "set frozenset list tuple", sequence);
define("builtins __builtin__", "dict", dictionary);
define(
  "builtins __builtin__",
  "int float str bool bytes bytearray complex slice range object",
  null,
);
define("copyreg copy_reg", "_reconstructor", ([made, , state], limits) =>
  isKind(made, "callable") ? made.call(state ? [state] : [], limits) : null,
);
define("_codecs", "encode", ([text]) =>
  typeof text === "string" ? { kind: "opaque", text: "<bytes>", bytes: text } : null,
);
define("argparse types", "Namespace SimpleNamespace", () => ({
  kind: "opaque",
  text: "<Namespace>",
  isNamespace: true,
}));
define(
  "pathlib pathlib._local",
  "Path PosixPath WindowsPath PurePath PurePosixPath PureWindowsPath",
  joined("/"),
);
define("datetime", "datetime date time timedelta timezone", null);
define("decimal", "Decimal", first);
define("fractions", "Fraction", first);
define("uuid", "UUID", null);
define("numpy", "dtype", ([type]) =>
  typeof type === "string" ? { kind: "opaque", text: `numpy.dtype ${type.slice(0, 20)}` } : null,
);
define("numpy", "ndarray", null);
define("numpy.core.multiarray numpy._core.multiarray", "_reconstruct", opaque("numpy.ndarray"));
define("numpy.core.multiarray numpy._core.multiarray", "scalar", numpyScalar);
define(
  "numpy.dtypes",
  "Float64DType Float32DType Float16DType Int64DType Int32DType BoolDType",
  null,
);
// What Lightning puts into the checkpoints of Stable Diffusion.
define(
  "pytorch_lightning.callbacks.model_checkpoint lightning.pytorch.callbacks.model_checkpoint " +
    "pytorch_lightning.callbacks.early_stopping",
  "ModelCheckpoint EarlyStopping",
  null,
);
define("omegaconf.dictconfig omegaconf.listconfig", "DictConfig ListConfig", null);
define("omegaconf.base", "ContainerMetadata Metadata", null);
define("omegaconf.nodes", "AnyNode IntegerNode FloatNode StringNode BooleanNode", null);
define("typing", "Any", null);

/** The global of a module and a name, or null for every other. */
export function findGlobal(module: string, name: string): Global | Opaque | null {
  if (module === "torch") {
    const dtype = STORAGE_DTYPES.get(name);
    if (dtype !== undefined) return { kind: "dtype", name: `torch.${name}`, dtype };
    if (CONSTANTS.has(name)) return { kind: "opaque", text: `torch.${name}` };
  }
  if (/^torch(?:\.storage)?$/.test(module) && name === "UntypedStorage") {
    return { kind: "dtype", name: `${module}.${name}`, dtype: "U8" };
  }
  // Neither can hold the line break: they are lines of the pickle.
  const call = CALLS.get(`${module}\n${name}`);
  return call === undefined ? null : { kind: "callable", name: `${module}.${name}`, call };
}
