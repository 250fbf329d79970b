/**
 * All that the pickles of torch.save may name: tags of element types, and four constructors. What
 * they do is written out here; no name is looked up anywhere else.
 */
import { isCount } from "../tensor-info.ts";
import type { TensorDtype } from "../tensor-info.ts";
import { torchTensor } from "./torch-tensor.ts";
import { isKind } from "./torch-value.ts";
import type { Callable, Global, Item } from "./torch-value.ts";

/** The element types of storages, by their names in the module `torch`. */
const STORAGE_DTYPES: ReadonlyMap<string, TensorDtype> = new Map([
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
]);

const CALLABLES: readonly Callable[] = [
  "torch._utils._rebuild_tensor_v2",
  "torch._utils._rebuild_parameter",
  "torch.Size",
  "collections.OrderedDict",
];

/** The global of a module and a name, or null for every other. */
export function findGlobal(module: string, name: string): Global | null {
  const path = `${module}.${name}`;
  const dtype = module === "torch" ? STORAGE_DTYPES.get(name) : undefined;
  if (dtype !== undefined) return { kind: "dtype", name: path, dtype };
  const callable = CALLABLES.find((allowed) => allowed === path);
  return callable === undefined ? null : { kind: "callable", name: callable };
}

/**
 * What a constructor gives, or null for arguments that torch.save does not write.
 * @throws WeightsError for a tensor outside its storage; see `torchTensor` for the last parameters
 */
export function callGlobal(
  name: Callable,
  args: readonly Item[],
  maxByteLength: number,
  where: string,
): Item | null {
  switch (name) {
    case "torch._utils._rebuild_tensor_v2": {
      // (storage, offset, shape, strides, requires_grad, hooks[, metadata])
      const [storage, offset, shape, stride, , hooks] = args;
      if (
        (args.length !== 6 && args.length !== 7) ||
        !isKind(storage, "storage") ||
        !isCount(offset) ||
        !isKind(shape, "tuple") ||
        !isKind(stride, "tuple") ||
        !isKind(hooks, "dict") ||
        !shape.items.every(isCount) ||
        !stride.items.every(isCount)
      ) {
        return null;
      }
      return torchTensor(storage, offset, shape.items, stride.items, maxByteLength, where);
    }
    case "torch._utils._rebuild_parameter": {
      // (tensor, requires_grad, hooks)
      const [tensor] = args;
      return args.length === 3 && isKind(tensor, "tensor") ? tensor : null;
    }
    case "torch.Size": {
      const [sizes] = args;
      return args.length === 1 && isKind(sizes, "tuple") ? sizes : null;
    }
    case "collections.OrderedDict":
      return args.length === 0 ? { kind: "dict", entries: new Map() } : null;
    default:
      return name satisfies never;
  }
}
