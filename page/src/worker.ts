/** The worker in which everything is computed, so that the page never waits. */

import { AgeEstimator } from "./estimator";
import { type Compute, type Computes, loadNetworks } from "./model";
import { type Language, speak, texts } from "./texts";
import { FaceTracker } from "./track";
import type { Constants, Manifest, Picture, Pixels } from "./types";

export type Order =
  | { kind: "load"; manifest: Manifest; models: string; compute: Compute }
  | { kind: "picture"; id: number; blob: Blob; age: number }
  | { kind: "frame"; id: number; bitmap: ImageBitmap; time: number; age: number }
  | { kind: "forget" }
  | { kind: "speak"; language: Language };

export type Report =
  | { kind: "progress"; loaded: number; total: number }
  | { kind: "ready"; compute: Computes }
  | { kind: "answer"; id: number; picture: Picture }
  | { kind: "problem"; id?: number; words: string };

/** Larger pictures are reduced first: phones cannot hold them twice. */
const MAX_PIXELS = 24_000_000;

let estimator: AgeEstimator;
let constants: Constants;
let tracker: FaceTracker;
let canvas: OffscreenCanvas | undefined;

const tell = (report: Report) => postMessage(report);

async function obey(order: Order): Promise<void> {
  if (order.kind === "load") {
    const { detect, predict, compute } = await loadNetworks(
      order.manifest,
      order.models,
      order.compute,
      (loaded, total) => tell({ kind: "progress", loaded, total }),
    );
    estimator = new AgeEstimator(order.manifest, detect, predict);
    constants = order.manifest.constants;
    tracker = new FaceTracker(estimator, constants.memory);
    tell({ kind: "ready", compute });
  } else if (order.kind === "speak") {
    speak(order.language);
  } else if (order.kind === "forget") {
    tracker = new FaceTracker(estimator, constants.memory);
  } else {
    const live = order.kind === "frame";
    const image = toPixels(live ? order.bitmap : await decode(order.blob));
    const faces = live
      ? await tracker.update(image, order.time, order.age)
      : await estimator.estimate(image, order.age);
    const { width, height } = image;
    tell({ kind: "answer", id: order.id, picture: { width, height, faces } });
  }
}

/** Upright, and with the file's own numbers: Python reads no colour profile either. */
async function decode(blob: Blob): Promise<ImageBitmap> {
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  } catch {
    throw new Error(texts().notAPicture);
  }
  const { width, height } = bitmap;
  if (Math.min(width, height) < constants.images.min_side) {
    throw new Error(texts().tooSmall(width, height));
  }
  if (width * height <= MAX_PIXELS) return bitmap;
  const resizeWidth = Math.round(width * Math.sqrt(MAX_PIXELS / (width * height)));
  return createImageBitmap(bitmap, { resizeWidth, resizeQuality: "high" });
}

/** The bitmap's pixels, transparency laid on white. */
function toPixels(bitmap: ImageBitmap): Pixels {
  const { width, height } = bitmap;
  canvas ??= new OffscreenCanvas(width, height);
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { data: context.getImageData(0, 0, width, height).data, width, height, step: 4 };
}

let last: Promise<void> = Promise.resolve();
addEventListener("message", ({ data }: MessageEvent<Order>) => {
  last = last
    .then(() => obey(data))
    .catch((error: Error) => {
      tell({ kind: "problem", id: "id" in data ? data.id : undefined, words: error.message });
    });
});
