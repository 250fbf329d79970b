/** ONNX models built in memory: as much of `onnx.proto` as an inference graph of f32 tensors needs. */
import type { Field } from "./protobuf.ts";
import { message } from "./protobuf.ts";

export type Attribute = number | Float32Array | string | readonly number[];

export interface OnnxNode {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly output: string;
  readonly attributes?: Readonly<Record<string, Attribute>>;
}

/** An f32 tensor, or with `BigInt64Array` a list of sizes. */
export interface OnnxTensor {
  readonly dims: readonly number[];
  readonly values: Float32Array | BigInt64Array;
}

export interface OnnxGraph {
  readonly nodes: readonly OnnxNode[];
  readonly initializers: Readonly<Record<string, OnnxTensor>>;
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  readonly outputs: Readonly<Record<string, readonly number[]>>;
}

// Version 17 of the operators and 8 of the file format: 2022, understood by every runtime of today.
const IR_VERSION = 8;
const OPSET = 17;
/** `TensorProto.DataType`. */
const FLOAT = 1;
const INT64 = 7;
/** `AttributeProto.AttributeType`. */
const ATTRIBUTE = { float: 1, int: 2, string: 3, ints: 7 } as const;

/** The bytes of a model file. */
export function onnxModel(graph: OnnxGraph): Uint8Array<ArrayBuffer> {
  const graphProto = message([
    ...graph.nodes.map((node): Field => [1, nodeProto(node)]),
    [2, "graph"],
    ...Object.entries(graph.initializers).map(([name, tensor]): Field => [
      5,
      tensorProto(name, tensor),
    ]),
    ...Object.entries(graph.inputs).map(([name, dims]): Field => [11, valueInfo(name, dims)]),
    ...Object.entries(graph.outputs).map(([name, dims]): Field => [12, valueInfo(name, dims)]),
  ]);
  const opset = message([
    [1, ""],
    [2, OPSET],
  ]);
  return message([
    [1, IR_VERSION],
    [7, graphProto],
    [8, opset],
  ]);
}

function nodeProto({ op, inputs, output, attributes = {} }: OnnxNode): Uint8Array {
  return message([
    ...inputs.map((name): Field => [1, name]),
    [2, output],
    [3, output],
    [4, op],
    ...Object.entries(attributes).map(([name, value]): Field => [5, attributeProto(name, value)]),
  ]);
}

function attributeProto(name: string, value: Attribute): Uint8Array {
  const typed = (type: number, fields: readonly Field[]): Uint8Array =>
    message([[1, name], ...fields, [20, type]]);
  if (value instanceof Float32Array) return typed(ATTRIBUTE.float, [[2, value]]);
  if (typeof value === "number") return typed(ATTRIBUTE.int, [[3, value]]);
  if (typeof value === "string") return typed(ATTRIBUTE.string, [[4, value]]);
  return typed(
    ATTRIBUTE.ints,
    value.map((item): Field => [8, item]),
  );
}

function tensorProto(name: string, { dims, values }: OnnxTensor): Uint8Array {
  return message([
    ...dims.map((size): Field => [1, size]),
    [2, values instanceof Float32Array ? FLOAT : INT64],
    [8, name],
    [9, new Uint8Array(values.buffer, values.byteOffset, values.byteLength)],
  ]);
}

function valueInfo(name: string, dims: readonly number[]): Uint8Array {
  const shape = message(dims.map((size): Field => [1, message([[1, size]])]));
  const tensorType = message([
    [1, FLOAT],
    [2, shape],
  ]);
  return message([
    [1, name],
    [2, message([[1, tensorType]])],
  ]);
}
