/** Faces in a picture: box, landmarks, score. See `agelens/detect.py`, which says why. */

import { apply, invert, warp } from "./align";
import type { Box, Detection, Matrix, Pixels, Point, Size } from "./types";

const UNIT = 32;
const STRIDE = 4;
export const COARSE_VIEW = 192;
const BORDERS = [0.25, 1] as const;
const COARSE_SCORE = 0.3;
const FACE = 64;
const SURROUNDINGS = [2, 3] as const;
const SURE = 0.5;
const OVERLAP = 0.3;
const TILE_SIDE = 640;
const LONGEST_TILE = 256;
const MAX_TILES_A_SIDE = 6;

/** The network: a view `[height, width, 3]` to boxes `[A, 16]` and logits `[A]`. */
export type Network = (
  view: Uint8Array,
  size: Size,
) => Promise<{ boxes: Float32Array; logits: Float32Array }>;

interface Candidate {
  centre: Point;
  side: number;
  points: Point[];
  score: number;
}

/** A rectangle of the picture: its centre, pixels of the view per pixel of the picture, its size in
 * the view, and the angle of its upper side. */
interface View {
  centre: Point;
  scale: number;
  size: Size;
  angle: number;
}

export class FaceDetector {
  constructor(
    private readonly network: Network,
    private readonly minScore: number,
  ) {}

  /** The faces of one picture, largest box first. */
  async detect(image: Pixels): Promise<Detection[]> {
    const { width, height } = image;
    let kept: Candidate[] = [];
    for (const border of BORDERS) {
      const views = [whole(width, height, border)];
      if (border === BORDERS[0]) views.push(...tiles(width, height));
      const coarse: Candidate[] = [];
      for (const view of views) coarse.push(...(await this.look(image, view)));
      kept = await this.refined(image, suppress(coarse));
      if (kept.length) break;
    }
    return detections(kept);
  }

  /** Known faces again in the next picture of a video, without looking for new ones. */
  async follow(image: Pixels, known: readonly Detection[]): Promise<Detection[]> {
    const candidates = known.map(({ box, landmarks, score }) => ({
      centre: [(box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2] as Point,
      side: box.x2 - box.x1,
      points: landmarks,
      score,
    }));
    return detections(await this.refined(image, candidates));
  }

  /** Those candidates that a second look confirms, each face once. */
  private async refined(image: Pixels, candidates: Candidate[]): Promise<Candidate[]> {
    const faces: Candidate[] = [];
    for (const sides of SURROUNDINGS) {
      const unsure: Candidate[] = [];
      for (const candidate of candidates) {
        const face = await this.refine(image, candidate, sides);
        if (face) faces.push(face);
        if (!face || face.score < SURE) unsure.push(candidate);
      }
      candidates = unsure;
    }
    return suppress(faces.filter((face) => face.score >= this.minScore));
  }

  /** Look again at one candidate, upright and in the middle. */
  private async refine(image: Pixels, { centre, side, points }: Candidate, sides: number) {
    const [right, left] = [points[0]!, points[1]!];
    const found = await this.look(image, {
      centre,
      scale: FACE / side,
      size: [sides * FACE, sides * FACE],
      angle: Math.atan2(left[1] - right[1], left[0] - right[0]),
    });
    const away = (face: Candidate) =>
      Math.hypot(face.centre[0] - centre[0], face.centre[1] - centre[1]);
    return found.find((face) => away(face) < side / 2); // the best score comes first
  }

  /** Run the network on a view of the picture, and decode its answer. */
  private async look(image: Pixels, { centre, scale, size, angle }: View): Promise<Candidate[]> {
    const [cx, cy] = centre;
    const [cos, sin] = [scale * Math.cos(angle), scale * Math.sin(angle)];
    const matrix: Matrix = [
      cos, sin, size[0] / 2 - cos * cx - sin * cy,
      -sin, cos, size[1] / 2 + sin * cx - cos * cy,
    ];
    const { boxes, logits } = await this.network(warp(image, matrix, size, false), size);
    const back = invert(matrix);
    const columns = size[0] / STRIDE;
    const candidates: Candidate[] = [];
    logits.forEach((logit, index) => {
      const score = 1 / (1 + Math.exp(-logit));
      if (score < COARSE_SCORE) return;
      const anchor: Point = [
        ((index % columns) + 0.5) * STRIDE,
        (Math.floor(index / columns) + 0.5) * STRIDE,
      ];
      const value = boxes.subarray(index * 16, index * 16 + 16);
      const point = (k: number) =>
        apply(back, [value[2 * k]! + anchor[0], value[2 * k + 1]! + anchor[1]]);
      const boxSide = (value[2]! + value[3]!) / 2 / scale; // row 1 is a size, not a place
      if (boxSide <= 0) return;
      candidates.push({
        centre: point(0),
        side: boxSide,
        points: [2, 3, 4, 5, 6, 7].map(point),
        score,
      });
    });
    return suppress(candidates);
  }
}

function boxOf({ centre: [x, y], side }: Candidate): Box {
  return { x1: x - side / 2, y1: y - side / 2, x2: x + side / 2, y2: y + side / 2 };
}

function detections(candidates: Candidate[]): Detection[] {
  return candidates
    .sort((a, b) => b.side - a.side || a.centre[0] - b.centre[0] || a.centre[1] - b.centre[1])
    .map((face) => ({ box: boxOf(face), landmarks: face.points, score: face.score }));
}

/** The view of the whole picture with a border around. */
function whole(width: number, height: number, border: number): View {
  const around = 2 * border * Math.max(width, height);
  const scale = COARSE_VIEW / (Math.max(width, height) + around);
  const size: Size = [units((width + around) * scale), units((height + around) * scale)];
  return { centre: [width / 2, height / 2], scale, size, angle: 0 };
}

/** The overlapping rectangles in which a large picture is searched. */
function tiles(width: number, height: number): View[] {
  const longer = Math.max(width, height);
  if (longer <= TILE_SIDE) return [];
  const scale =
    COARSE_VIEW / Math.max(TILE_SIDE, longer / (0.75 * (MAX_TILES_A_SIDE - 1) + 1));
  const [tall, rows] = spread(height, scale);
  const [wide, columns] = spread(width, scale);
  return rows.flatMap((y) =>
    columns.map((x): View => ({ centre: [x, y], scale, size: [wide, tall], angle: 0 })),
  );
}

/** Tiles along one axis: their length in the view, and their centres in the picture. */
function spread(length: number, scale: number): [view: number, centres: number[]] {
  const [needed, shared] = [length * scale, COARSE_VIEW / 4];
  const count = Math.max(1, Math.ceil((needed - shared) / (LONGEST_TILE - shared)));
  const view = units((needed + (count - 1) * shared) / count);
  const half = Math.min(view / scale, length) / 2;
  const step = count === 1 ? 0 : (length - 2 * half) / (count - 1);
  return [view, Array.from({ length: count }, (_, k) => half + k * step)];
}

/** The next side that a view can have. */
function units(length: number): number {
  return UNIT * Math.ceil(Number((length / UNIT).toFixed(6)));
}

/** Of boxes that overlap, the best score stays; best first. */
function suppress(candidates: readonly Candidate[]): Candidate[] {
  const kept: Candidate[] = [];
  for (const candidate of [...candidates].sort((a, b) => b.score - a.score)) {
    const box = boxOf(candidate);
    if (kept.every((other) => iou(box, boxOf(other)) <= OVERLAP)) kept.push(candidate);
  }
  return kept;
}

export function iou(a: Box, b: Box): number {
  const width = Math.min(a.x2, b.x2) - Math.max(a.x1, b.x1);
  const height = Math.min(a.y2, b.y2) - Math.max(a.y1, b.y1);
  if (width <= 0 || height <= 0) return 0;
  const area = (box: Box) => (box.x2 - box.x1) * (box.y2 - box.y1);
  return (width * height) / (area(a) + area(b) - width * height);
}
