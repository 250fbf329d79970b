/**
 * A process of its own that answers one question: which adapter does WebGPU find here? Exit code 0 and a line of JSON on
 * stdout say one, 3 says none. Loaders and drivers print to stderr while they look around; `launch.ts` throws that away.
 */
import { writeSync } from "node:fs";
import { findAdapter } from "../src/node/gpu.ts";

const adapter = await findAdapter();
if (adapter === null) process.exit(3);
writeSync(1, `${JSON.stringify(adapter)}\n`);
process.exit(0);
