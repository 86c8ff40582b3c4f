/** Where the labels of faces stand: inside the picture, and over no face and no other label. */

import type { Face, Point, Size } from "./types";

export interface Rectangle {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** Between a label and its face. */
const GAP = 5;
/** Rows above and below a face in which its label may stand. */
const ROWS = 3;

/** What stands beside a face: its number, as on its card, and its age. */
export function labelOf({ age, interval }: Face, index: number, range = true): string {
  const ends = ` (${Math.round(interval.low)}–${Math.round(interval.high)})`;
  return `${index + 1}: ${Math.round(age)}${range ? ends : ""}`;
}

/** The upper left corner of each label; null for one that fits nowhere near its face. */
export function placeLabels(
  faces: readonly Rectangle[],
  sizes: readonly Size[],
  frame: Size,
): (Point | null)[] {
  const taken = [...faces];
  return faces.map((face, index) => {
    const [width, height] = sizes[index]!;
    const place = candidates(face, [width, height])
      .map(([x, y]): Point => [clamp(x, frame[0] - width), y])
      .find(([x, y]) => {
        const label = { x, y, width, height };
        return inside(label, frame) && !taken.some((other) => overlap(label, other));
      });
    if (!place) return null;
    taken.push({ x: place[0], y: place[1], width, height });
    return place;
  });
}

/** Places around a face, the best first: above it, below it, beside it, further up and down. */
function candidates(face: Rectangle, [width, height]: Size): Point[] {
  const [right, bottom] = [face.x + face.width, face.y + face.height];
  const columns = [face.x, right - width];
  const above = (row: number) => face.y - (row + 1) * (height + GAP);
  const below = (row: number) => bottom + GAP + row * (height + GAP);
  const row = (y: number) => columns.map((x): Point => [x, y]);
  const beside = [face.y, bottom - height].flatMap((y): Point[] => [
    [right + GAP, y],
    [face.x - GAP - width, y],
  ]);
  const further = Array.from({ length: ROWS - 1 }, (_, k) => [above(k + 1), below(k + 1)]);
  return [...row(above(0)), ...row(below(0)), ...beside, ...further.flat().flatMap(row)];
}

const clamp = (value: number, most: number) => Math.min(Math.max(value, 0), Math.max(most, 0));

function inside({ x, y, width, height }: Rectangle, [right, bottom]: Size): boolean {
  return x >= 0 && y >= 0 && x + width <= right && y + height <= bottom;
}

export function overlap(one: Rectangle, other: Rectangle): boolean {
  return (
    one.x < other.x + other.width &&
    other.x < one.x + one.width &&
    one.y < other.y + other.height &&
    other.y < one.y + one.height
  );
}
