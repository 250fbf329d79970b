/** Node on the machine's own C library, as users start it, also where the tests run on a fetched Mesa. */
export const PLAIN_NODE = process.env["RCOD_NODE_BINARY"] ?? process.execPath;
