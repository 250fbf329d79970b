/**
 * The service worker: after the first visit the page's own files come from a cache, its model's in 8 bits too. A new
 * version takes over as a whole or not at all. Everything that is not on the list of the build is the network's.
 */
import type { Precache } from "./build/precache.ts";
import { sliceOf } from "./sw-range.ts";

/** Replaced by the build (build/precache.ts). */
const { version, files } = JSON.parse("__PRECACHE__") as Precache;

/** What a page tells the version that waits. */
export type FromPage = "take-over";

/** What is used of `ServiceWorkerGlobalScope`, which TypeScript's DOM library does not know. */
interface ExtendableEvent extends Event {
  waitUntil(promise: Promise<unknown>): void;
}
interface FetchEvent extends ExtendableEvent {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}
interface ExtendableMessageEvent extends ExtendableEvent {
  readonly data: FromPage;
}
interface WindowClient {
  readonly url: string;
}
interface ServiceWorkerScope {
  addEventListener(type: "install" | "activate", listener: (event: ExtendableEvent) => void): void;
  addEventListener(type: "message", listener: (event: ExtendableMessageEvent) => void): void;
  addEventListener(type: "fetch", listener: (event: FetchEvent) => void): void;
  readonly clients: {
    claim(): Promise<void>;
    matchAll(options: {
      readonly type: "window";
      readonly includeUncontrolled: boolean;
    }): Promise<readonly WindowClient[]>;
  };
  readonly registration: { readonly scope: string };
  skipWaiting(): Promise<void>;
}
const scope = globalThis as unknown as ServiceWorkerScope;

/** The page's address. Pages in other folders of the same origin keep caches of their own. */
const page = scope.registration.scope;
const PREFIX = `rcod-demo ${page} `;
const CACHE = PREFIX + version;
/** Before caches were named after their page. */
const FORMER_NAME = /^rcod-demo-[0-9a-f]{12}$/;

const hashes: ReadonlyMap<string, string> = new Map(
  Object.entries(files).map(([path, hash]) => [new URL(path, page).href, hash]),
);

scope.addEventListener("install", (event) => event.waitUntil(install()));
scope.addEventListener("activate", (event) => event.waitUntil(activate()));
scope.addEventListener("message", (event) => {
  if (event.data === "take-over") event.waitUntil(takeOver());
});
scope.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET") return;
  const address = listedAddress(request.url);
  if (address !== null) event.respondWith(answer(request, address));
  else if (isModelFile(request.url)) event.respondWith(absentUnlessOnline(request));
});

/** The listed address that `url` names; null where it names none. */
function listedAddress(url: string): string | null {
  const [address = "", query] = url.replace(/#.*$/, "").split("?", 2);
  // The page is one document, whatever its query.
  if (address === page || address === `${page}index.html`) return page;
  return query === undefined && hashes.has(address) ? address : null;
}

/**
 * Fails where a file cannot be had as the build made it, as from a server that has only half of a new version. Then the
 * version before stays, and the browser installs again at a later visit, which goes on where this one stopped.
 */
async function install(): Promise<void> {
  const cache = await caches.open(CACHE);
  await Promise.all(
    Array.from(hashes, async ([url, hash]) => {
      if (!(await cache.match(url))) await cache.put(url, await checkedFile(url, hash));
    }),
  );
}

/**
 * The browser refuses what has another hash, error pages too. What its HTTP cache has may be of another version: then the
 * server is asked.
 */
async function checkedFile(url: string, integrity: string): Promise<Response> {
  const response = await fetch(url, { integrity }).catch(() =>
    fetch(url, { integrity, cache: "reload" }),
  );
  // A navigation takes no answer that was redirected, as servers do from a folder to its index.html.
  return response.redirected ? new Response(response.body, response) : response;
}

/** Comes when no page of the version before is open, so nobody needs its files. */
async function activate(): Promise<void> {
  const names = await caches.keys();
  const old = names.filter(
    (name) => (name.startsWith(PREFIX) && name !== CACHE) || FORMER_NAME.test(name),
  );
  await Promise.all(old.map((name) => caches.delete(name)));
  await scope.clients.claim();
}

/** Asked by a page of the version before that is about to load itself again. Others still need their files. */
async function takeOver(): Promise<void> {
  const windows = await scope.clients.matchAll({ type: "window", includeUncontrolled: true });
  const own = windows.filter(({ url }) => listedAddress(url) === page);
  if (own.length <= 1) await scope.skipWaiting();
}

async function answer(request: Request, address: string): Promise<Response> {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(address, { ignoreVary: true });
  if (!kept) return fetch(request); // the browser may drop what it keeps
  const range = request.headers.get("range");
  return range === null ? kept : sliceOf(kept, range);
}

/** The page's model is kept whole: what is not kept of it does not exist, and without a network nobody else can say so. */
function isModelFile(url: string): boolean {
  return url.startsWith(new URL("models/rcod-tiny-int8/", page).href);
}

const absentUnlessOnline = (request: Request): Promise<Response> =>
  fetch(request).catch(() => new Response(null, { status: 404 }));
