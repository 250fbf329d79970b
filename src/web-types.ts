/**
 * Names of the web that our declarations use, for compilers that do not know them: TypeScript before 6 has no WebGPU, a
 * project for Node no canvas. Where a name is declared, by a library of the compiler or by `@webgpu/types`, nothing is
 * added to it; elsewhere it stands for something that only this package gives and takes. Every entry exports this file.
 */

declare const name: unique symbol;

/** What a type gets that the compiler knows by a global value: nothing; else a mark, so that no other type fits, and `Members`. */
type Named<Name extends string, Members = {}> = typeof globalThis extends {
  readonly [N in Name]: unknown;
}
  ? {}
  : Members & { readonly [name]: Name };

declare global {
  interface GPU extends Named<"GPU"> {}
  interface GPUAdapterInfo extends Named<"GPUAdapterInfo"> {}
  interface GPUBindGroup extends Named<"GPUBindGroup"> {}
  interface GPUBindGroupLayout extends Named<"GPUBindGroupLayout"> {}
  interface GPUBuffer extends Named<"GPUBuffer"> {}
  interface GPUBufferBinding extends Named<"GPUBuffer"> {}
  interface GPUCommandEncoder extends Named<"GPUCommandEncoder"> {}
  interface GPUComputePassEncoder extends Named<"GPUComputePassEncoder"> {}
  interface GPUComputePassTimestampWrites extends Named<"GPUQuerySet"> {}
  interface GPUComputePipeline extends Named<"GPUComputePipeline"> {}
  interface GPUDevice extends Named<"GPUDevice"> {}
  interface GPUTexture extends Named<"GPUTexture"> {}

  interface FileSystemDirectoryHandle extends Named<"FileSystemDirectoryHandle"> {}
  interface FileSystemFileHandle extends Named<"FileSystemFileHandle"> {}
  interface HTMLCanvasElement extends Named<"HTMLCanvasElement"> {}
  interface ImageBitmap extends Named<"ImageBitmap"> {}
  interface ImageData extends Named<"ImageData"> {}
  interface OffscreenCanvas extends Named<"OffscreenCanvas"> {}

  interface AbortSignal extends Named<"AbortSignal"> {}
  interface Blob extends Named<"Blob"> {}
  interface Event extends Named<"Event"> {}
  interface EventTarget extends Named<"EventTarget"> {}
  interface File extends Named<"File"> {}
  interface Headers extends Named<"Headers"> {}
  interface MessagePort extends Named<"MessagePort"> {}
  interface RequestInit extends Named<"fetch"> {}
  interface Response extends Named<"Response", { readonly headers: Headers }> {}
  interface URL extends Named<"URL"> {}
}
