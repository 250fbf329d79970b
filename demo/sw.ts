/** The service worker: after the first visit everything comes from the cache, the embedded model too. */
import { sliceOf } from "./sw-range.ts";

/** Replaced by the build (build/precache.ts). */
const { version, files } = JSON.parse("__PRECACHE__") as {
  readonly version: string;
  readonly files: readonly string[];
};

const PREFIX = "rcod-demo-";
const CACHE = `${PREFIX}${version}`;

/** What is used of `ServiceWorkerGlobalScope`, which TypeScript's DOM library does not know. */
interface ExtendableEvent extends Event {
  waitUntil(promise: Promise<unknown>): void;
}
interface FetchEvent extends ExtendableEvent {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}
interface ServiceWorkerScope {
  addEventListener(type: "install" | "activate", listener: (event: ExtendableEvent) => void): void;
  addEventListener(type: "fetch", listener: (event: FetchEvent) => void): void;
  readonly clients: { claim(): Promise<void> };
  readonly registration: { readonly scope: string };
}
const scope = globalThis as unknown as ServiceWorkerScope;

scope.addEventListener("install", (event) => event.waitUntil(install()));
scope.addEventListener("activate", (event) => event.waitUntil(activate()));
scope.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method === "GET" && request.url.startsWith(scope.registration.scope)) {
    event.respondWith(answer(request));
  }
});

/** A new version waits until no page of the old one is open, whose later files it would not have. */
async function install(): Promise<void> {
  const cache = await caches.open(CACHE);
  await cache.addAll(files.map((path) => new URL(path, scope.registration.scope).href));
}

async function activate(): Promise<void> {
  const names = await caches.keys();
  const old = names.filter((name) => name.startsWith(PREFIX) && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
  await scope.clients.claim();
}

/** Models are kept whole: what is not kept of them does not exist, and without a network nobody else can say so. */
const isModelFile = ({ url }: Request): boolean =>
  url.startsWith(new URL("models/", scope.registration.scope).href);

const absentUnlessOnline = (request: Request): Promise<Response> =>
  fetch(request).catch(() => new Response(null, { status: 404 }));

async function answer(request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  // The page has one document, whatever its query.
  const key = request.mode === "navigate" ? scope.registration.scope : request;
  const kept = await cache.match(key, { ignoreSearch: true, ignoreVary: true });
  if (!kept) return isModelFile(request) ? absentUnlessOnline(request) : fetch(request);
  const range = request.headers.get("range");
  return range === null ? kept : sliceOf(kept, range);
}
