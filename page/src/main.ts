/** The page: what is pressed, dropped and pasted becomes a picture, and a picture becomes ages. */

import exampleUrl from "../../examples/astronaut.jpg?url";
import { Camera } from "./camera";
import { Device } from "./device";
import type { Compute } from "./model";
import { ask, ServiceError } from "./service";
import type { Manifest, Picture } from "./types";
import { describe, get, showFaces } from "./view";

const photo = get<HTMLImageElement>("photo");
const video = get<HTMLVideoElement>("video");
const file = get<HTMLInputElement>("file");
const send = get<HTMLInputElement>("send");
const age = get<HTMLInputElement>("age");
const key = get<HTMLInputElement>("key");
const camera = new Camera(video);

const known = fetchManifest();
let device: Device | undefined;
let shown: File | undefined;
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

const countWords = (count: number) => (count === 1 ? "One face" : `${count} faces, largest first`);

const sentence = (words: string) => `${words[0]!.toUpperCase()}${words.slice(1)}.`;

async function fetchManifest(): Promise<Manifest> {
  try {
    const response = await fetch("models/manifest.json", { cache: "no-cache" });
    if (!response.ok) throw new Error(`status ${response.status}`);
    return (await response.json()) as Manifest;
  } catch (error) {
    throw new Error(`the page could not be loaded fully (${(error as Error).message}); reload it`);
  }
}

/** This device; its models are loaded at the first call, with a bar. */
function load(manifest: Manifest): Device {
  if (device) return device;
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);
  const bar = get<HTMLProgressElement>("progress");
  const label = document.querySelector<HTMLElement>("#loading label")!;
  const compute = new URLSearchParams(location.search).get("compute") ?? "auto";
  get("loading").hidden = false;
  label.textContent = "Loading the model";
  device = new Device(manifest, compute as Compute, (loaded, total) => {
    bar.value = loaded / total;
    label.textContent =
      loaded < total
        ? `Loading the model: ${megabytes(loaded)} of ${megabytes(total)} MB`
        : "Preparing the model";
  });
  device.ready.then(
    (computes) => {
      get("loading").hidden = true;
      const { name, licence } = manifest.age.metadata;
      get("about").textContent =
        `agelens ${manifest.version}, model ${name} (${licence.replace(/\.$/, "")}), on this device's ${computes}.`;
    },
    (error: Error) => {
      get("loading").hidden = true;
      say(`The model could not be loaded: ${error.message}. Reload the page to try again.`, true);
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
  get("fps").hidden = true;
  get("frame").style.setProperty("--ratio", `${ratio}`);
  get("frame").classList.toggle("mirrored", what === "video" && camera.mirrored);
}

function clear(): void {
  showFaces({ width: 1, height: 1, faces: [] }, false, false);
  get("unlock").hidden = true;
}

function fail(error: unknown, name: string): void {
  const locked = error instanceof ServiceError && error.status === 401;
  get("unlock").hidden = !locked;
  const words = locked ? "the service asks for a key; enter it below" : (error as Error).message;
  say(error instanceof ServiceError ? sentence(words) : `${name}: ${words}.`, true);
}

async function showFile(picked: File): Promise<void> {
  stopCamera();
  const mine = ++turn;
  shown = picked;
  clear();
  say("Looking for faces …");
  URL.revokeObjectURL(photo.src);
  photo.src = URL.createObjectURL(picked);
  const seen = photo.decode().then(
    () => mine === turn && stage("photo", photo.naturalWidth / photo.naturalHeight),
    () => mine === turn && stage("empty"),
  );
  try {
    const picture = await estimate(picked);
    await seen;
    if (mine !== turn) return;
    showFaces(picture, false, false);
    const { faces } = picture;
    if (faces.length) say(countWords(faces.length), false, `: ${faces.map(describe).join("; ")}`);
    else say("No face was found. A closer or brighter picture may help.");
  } catch (error) {
    if (mine === turn) fail(error, picked.name);
  }
}

async function startCamera(): Promise<void> {
  const mine = ++turn;
  shown = undefined;
  clear();
  say("Waiting for the camera …");
  try {
    await camera.start(() => {
      stopCamera();
      say("The camera was taken away. Connect it again, or choose a picture.", true);
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
  get("camera").textContent = "Stop the camera";
  get("turn").hidden = !several;
  stage("video", video.videoWidth / video.videoHeight);
  device?.forget().catch(() => {}); // that it could not be loaded is said already
  const times: number[] = [];
  while (camera.on && mine === turn) {
    try {
      const picture = await estimateFrame(await camera.frame());
      if (!camera.on || mine !== turn) return;
      stage("video", video.videoWidth / video.videoHeight); // a phone may have been turned
      showFaces(picture, camera.mirrored, true);
      say(picture.faces.length ? countWords(picture.faces.length) : "No face in view");
      times.push(performance.now());
      if (times.length > 30) times.shift();
      const rate = (1000 * (times.length - 1)) / (times.at(-1)! - times[0]!);
      get("fps").hidden = times.length < 2;
      get("fps").textContent = `${rate < 10 ? rate.toFixed(1) : Math.round(rate)} fps`;
    } catch (error) {
      if (mine !== turn) return;
      stopCamera();
      fail(error, "The camera's picture");
    }
  }
}

function stopCamera(): void {
  turn += 1;
  camera.stop();
  clear();
  stage("empty");
  say("");
  get("camera").textContent = "Use the camera";
  get("turn").hidden = true;
}

/** The first picture of what was dropped or pasted. */
function take(files: FileList | undefined, otherwise: string): void {
  const picked = files?.[0];
  if (picked) void showFile(picked);
  else say(otherwise, true);
}

function sayWhere(): void {
  const away = send.checked;
  get("privacy").classList.toggle("away", away);
  get("privacy").textContent = away
    ? "Pictures are sent to the service."
    : "Pictures never leave this device.";
}

function again(): void {
  if (shown) void showFile(shown);
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
  void showFile(new File([blob], "astronaut.jpg", { type: "image/jpeg" }));
});
document.addEventListener("paste", (event) => {
  if (event.target instanceof HTMLInputElement) return;
  take(event.clipboardData?.files, "The clipboard holds no picture.");
});
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    get("stage").classList.toggle("over", name === "dragover");
  });
}
document.addEventListener("drop", (event) => {
  take(event.dataTransfer?.files, "What was dropped is no picture file; save it first.");
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

sayWhere();
// Where a page may have none, as over plain http, it works all the same.
navigator.serviceWorker?.register("service-worker.js").catch(() => {});
try {
  const manifest = await known;
  get("remote").hidden = manifest.service === null;
  load(manifest);
} catch (error) {
  get("loading").hidden = true;
  say(sentence((error as Error).message), true);
}
