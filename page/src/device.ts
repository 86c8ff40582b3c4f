/** This device as what answers: the page's side of the worker. */

import type { Compute, Computes } from "./model";
import { language, texts } from "./texts";
import type { Manifest, Picture } from "./types";
import type { Order, Report } from "./worker";

interface Waiting {
  resolve: (picture: Picture) => void;
  reject: (error: Error) => void;
}

/** WebGPU, and the stack switching that its runtime waits by. */
export async function hasGraphics(skipEmulated: boolean): Promise<boolean> {
  if (!("Suspending" in WebAssembly)) return false;
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  return Boolean(adapter && !(skipEmulated && adapter.info.isFallbackAdapter));
}

/** What the page must know of its models. */
export async function fetchManifest(): Promise<Manifest> {
  try {
    const response = await fetch("models/manifest.json", { cache: "no-cache" });
    if (!response.ok) throw new Error(`status ${response.status}`);
    return (await response.json()) as Manifest;
  } catch (error) {
    throw new Error(texts().pageFailed((error as Error).message));
  }
}

export class Device {
  /** Resolves, with what computes, once the models are loaded. */
  readonly ready: Promise<Computes>;
  private readonly worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  private readonly waiting = new Map<number, Waiting>();
  private count = 0;

  constructor(
    manifest: Manifest,
    compute: Compute,
    progress: (loaded: number, total: number) => void,
  ) {
    this.ready = new Promise((resolve, reject) => {
      this.worker.addEventListener("error", () => reject(new Error(texts().cannotRun)));
      this.worker.addEventListener("message", ({ data }: MessageEvent<Report>) => {
        if (data.kind === "progress") progress(data.loaded, data.total);
        else if (data.kind === "ready") resolve(data.compute);
        else if (data.kind === "answer") this.take(data.id)?.resolve(data.picture);
        else if (data.id === undefined) reject(new Error(data.words));
        else this.take(data.id)?.reject(new Error(data.words));
      });
    });
    const models = new URL("models/", document.baseURI).href;
    this.speak();
    this.send({ kind: "load", manifest, models, compute });
  }

  /** The faces of an image file. */
  async picture(blob: Blob, age: number): Promise<Picture> {
    await this.ready;
    return this.ask((id) => this.send({ kind: "picture", id, blob, age }));
  }

  /** The faces of the camera's next frame; ages settle from frame to frame. */
  async frame(bitmap: ImageBitmap, age: number): Promise<Picture> {
    await this.ready;
    const time = performance.now() / 1000;
    return this.ask((id) => this.send({ kind: "frame", id, bitmap, time, age }, [bitmap]));
  }

  /** Tell the worker which language is spoken now. */
  speak(): void {
    this.send({ kind: "speak", language: language() });
  }

  /** Another camera: nobody is known. */
  async forget(): Promise<void> {
    await this.ready;
    this.send({ kind: "forget" });
  }

  /** Let go of it all; what is still asked gets no answer. */
  close(): void {
    this.worker.terminate();
  }

  private ask(send: (id: number) => void): Promise<Picture> {
    return new Promise((resolve, reject) => {
      const id = this.count++;
      this.waiting.set(id, { resolve, reject });
      send(id);
    });
  }

  private take(id: number): Waiting | undefined {
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    return waiting;
  }

  private send(order: Order, transfer: Transferable[] = []): void {
    this.worker.postMessage(order, transfer);
  }
}
