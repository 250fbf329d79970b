/** The entry that needs the types of Node. */
export * from "rcod-webgpu/node";
