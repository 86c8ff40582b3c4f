/** The page: what is pressed, dropped and pasted becomes a picture, and a picture becomes ages. */

import exampleUrl from "../../examples/astronaut.jpg?url";
import { Camera } from "./camera";
import { Device, fetchManifest, hasGraphics } from "./device";
import { Gallery } from "./gallery";
import { adviceFor, lightOf } from "./guide";
import { offerLanguages } from "./language";
import type { Compute, Computes } from "./model";
import type { Result } from "./results";
import { ask, ServiceError } from "./service";
import { language, texts } from "./texts";
import type { Manifest, Picture } from "./types";
import { describe, get, guide, showFaces } from "./view";

const photo = get<HTMLImageElement>("photo");
const video = get<HTMLVideoElement>("video");
const still = get<HTMLCanvasElement>("still");
const file = get<HTMLInputElement>("file");
const send = get<HTMLInputElement>("send");
const age = get<HTMLInputElement>("age");
const key = get<HTMLInputElement>("key");
const camera = new Camera(video);

const known = fetchManifest();
let device: Device | undefined;
const gallery = new Gallery((result) => void show(result));
/** The age that faces are at least, by its field when that was last whole. */
let years = age.valueAsNumber || 18;
/** Raised by every new picture, so that a late answer to an old one is not shown. */
let turn = 0;

/** Say something to all, and `more` to screen readers; what is said already is not said again. */
function say(words: string, bad = false, more = ""): void {
  const status = get("status");
  status.classList.toggle("bad", bad);
  if (status.textContent === words + more) return;
  const unseen = document.createElement("span");
  unseen.className = "unseen";
  unseen.textContent = more;
  status.replaceChildren(words, unseen);
}

const NOBODY: Picture = { width: 1, height: 1, faces: [] };
/** What this device computes with, again in words; nothing until that is known. */
let sayAbout = () => {};

function sayWhatComputes(manifest: Manifest, computes: Computes): void {
  sayAbout = () => {
    const { name, licence } = manifest.age.metadata;
    const [short, words] = [licence.replace(/\.$/, ""), wordsOfComputes(computes)];
    get("about").textContent = texts().about(manifest.version, name, short, words);
  };
  sayAbout();
}

/** Once the graphics card is ready, makes it the device. */
let takeGraphics = () => {};
let graphicsAsked = false;

/** Fetch what computes on the graphics card, which only the camera needs: one picture is quick on the
 * processor, too. */
async function prepareGraphics(manifest: Manifest): Promise<void> {
  const compute = (new URLSearchParams(location.search).get("compute") ?? "auto") as Compute;
  if (graphicsAsked || compute === "wasm") return;
  graphicsAsked = true;
  if (!(await hasGraphics(compute === "auto"))) return;
  const card = new Device(manifest, compute, () => {});
  const computes = await card.ready.catch(() => null);
  if (!computes?.providers.includes("webgpu")) return card.close();
  takeGraphics = () => {
    device?.close();
    device = card;
    device.speak();
    sayWhatComputes(manifest, computes);
    takeGraphics = () => {};
  };
}

function wordsOfComputes({ providers, threads }: Computes): string {
  const words = { webgpu: texts().graphics, wasm: texts().processor(threads) };
  return providers.map((provider) => words[provider]).join(` ${texts().and} `);
}

function nameCamera(): void {
  get("camera").textContent = camera.on ? texts().stopCamera : texts().useCamera;
}

const sentence = (words: string) => `${words[0]!.toUpperCase()}${words.slice(1)}.`;

/** This device; its models are loaded at the first call, with a bar. */
function load(manifest: Manifest): Device {
  if (device) return device;
  const one = { minimumFractionDigits: 1, maximumFractionDigits: 1 };
  const megabytes = (bytes: number) => (bytes / 1e6).toLocaleString(language(), one);
  const bar = get<HTMLProgressElement>("progress");
  const label = document.querySelector<HTMLElement>("#loading label")!;
  get("loading").hidden = false;
  label.textContent = texts().loading;
  device = new Device(manifest, "wasm", (loaded, total) => {
    bar.value = loaded / total;
    label.textContent =
      loaded < total ? texts().loaded(megabytes(loaded), megabytes(total)) : texts().preparing;
  });
  device.ready.then(
    (computes) => {
      get("loading").hidden = true;
      sayWhatComputes(manifest, computes);
    },
    (error: Error) => {
      get("loading").hidden = true;
      say(texts().modelFailed(error.message), true);
    },
  );
  return device;
}

/** Ages of one picture, by the service or on this device. */
async function estimate(blob: Blob): Promise<Picture> {
  const manifest = await known;
  if (!send.checked) return load(manifest).picture(blob, years);
  return ask(manifest.service!, blob, years, manifest.coverage, key.value);
}

async function estimateFrame(bitmap: ImageBitmap): Promise<Picture> {
  if (!send.checked) return load(await known).frame(bitmap, years);
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  canvas.getContext("2d")!.drawImage(bitmap, 0, 0);
  bitmap.close();
  return estimate(await canvas.convertToBlob({ type: "image/jpeg", quality: 0.92 }));
}

/** Put a picture, the camera or nothing on the stage. */
function stage(what: "photo" | "video" | "empty", ratio = 1): void {
  get("empty").hidden = what !== "empty";
  get("frame").hidden = what === "empty";
  photo.hidden = what !== "photo";
  video.hidden = what !== "video";
  for (const part of ["fps", "still", "guide"]) get(part).hidden = true;
  get("frame").style.setProperty("--ratio", `${ratio}`);
  get("frame").classList.toggle("mirrored", what === "video" && camera.mirrored);
}

function clear(): void {
  showFaces(NOBODY, false, false);
  get("unlock").hidden = true;
}

const isLocked = (error: unknown) => error instanceof ServiceError && error.status === 401;

function wordsOf(error: unknown, name: string): string {
  if (isLocked(error)) return texts().enterKey;
  const { message } = error as Error;
  return error instanceof ServiceError ? sentence(message) : `${name}: ${message}.`;
}

/** Show a picture, and its faces if they are known. */
async function show(result: Result): Promise<void> {
  if (photo.src !== result.url) {
    photo.src = result.url;
    clear();
  }
  const { picture } = result;
  const readable = await photo.decode().then(
    () => true,
    () => false,
  );
  if (result !== gallery.current) return;
  stage(readable ? "photo" : "empty", photo.naturalWidth / photo.naturalHeight);
  showFaces(picture ?? NOBODY, false, false);
  if (gallery.results.some((other) => !other.picture && other.error === undefined)) return;
  const summary = gallery.results.length > 1 ? `${gallery.summary()}. ` : "";
  if (!picture) return say(`${summary}${result.error}`, true);
  const prefix = summary && `${summary}${result.file.name}: `;
  const words = picture.faces.length ? texts().found(picture.faces.length) : texts().noFace;
  const details = picture.faces.map(describe).join("; ");
  say(`${prefix}${words}`, false, details && `: ${details}`);
}

async function showFiles(files: readonly File[]): Promise<void> {
  stopCamera();
  const mine = ++turn;
  clear();
  say(texts().looking);
  gallery.start(files);
  for (const [index, result] of gallery.results.entries()) {
    if (index) say(texts().lookingAt(index + 1, files.length));
    try {
      const picture = await estimate(result.file);
      if (mine === turn) gallery.settle(result, { picture });
    } catch (error) {
      if (mine !== turn) return;
      get("unlock").hidden = !isLocked(error);
      gallery.settle(result, { error: wordsOf(error, result.file.name) });
    }
    if (mine !== turn) return;
  }
  if (gallery.current) await show(gallery.current);
}

async function startCamera(): Promise<void> {
  const mine = ++turn;
  gallery.start([]);
  clear();
  say(texts().waiting);
  try {
    await camera.start(() => {
      stopCamera();
      say(texts().taken, true);
    });
  } catch (error) {
    if (mine !== turn) return;
    stopCamera();
    say((error as Error).message, true);
    return;
  }
  if (mine !== turn) return; // whoever raised it has stopped this camera
  const several = await camera.several();
  if (mine !== turn) return;
  nameCamera();
  get("turn").hidden = !several;
  stage("video", video.videoWidth / video.videoHeight);
  if (!send.checked) known.then(prepareGraphics).catch(() => {});
  device?.forget().catch(() => {}); // that it could not be loaded is said already
  const times: number[] = [];
  while (camera.on && mine === turn) {
    try {
      takeGraphics(); // between two frames
      const frame = await camera.frame();
      const shown = await createImageBitmap(frame);
      const light = lightOf(shown);
      const picture = await estimateFrame(frame);
      if (!camera.on || mine !== turn) return;
      stage("video", video.videoWidth / video.videoHeight); // a phone may have been turned
      // The frame whose faces are known is shown, and not the newer one that the camera has by now.
      still.hidden = false;
      [still.width, still.height] = [shown.width, shown.height];
      still.getContext("bitmaprenderer")!.transferFromImageBitmap(shown);
      showFaces(picture, camera.mirrored, true);
      guide(adviceFor(picture.faces[0], light, Math.max(picture.width, picture.height)));
      say(picture.faces.length ? texts().found(picture.faces.length) : texts().notInView);
      times.push(performance.now());
      if (times.length > 30) times.shift();
      const rate = (1000 * (times.length - 1)) / (times.at(-1)! - times[0]!);
      get("fps").hidden = times.length < 2;
      get("fps").textContent = `${rate < 10 ? rate.toFixed(1) : Math.round(rate)} fps`;
    } catch (error) {
      if (mine !== turn) return;
      stopCamera();
      get("unlock").hidden = !isLocked(error);
      say(wordsOf(error, texts().cameraPicture), true);
    }
  }
}

function stopCamera(): void {
  turn += 1;
  camera.stop();
  clear();
  stage("empty");
  say("");
  nameCamera();
  get("turn").hidden = true;
}

/** The pictures of what was dropped or pasted. */
function take(files: FileList | undefined, otherwise: string): void {
  if (files?.length) void showFiles([...files]);
  else say(otherwise, true);
}

function sayWhere(): void {
  const away = send.checked;
  get("privacy").classList.toggle("away", away);
  get("privacy").textContent = away ? texts().away : texts().here;
}

function again(): void {
  if (gallery.results.length) void showFiles(gallery.results.map(({ file }) => file));
}

get("choose").addEventListener("click", () => file.click());
file.addEventListener("change", () => {
  if (file.files?.length) take(file.files, "");
  file.value = ""; // so that the same file can be chosen again
});
get("camera").addEventListener("click", () => (camera.on ? stopCamera() : void startCamera()));
get("turn").addEventListener("click", () => {
  camera.turn();
  void startCamera();
});
get("example").addEventListener("click", async () => {
  const blob = await (await fetch(exampleUrl)).blob();
  void showFiles([new File([blob], "astronaut.jpg", { type: "image/jpeg" })]);
});
document.addEventListener("paste", (event) => {
  if (event.target instanceof HTMLInputElement) return;
  take(event.clipboardData?.files, texts().emptyClipboard);
});
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    get("stage").classList.toggle("over", name === "dragover");
  });
}
document.addEventListener("drop", (event) => {
  take(event.dataTransfer?.files, texts().notDropped);
});
send.addEventListener("change", () => {
  sayWhere();
  again();
});
age.addEventListener("change", () => {
  if (!age.validity.valid || !age.value) age.value = "18";
  years = age.valueAsNumber;
  again();
});
get("unlock").addEventListener("submit", (event) => {
  event.preventDefault();
  again();
});

offerLanguages(get<HTMLSelectElement>("language"), () => {
  device?.speak();
  sayWhere();
  sayAbout();
  nameCamera();
  say("");
  gallery.translate();
  if (gallery.current?.picture) void show(gallery.current);
});
sayWhere();
// Where a page may have none, as over plain http, it works all the same.
navigator.serviceWorker?.register("service-worker.js").catch(() => {});
try {
  const manifest = await known;
  get("remote").hidden = manifest.service === null;
  get("links").hidden = !Object.keys(manifest.links).length;
  for (const link of get("links").querySelectorAll("a")) {
    link.href = manifest.links[link.dataset.link!] ?? "";
  }
  load(manifest);
} catch (error) {
  get("loading").hidden = true;
  say(sentence((error as Error).message), true);
}
