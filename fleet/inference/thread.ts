/** The inference thread: all that may block for seconds happens here, so that the queue's locks are renewed in time. */
import { parentPort, workerData } from "node:worker_threads";
import { defined } from "../../cli/defined.ts";
import { loadModelAt } from "../../cli/engine.ts";
import { adapterName } from "../../cli/format.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { requestNodeGpu } from "../../src/node/gpu.ts";
import type { FromInference, InferenceSetup, ToInference } from "./protocol.ts";
import { serveTasks } from "./serve.ts";

const port = parentPort;
if (port === null) throw new Error("internal: the inference thread was started as a program");

const tell = (message: FromInference): void => {
  port.postMessage(message);
};

const setup = workerData as InferenceSetup;
const onNote = (text: string): void => tell({ kind: "note", text });

/** Says which GPU it is, where a machine has several. */
async function openGpu(toggles: readonly string[]): Promise<Gpu> {
  const gpu = await requestNodeGpu({ toggles, ...defined({ adapter: setup.adapter }) });
  onNote(`computes on ${adapterName(gpu.caps)}`);
  return gpu;
}

const take = serveTasks(setup, { openGpu, loadModel: loadModelAt, onNote }, tell);
port.on("message", (message: ToInference) => take(message));
