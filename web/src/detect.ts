/** Faces in a picture: box, landmarks, score. See `agelens/detect.py`, which says why. */

import { apply, invert, warp } from "./align";
import type { Box, Detection, Matrix, Pixels, Point } from "./types";

export const VIEW = 192;
const STRIDE = 4;
const GRID = VIEW / STRIDE;
const COARSE_VIEWS = [1.5, 3.0] as const;
const COARSE_SCORE = 0.3;
const REFINE_SIDE = 3.0;
const OVERLAP = 0.3;
const TILE_FROM = 900;
const TILE_SIDE = 640;
const MAX_TILES_A_SIDE = 6;

/** The network: a view `[192, 192, 3]` to boxes `[2304, 16]` and logits `[2304]`. */
export type Network = (view: Uint8Array) => Promise<{ boxes: Float32Array; logits: Float32Array }>;

interface Candidate {
  centre: Point;
  side: number;
  points: Point[];
  score: number;
}

type View = [centre: Point, side: number];

export class FaceDetector {
  constructor(
    private readonly network: Network,
    private readonly minScore: number,
  ) {}

  /** The faces of one picture, largest box first. */
  async detect(image: Pixels): Promise<Detection[]> {
    const { width, height } = image;
    let kept: Candidate[] = [];
    for (const times of COARSE_VIEWS) {
      const views: View[] = [[[width / 2, height / 2], times * Math.max(width, height)]];
      if (times === COARSE_VIEWS[0]) views.push(...tiles(width, height));
      const coarse: Candidate[] = [];
      for (const [centre, side] of views) {
        coarse.push(...(await this.look(image, centre, side, 0, COARSE_SCORE)));
      }
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
    for (const candidate of candidates) {
      const face = await this.refine(image, candidate);
      if (face && face.score >= this.minScore) faces.push(face);
    }
    return suppress(faces);
  }

  /** Look again at one candidate, upright and in the middle. */
  private async refine(image: Pixels, { centre, side, points }: Candidate) {
    const [right, left] = [points[0]!, points[1]!];
    const angle = Math.atan2(left[1] - right[1], left[0] - right[0]);
    const found = await this.look(image, centre, REFINE_SIDE * side, angle, COARSE_SCORE);
    const away = (face: Candidate) =>
      Math.hypot(face.centre[0] - centre[0], face.centre[1] - centre[1]);
    return found.filter((face) => away(face) < side / 2)[0]; // the best score comes first
  }

  /** Run the network on a square of the picture, turned by `angle`, and decode its answer. */
  private async look(
    image: Pixels,
    [cx, cy]: Point,
    side: number,
    angle: number,
    minScore: number,
  ): Promise<Candidate[]> {
    const scale = VIEW / side;
    const [cos, sin] = [scale * Math.cos(angle), scale * Math.sin(angle)];
    const half = VIEW / 2;
    const matrix: Matrix = [
      cos, sin, half - cos * cx - sin * cy,
      -sin, cos, half + sin * cx - cos * cy,
    ];
    const { boxes, logits } = await this.network(warp(image, matrix, VIEW, false));
    const back = invert(matrix);
    const candidates: Candidate[] = [];
    logits.forEach((logit, index) => {
      const score = 1 / (1 + Math.exp(-logit));
      if (score < minScore) return;
      const anchor: Point = [
        ((index % GRID) + 0.5) * STRIDE,
        (Math.floor(index / GRID) + 0.5) * STRIDE,
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

/** Centre and side of the overlapping squares in which a large picture is searched. */
function tiles(width: number, height: number): View[] {
  const longer = Math.max(width, height);
  if (longer <= TILE_FROM) return [];
  const side = Math.max(TILE_SIDE, longer / (0.75 * (MAX_TILES_A_SIDE - 1) + 1));
  return tileCentres(height, side).flatMap((y) =>
    tileCentres(width, side).map((x): View => [[x, y], side]),
  );
}

function tileCentres(length: number, side: number): number[] {
  if (length <= side) return [length / 2];
  const count = Math.ceil((length - side) / (0.75 * side)) + 1;
  return Array.from({ length: count }, (_, k) => side / 2 + (k * (length - side)) / (count - 1));
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
