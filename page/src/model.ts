/** ONNX Runtime and the model files: fetched once, kept in the browser's cache, opened. */

import gpuModule from "onnxruntime-web/ort-wasm-simd-threaded.jspi.mjs?url";
import gpuBinary from "onnxruntime-web/ort-wasm-simd-threaded.jspi.wasm?url";
import cpuModule from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import cpuBinary from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";
import type * as Ort from "onnxruntime-web/wasm";
import type { Network } from "./detect";
import type { AgeNetwork } from "./estimator";
import { texts } from "./texts";
import type { Manifest, Size } from "./types";

declare const __WASM_BYTES__: number;
declare const __GPU_BYTES__: number;

/** "auto" takes the graphics card for a network where it is the faster and agrees. */
export type Compute = "auto" | "wasm" | "webgpu";

/** What computes. */
export interface Computes {
  providers: ("wasm" | "webgpu")[];
  threads: number;
}

export interface Networks {
  detect: Network;
  predict: AgeNetwork;
  compute: Computes;
}

type Report = (loaded: number, total: number) => void;
type Feeds = Record<string, Ort.Tensor>;

const MAX_THREADS = 4;
const BATCH = 32;
/** How far the graphics card may be from the processor, of the value or of 1. */
const TOLERANCE = 0.02;

/** Load both networks. `models` is the address of their folder. */
export async function loadNetworks(
  manifest: Manifest,
  models: string,
  compute: Compute,
  report: Report,
): Promise<Networks> {
  const gpu = compute !== "wasm";
  const runtime = gpu ? gpuBinary : cpuBinary;
  const files = [
    { url: runtime, bytes: gpu ? __GPU_BYTES__ : __WASM_BYTES__ },
    ...[manifest.detector, manifest.age].map(({ file, bytes, sha256 }) => ({
      url: `${models}${file}?${sha256}`,
      bytes,
    })),
  ];
  const loaded = files.map(() => 0);
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const load = files.map(({ url }, index) =>
    fetchCached(url, (bytes) => {
      loaded[index] = bytes;
      report(
        loaded.reduce((sum, part) => sum + part, 0),
        total,
      );
    }),
  );
  const [wasm, detector, age] = (await Promise.all(load)) as [Uint8Array, Uint8Array, Uint8Array];
  void forgetOthers([cpuBinary, gpuBinary, ...files.map(({ url }) => url)]);

  const ort: typeof Ort = gpu
    ? await import("onnxruntime-web/jspi")
    : await import("onnxruntime-web/wasm");
  const threads = crossOriginIsolated ? Math.min(MAX_THREADS, navigator.hardwareConcurrency) : 1;
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = { mjs: new URL(gpu ? gpuModule : cpuModule, import.meta.url).href };
  ort.env.wasm.wasmBinary = wasm;

  const { size, ages } = manifest.age.metadata;
  const view = (data: Uint8Array, [width, height]: Size): Feeds => ({
    images: new ort.Tensor("uint8", data, [1, height, width, 3]),
  });
  const crops = (data: Uint8Array, count: number): Feeds => ({
    crops: new ort.Tensor("uint8", data, [count, size, size, 3]),
  });
  const { coarse_view: side } = manifest.constants.views;
  const finder = await open(ort, detector, view(probe(side), [side, side]), compute);
  const reader = await open(ort, age, crops(probe(size), 1), compute);
  const used = new Set([finder.provider, reader.provider]);
  return {
    compute: { providers: [...used], threads },
    detect: async (data, shape) => {
      const { boxes, scores } = await finder.session.run(view(data, shape));
      return { boxes: boxes!.data as Float32Array, logits: scores!.data as Float32Array };
    },
    predict: async (data, count) => {
      const rows: number[][] = [];
      for (let start = 0; start < count; start += BATCH) {
        const stop = Math.min(count, start + BATCH);
        const part = data.subarray(start * size * size * 3, stop * size * size * 3);
        const { distribution } = await reader.session.run(crops(part, stop - start));
        const values = Array.from(distribution!.data as Float32Array);
        for (let k = 0; k < values.length; k += ages.length) {
          rows.push(values.slice(k, k + ages.length));
        }
      }
      return rows;
    },
  };
}

/** A picture of light and dark to try a network with. */
function probe(size: number): Uint8Array {
  return Uint8Array.from({ length: size * size * 3 }, (_, i) => 128 + 100 * Math.sin(i / 37));
}

/** Open a network where it runs fastest, of what `compute` lets. */
async function open(ort: typeof Ort, bytes: Uint8Array, feeds: Feeds, compute: Compute) {
  const create = async (provider: "wasm" | "webgpu") => ({
    provider,
    session: await ort.InferenceSession.create(bytes, {
      executionProviders: [provider],
      logSeverityLevel: 3,
    }),
  });
  const processor = await create("wasm");
  const expected = await processor.session.run(feeds); // the first call is slow, and is over here
  if (compute === "wasm") return processor;
  try {
    const card = await create("webgpu");
    const answer = await card.session.run(feeds);
    const agrees = Object.entries(expected).every(([name, { data }]) => {
      const other = answer[name]!.data as Float32Array;
      return (data as Float32Array).every(
        (value, k) => Math.abs(value - other[k]!) <= TOLERANCE * Math.max(1, Math.abs(value)),
      );
    });
    const faster = async () => (await time(card, feeds)) < (await time(processor, feeds));
    if (agrees && (compute === "webgpu" || (await faster()))) return card;
    await card.session.release();
  } catch (error) {
    console.warn("agelens: no WebGPU for this network", error);
  }
  return processor;
}

/** Milliseconds of the quickest of three calls. */
async function time({ session }: { session: Ort.InferenceSession }, feeds: Feeds): Promise<number> {
  let best = Infinity;
  for (let k = 0; k < 3; k++) {
    const start = performance.now();
    await session.run(feeds);
    best = Math.min(best, performance.now() - start);
  }
  return best;
}

/** The browser's cache; none on pages that are neither https nor local. */
async function openCache(): Promise<Cache | null> {
  try {
    return await caches.open("agelens");
  } catch {
    return null;
  }
}

/** A file whose address changes with its content: from the cache, else from the network, from where
 * it comes compressed. What follows `?` in the address is the SHA-256 of the content; what has another
 * is not kept. */
async function fetchCached(url: string, report: (bytes: number) => void): Promise<Uint8Array> {
  const cache = await openCache();
  const known = await cache?.match(url);
  if (known) {
    report(Number(known.headers.get("X-Bytes")));
    return new Uint8Array(await known.arrayBuffer());
  }
  const { pathname, search } = new URL(url, location.href);
  const response = await fetch(url, { cache: cache ? "no-store" : "default" });
  if (!response.ok || !response.body) {
    throw new Error(texts().gaveStatus(pathname, response.status));
  }
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    bytes += value.length;
    report(bytes);
  }
  const content = await unpack(new Blob(parts));
  if (search && crypto.subtle && search.slice(1) !== (await digest(content))) {
    throw new Error(texts().otherVersion(pathname)); // as while a server is updated
  }
  const headers = { "X-Bytes": `${bytes}` };
  await cache?.put(url, new Response(content, { headers })).catch(() => {}); // a full disk is no fault
  return new Uint8Array(content);
}

/** What gzip has packed, unpacked; a server may have had the browser do it already. */
async function unpack(blob: Blob): Promise<ArrayBuffer> {
  const [first, second] = new Uint8Array(await blob.slice(0, 2).arrayBuffer());
  if (first !== 0x1f || second !== 0x8b) return blob.arrayBuffer();
  return new Response(blob.stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

/** SHA-256 in hexadecimal. */
async function digest(content: ArrayBuffer): Promise<string> {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Files of earlier versions need not stay. */
async function forgetOthers(urls: string[]): Promise<void> {
  const cache = await openCache();
  const kept = new Set(urls.map((url) => new URL(url, location.href).href));
  for (const request of (await cache?.keys()) ?? []) {
    if (!kept.has(request.url)) await cache?.delete(request);
  }
}
