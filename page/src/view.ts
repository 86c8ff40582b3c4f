/** What is shown of the faces: boxes on the picture, and a card for each. */

import { labelOf, placeLabels } from "./labels";
import { texts } from "./texts";
import type { Face, Fault, Picture, Size } from "./types";

/** Ages that the bars and curves span: 0 to 116, each year its own width. */
const YEARS = 117;

export const get = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;

const percent = (fraction: number) => `${100 * fraction}%`;

/** A probability in words that do not claim more than it can know. */
function chanceWords(chance: number): string {
  if (chance > 0.99) return texts().over(99);
  return chance < 0.01 ? texts().under(1) : `${Math.round(100 * chance)}\u00a0%`;
}

/** Show the faces; `mirrored` as the video is, `live` without a jump. */
export function showFaces(
  { width, height, faces }: Picture,
  mirrored: boolean,
  live: boolean,
): void {
  const boxes = get("boxes");
  boxes.classList.toggle("live", live);
  resize(boxes, faces.length, () => document.createElement("div"));
  resize(get("labels"), faces.length, () => document.createElement("span"));
  resize(get("faces"), faces.length, () => {
    const card = get<HTMLTemplateElement>("card").content.firstElementChild!.cloneNode(true);
    return card as HTMLElement;
  });
  faces.forEach((face, index) => {
    const box = boxes.children[index] as HTMLElement;
    const { x1, y1, x2, y2 } = face.box;
    box.style.left = percent((mirrored ? width - x2 : x1) / width);
    box.style.top = percent(y1 / height);
    box.style.width = percent((x2 - x1) / width);
    box.style.height = percent((y2 - y1) / height);
    showCard(get("faces").children[index] as HTMLElement, face, index);
  });
  arrange({ width, height, faces }, mirrored);
}

/** Put the labels where they cover no face; without intervals where there is no room for those. */
function arrange({ width, height, faces }: Picture, mirrored: boolean): void {
  const place = (intervals: boolean): boolean => {
    const frame = sizeOf(get("frame"));
    const [x, y] = [frame[0] / width, frame[1] / height];
    const labels = [...get("labels").children] as HTMLElement[];
    const rectangles = faces.map(({ box: { x1, y1, x2, y2 } }, index) => {
      labels[index]!.textContent = labelOf(faces[index]!, index, intervals);
      const left = mirrored ? width - x2 : x1;
      return { x: left * x, y: y1 * y, width: (x2 - x1) * x, height: (y2 - y1) * y };
    });
    const places = placeLabels(rectangles, labels.map(sizeOf), frame);
    places.forEach((corner, index) => {
      const { style } = labels[index]!;
      style.visibility = corner ? "visible" : "hidden";
      if (corner) style.translate = `${corner[0]}px ${corner[1]}px`;
    });
    return !places.includes(null);
  };
  resized = () => place(true) || place(false);
  resized();
}

function sizeOf(element: Element): Size {
  const { width, height } = element.getBoundingClientRect();
  return [width, height];
}

let resized = () => true;
new ResizeObserver(() => resized()).observe(get("frame"));

/** One face, in words. */
export function describe({ age, interval, at_least }: Face): string {
  const [years, chance] = Object.entries(at_least)[0]!;
  const [low, high] = [Math.round(interval.low), Math.round(interval.high)];
  return texts().description(Math.round(age), low, high, years, chanceWords(chance));
}

function showCard(card: HTMLElement, face: Face, index: number): void {
  const { age, interval, at_least, quality, distribution, ages } = face;
  card.dataset.face = JSON.stringify(face); // whole, for whoever inspects the page
  const find = (selector: string) => card.querySelector<HTMLElement>(selector)!;
  find(".number").textContent = `${index + 1}`;
  find(".number").setAttribute("aria-label", texts().number(index + 1));
  const data = find("data") as HTMLDataElement;
  data.value = `${age}`;
  data.textContent = `${Math.round(age)}`;
  const [years, chance] = Object.entries(at_least)[0]!;
  find(".chance b").textContent = chanceWords(chance);
  find(".chance span").textContent = texts().atLeast(years);
  const { low, high, coverage } = interval;
  find(".bar i").style.left = percent(low / YEARS);
  find(".bar i").style.width = percent((high + 1 - low) / YEARS); // both ends are included
  find(".bar b").style.left = percent((age + 0.5) / YEARS);
  const level = Math.round(100 * coverage);
  find(".interval").textContent = texts().interval(level, Math.round(low), Math.round(high));
  card.querySelector("svg")!.style.display = distribution ? "" : "none";
  card.querySelector("path")!.setAttribute("d", curve(distribution ?? [], ages ?? []));
  const hints = find(".hints");
  resize(hints, quality.reasons.length, () => document.createElement("li"));
  quality.reasons.forEach((fault, k) => {
    hints.children[k]!.textContent = texts().hints[fault];
  });
  hints.hidden = !quality.reasons.length;
}

/** The distribution as an area, its top at the likeliest age. */
function curve(distribution: number[], ages: number[]): string {
  const most = Math.max(...distribution);
  const points = distribution.map(
    (p, k) => `L${ages[k]! + 0.5} ${(26 - (25 * p) / most).toFixed(2)}`,
  );
  return points.length ? `M0 26${points.join("")}L${YEARS} 26Z` : "";
}

/** The face whose box, label or card has the pointer or the focus stands out in all three. */
function choose(chosen: number): void {
  for (const part of ["boxes", "labels", "faces"]) {
    [...get(part).children].forEach((element, index) => {
      element.classList.toggle("chosen", index === chosen);
    });
  }
}

/** Which child of `parent` something is in; -1 for none. */
function indexOf(parent: HTMLElement, target: EventTarget | null): number {
  return [...parent.children].findIndex((child) => child.contains(target as Node | null));
}

for (const part of ["boxes", "labels", "faces"]) {
  const parent = get(part);
  for (const name of ["pointerover", "focusin"]) {
    parent.addEventListener(name, (event) => choose(indexOf(parent, event.target)));
  }
  parent.addEventListener("focusout", () => choose(-1));
  parent.addEventListener("pointerleave", () =>
    choose(indexOf(get("faces"), document.activeElement)),
  );
  parent.addEventListener("click", (event) => {
    const index = indexOf(parent, event.target);
    const card = get("faces").children[index];
    if (!card) return;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const target = part === "faces" ? get("boxes").children[index]! : card;
    card.querySelector<HTMLElement>(".number")!.focus({ preventScroll: true });
    target.scrollIntoView({ block: "nearest", behavior: still ? "instant" : "smooth" });
    choose(index);
  });
}

/** Say what whoever is before the camera can do for a better estimate; nothing once the face is good. */
export function guide(advice: Fault | "oval" | null): void {
  get("guide").hidden = advice === null;
  if (advice === null) return;
  const words = advice === "oval" ? texts().oval : texts().hints[advice];
  const text = get("guide").firstElementChild!;
  if (text.textContent !== words) text.textContent = words;
}

/** Keep the elements that are there, so that neither focus nor pointer gets lost. */
function resize(parent: Element, count: number, make: () => HTMLElement): void {
  while (parent.children.length > count) parent.lastElementChild!.remove();
  while (parent.children.length < count) parent.append(make());
}
