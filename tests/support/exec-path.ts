/** Workers on a fetched Mesa start Node on its C library again, as the command line does. */
import { correctExecPath } from "../../src/node/software-adapter.ts";

correctExecPath();
