/**
 * A process of its own that answers one question: which adapter does WebGPU find here, or with the word "all", which are
 * there? Exit code 0 and a line of JSON on stdout tell; 3 says that there is none. Loaders and drivers print to stderr while
 * they look around; `launch.ts` throws that away.
 */
import { writeSync } from "node:fs";
import { findAdapter, listAdapters } from "../src/node/gpu.ts";

const answer = process.argv[2] === "all" ? await listAdapters() : await findAdapter();
if (answer === null) process.exit(3);
writeSync(1, `${JSON.stringify(answer)}\n`);
process.exit(0);
