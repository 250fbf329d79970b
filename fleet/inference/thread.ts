/** The inference thread: all that may block for seconds happens here, so that the queue's locks are renewed in time. */
import { parentPort, workerData } from "node:worker_threads";
import { loadModelAt } from "../../cli/engine.ts";
import { requestNodeGpu } from "../../src/node/gpu.ts";
import type { FromInference, InferenceSetup, ToInference } from "./protocol.ts";
import { serveTasks } from "./serve.ts";

const port = parentPort;
if (port === null) throw new Error("internal: the inference thread was started as a program");

const tell = (message: FromInference): void => {
  port.postMessage(message);
};

const take = serveTasks(
  workerData as InferenceSetup,
  {
    openGpu: (toggles) => requestNodeGpu({ toggles }),
    loadModel: loadModelAt,
    onNote: (text) => tell({ kind: "note", text }),
  },
  tell,
);
port.on("message", (message: ToInference) => take(message));
