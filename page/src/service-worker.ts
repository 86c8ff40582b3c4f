/** The page without a network: what it is made of is kept; the networks are kept by `model.ts`. */

export {};

declare const self: ServiceWorkerGlobalScope;
/** Names of the page's own files, which the build fills in. Most hold a digest of their content. */
declare const __FILES__: string[];

const CACHE = "agelens-page";
/** Asked of the server first, because their content changes under their name. */
const FRESH = ["./", "models/manifest.json"];
const ALL = [...FRESH, ...__FILES__];

const address = (name: string) => new URL(name, self.registration.scope).href;

async function install(): Promise<void> {
  const cache = await caches.open(CACHE);
  await cache.addAll(ALL.map((name) => new Request(address(name), { cache: "no-cache" })));
  await self.skipWaiting();
}

/** Let go of what earlier versions kept. */
async function activate(): Promise<void> {
  const cache = await caches.open(CACHE);
  const kept = new Set(ALL.map(address));
  for (const request of await cache.keys()) {
    if (!kept.has(request.url)) await cache.delete(request);
  }
  await self.clients.claim();
}

/** From the server, and kept; without a network what was kept last. */
async function fresh(url: string): Promise<Response> {
  const cache = await caches.open(CACHE);
  try {
    const response = await fetch(url, { cache: "no-cache" });
    if (response.ok) await cache.put(url, response.clone());
    return response;
  } catch (error) {
    const kept = await cache.match(url);
    if (kept) return kept;
    throw error;
  }
}

async function kept(request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  return (await cache.match(request)) ?? fetch(request);
}

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(activate()));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  url.search = url.hash = ""; // as `?compute=wasm` of the page
  const { href } = url;
  if (request.method !== "GET") return;
  const name = ALL.find((known) => address(known) === href);
  if (name === undefined) return;
  event.respondWith(FRESH.includes(name) ? fresh(href) : kept(request));
});
