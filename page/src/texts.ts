/** Every word of the page, in each of its languages. `index.html` gets the English ones when the page
 * is built, by the names in `data-text`, `data-label` and `data-alt`. */

import type { Fault } from "./types";

const count = (number: number, one: string, several: string) =>
  `${number} ${number === 1 ? one : several}`;

const hints = (words: Record<Fault, string>) => words;

const en = {
  needsScripts:
    "This page needs JavaScript, because it finds faces in your browser. Allow it, and reload.",
  question: "How old does a face look?",
  ways: "Drop pictures here, paste one, choose files, or use the camera.",
  touch: "Choose pictures, or use the camera.",
  photo: "As it was chosen",
  video: "What the camera sees",
  stage: "Picture",
  strip: "Pictures",
  panel: "Faces and settings",
  choose: "Choose pictures",
  useCamera: "Use the camera",
  stopCamera: "Stop the camera",
  turn: "Switch camera",
  example: "Try an example",
  asksForKey: "The service asks for a key",
  sendAgain: "Send again",
  takeAway: "Export results",
  copy: "Copy the table",
  copied: "Copied",
  saveCsv: "Save as CSV",
  saveJson: "Save as JSON",
  savePicture: "Save the picture",
  cards: "Faces, largest first",
  chanceOf: "Chance of being at least",
  useService: "Send pictures to the service instead",
  noProof:
    "An estimate of how old a face looks, and no proof of age: do not decide about a person by it.",
  privacy: "Privacy",
  kept: "This browser stores only the page and its models; clear the site data to remove them. Pictures stay on this device and are not stored. If you switch to the service, they are sent there.",
  language: "Language",
  more: "More about it",
  linkPrivacy: "The service's privacy",
  linkModelCard: "Model card",
  linkSource: "Source",
  unitYears: "years",
  worse: "What makes this estimate worse",

  here: "Pictures never leave this device.",
  away: "Pictures are sent to the service.",
  loading: "Loading the model",
  loaded: (part: string, whole: string) => `Loading the model: ${part} of ${whole} MB`,
  preparing: "Preparing the model",
  about: (version: string, model: string, licence: string, computes: string) =>
    `agelens ${version}, model ${model} (${licence}), on this device's ${computes}.`,
  processor: (threads: number) => `processor (WebAssembly, ${count(threads, "thread", "threads")})`,
  graphics: "graphics card (WebGPU)",
  and: "and",
  modelFailed: (why: string) =>
    `The model could not be loaded: ${why}. Reload the page to try again.`,
  pageFailed: (why: string) => `The page could not be loaded fully (${why}); reload it.`,
  cannotRun: "this browser cannot run it",
  gaveStatus: (path: string, status: number) => `${path} gave status ${status}`,
  otherVersion: (path: string) => `${path} is of another version`,

  looking: "Looking for faces …",
  lookingAt: (number: number, of: number) => `Looking for faces … ${number} of ${of}`,
  found: (faces: number) => (faces === 1 ? "One face" : `${faces} faces, largest first`),
  noFace: "No face was found. A closer or brighter picture may help.",
  notInView: "No face in view",
  faces: (faces: number) => count(faces, "face", "faces"),
  pictures: (pictures: number) => count(pictures, "picture", "pictures"),
  notRead: "not read",
  notAPicture: "not a picture that this browser can read; try a JPEG, PNG or WebP",
  tooSmall: (width: number, height: number) =>
    `${width} x ${height} pixels are too few to hold a face`,
  emptyClipboard: "The clipboard holds no picture.",
  notDropped: "What was dropped is no picture file; save it first.",
  enterKey: "The service asks for a key; enter it below.",
  unreachable: "the service cannot be reached",
  answered: (status: number) => `the service answered ${status}`,

  waiting: "Waiting for the camera …",
  taken: "The camera was disconnected. Connect it again, or choose a picture.",
  cameraPicture: "The camera's picture",
  unsafe: "The camera needs a secure page: open this one over https, or on localhost.",
  refused:
    "The camera was refused. Allow it for this page in the browser's settings, or choose a picture.",
  noCamera: "No camera was found. Connect one, or choose a picture.",
  busyCamera: "The camera is busy in another program. Close that one, or choose a picture.",
  noUse: (why: string) => `The camera cannot be used (${why}).`,
  oval: "Move your face into the oval",
  hints: hints({
    small: "Small: move closer",
    blurred: "Blurred: hold still",
    dark: "Dark: more light",
    bright: "Too bright: less light",
    turned: "Turned: face the camera",
    "cut off": "Cut off: move into the picture",
    stretched: "Stretched: the picture is too wide or too narrow",
    drawn: "Drawing: ages are only meaningful for photographs",
    "unlike a face": "Hardly a face: look into the camera",
    unsure: "Unsure: nearly any age is possible",
  }),

  number: (face: number) => `Face ${face}: show it in the picture`,
  over: (percent: number) => `over ${percent}\u00a0%`,
  under: (percent: number) => `under ${percent}\u00a0%`,
  atLeast: (years: string) => ` at least ${years}`,
  interval: (level: number, low: number, high: number) =>
    `${level}\u00a0% interval: ${low} to ${high} years`,
  description: (age: number, low: number, high: number, years: string, chance: string) =>
    `about ${age} years, ${low} to ${high}; at least ${years}: ${chance}`,
};

export type Texts = typeof en;

const de: Texts = {
  needsScripts:
    "Diese Seite braucht JavaScript, weil sie Gesichter in Ihrem Browser findet. Erlauben Sie es und laden Sie neu.",
  question: "Wie alt sieht ein Gesicht aus?",
  ways: "Bilder hierher ziehen, einfügen, Dateien wählen oder die Kamera benutzen.",
  touch: "Bilder wählen oder die Kamera benutzen.",
  photo: "Wie es gewählt wurde",
  video: "Was die Kamera sieht",
  stage: "Bild",
  strip: "Bilder",
  panel: "Gesichter und Einstellungen",
  choose: "Bilder wählen",
  useCamera: "Kamera benutzen",
  stopCamera: "Kamera ausschalten",
  turn: "Kamera wechseln",
  example: "Beispiel ansehen",
  asksForKey: "Der Dienst verlangt einen Schlüssel",
  sendAgain: "Noch einmal senden",
  takeAway: "Ergebnisse mitnehmen",
  copy: "Tabelle kopieren",
  copied: "Kopiert",
  saveCsv: "Als CSV speichern",
  saveJson: "Als JSON speichern",
  savePicture: "Bild speichern",
  cards: "Gesichter, das größte zuerst",
  chanceOf: "Wahrscheinlichkeit für ein Alter von mindestens",
  useService: "Bilder stattdessen an den Dienst senden",
  noProof:
    "Eine Schätzung, wie alt ein Gesicht aussieht, und kein Altersnachweis: Entscheiden Sie damit nicht über einen Menschen.",
  privacy: "Datenschutz",
  kept: "Nur die Seite und die Netze werden in diesem Browser aufbewahrt; wer sie loswerden will, löscht die Websitedaten. Ein Bild bleibt auf diesem Gerät und wird nirgends aufbewahrt, außer Sie schalten auf den Dienst um: Dann wird es dorthin gesendet.",
  language: "Sprache",
  more: "Mehr dazu",
  linkPrivacy: "Datenschutz des Dienstes",
  linkModelCard: "Modellkarte",
  linkSource: "Quelltext",
  unitYears: "Jahre",
  worse: "Was diese Schätzung verschlechtert",

  here: "Bilder verlassen dieses Gerät nie.",
  away: "Bilder werden an den Dienst gesendet.",
  loading: "Das Modell wird geladen",
  loaded: (part, whole) => `Das Modell wird geladen: ${part} von ${whole} MB`,
  preparing: "Das Modell wird vorbereitet",
  about: (version, model, licence, computes) =>
    `agelens ${version}, Modell ${model} (${licence}), gerechnet auf diesem Gerät: ${computes}.`,
  processor: (threads) => `Prozessor (WebAssembly, ${count(threads, "Thread", "Threads")})`,
  graphics: "Grafikkarte (WebGPU)",
  and: "und",
  modelFailed: (why) =>
    `Das Modell konnte nicht geladen werden: ${why}. Laden Sie die Seite neu, um es noch einmal zu versuchen.`,
  pageFailed: (why) => `Die Seite konnte nicht ganz geladen werden (${why}); laden Sie sie neu.`,
  cannotRun: "dieser Browser kann es nicht ausführen",
  gaveStatus: (path, status) => `${path} ergab Status ${status}`,
  otherVersion: (path) => `${path} gehört zu einer anderen Version`,

  looking: "Gesichter werden gesucht …",
  lookingAt: (number, of) => `Gesichter werden gesucht … ${number} von ${of}`,
  found: (faces) => (faces === 1 ? "Ein Gesicht" : `${faces} Gesichter, das größte zuerst`),
  noFace:
    "Es wurde kein Gesicht gefunden. Ein Bild aus größerer Nähe oder mit mehr Licht kann helfen.",
  notInView: "Kein Gesicht zu sehen",
  faces: (faces) => count(faces, "Gesicht", "Gesichter"),
  pictures: (pictures) => count(pictures, "Bild", "Bilder"),
  notRead: "nicht lesbar",
  notAPicture: "kein Bild, das dieser Browser lesen kann; versuchen Sie ein JPEG, PNG oder WebP",
  tooSmall: (width, height) => `${width} x ${height} Pixel sind zu wenig für ein Gesicht`,
  emptyClipboard: "In der Zwischenablage ist kein Bild.",
  notDropped: "Das war keine Bilddatei; speichern Sie das Bild zuerst.",
  enterKey: "Der Dienst verlangt einen Schlüssel; geben Sie ihn unten ein.",
  unreachable: "der Dienst ist nicht erreichbar",
  answered: (status) => `der Dienst antwortete mit ${status}`,

  waiting: "Warten auf die Kamera …",
  taken: "Die Kamera ist weg. Schließen Sie sie wieder an oder wählen Sie ein Bild.",
  cameraPicture: "Das Bild der Kamera",
  unsafe: "Die Kamera braucht eine sichere Seite: Öffnen Sie diese über https oder auf localhost.",
  refused:
    "Die Kamera wurde verweigert. Erlauben Sie sie für diese Seite in den Einstellungen des Browsers oder wählen Sie ein Bild.",
  noCamera: "Es wurde keine Kamera gefunden. Schließen Sie eine an oder wählen Sie ein Bild.",
  busyCamera: "Ein anderes Programm benutzt die Kamera. Schließen Sie es oder wählen Sie ein Bild.",
  noUse: (why) => `Die Kamera kann nicht benutzt werden (${why}).`,
  oval: "Bringen Sie Ihr Gesicht in das Oval",
  hints: hints({
    small: "Klein: näher kommen",
    blurred: "Unscharf: stillhalten",
    dark: "Dunkel: mehr Licht",
    bright: "Zu hell: weniger Licht",
    turned: "Abgewandt: in die Kamera sehen",
    "cut off": "Abgeschnitten: ganz ins Bild kommen",
    stretched: "Verzerrt: das Bild ist zu breit oder zu schmal",
    drawn: "Gezeichnet: Altersangaben gelten nur für Fotos",
    "unlike a face": "Kaum ein Gesicht: in die Kamera sehen",
    unsure: "Unsicher: fast jedes Alter ist möglich",
  }),

  number: (face) => `Gesicht ${face}: im Bild zeigen`,
  over: (percent) => `über ${percent}\u00a0%`,
  under: (percent) => `unter ${percent}\u00a0%`,
  atLeast: (years) => ` mindestens ${years}`,
  interval: (level, low, high) => `${level}-%-Intervall: ${low} bis ${high} Jahre`,
  description: (age, low, high, years, chance) =>
    `etwa ${age} Jahre, ${low} bis ${high}; mindestens ${years}: ${chance}`,
};

export const LANGUAGES = { en: "English", de: "Deutsch" } as const;
export type Language = keyof typeof LANGUAGES;
const TEXTS: Record<Language, Texts> = { en, de };

let chosen: Language = "en";

export const language = (): Language => chosen;
export const texts = (): Texts => TEXTS[chosen];

/** From now on, `texts` are of this language. */
export function speak(wanted: Language): void {
  chosen = wanted;
}

/** The first language of these that the page has; English if it has none. */
export function bestOf(wanted: readonly string[]): Language {
  const known = wanted.map((tag) => tag.toLowerCase().split("-")[0]!);
  return (known.find((tag) => tag in LANGUAGES) as Language | undefined) ?? "en";
}

/** A text that is one sentence, by its name. */
export function textOf(name: string, known: Texts = texts()): string {
  const text = known[name as keyof Texts];
  if (typeof text !== "string") throw new Error(`there is no text ${name}`);
  return text;
}

/** What the attributes of `index.html` that name a text set. */
export const MARKED: Record<string, "textContent" | "ariaLabel" | "alt"> = {
  "data-text": "textContent",
  "data-label": "ariaLabel",
  "data-alt": "alt",
};
