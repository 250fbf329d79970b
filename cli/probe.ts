/**
 * A process of its own that answers one question: does WebGPU find an adapter here? Exit code 0 says yes.
 * Loaders and drivers print to stderr while they look around; `launch.ts` throws that output away.
 */
import { hasAdapter } from "../src/node/gpu.ts";

process.exit((await hasAdapter()) ? 0 : 3);
