/** Faces in a picture: box, landmarks, score. See `agelens/pipeline/detect.py`, which says why. */

import { apply, invert } from "./align";
import type {
  Box,
  Detection,
  DetectorConstants,
  Pixels,
  Point,
  Size,
  ViewConstants,
} from "./types";
import { Pyramid, rounds, toMatrix, type View } from "./views";

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

export class FaceDetector {
  constructor(
    private readonly network: Network,
    private readonly known: DetectorConstants,
    private readonly places: ViewConstants,
    private readonly minScore: number,
  ) {}

  /** The faces of one picture, largest box first. Where there are none that are sure, they are
   * looked for upside down and sideways, too, if that is wanted. */
  async detect(image: Pixels, turned = true): Promise<Detection[]> {
    const { width, height } = image;
    const { weak, sure, enough, overlap } = this.known;
    const pyramid = new Pyramid(image);
    const kept: Candidate[] = [];
    for (const views of rounds(width, height, this.places, turned)) {
      for (const view of [...views].sort((one, other) => other.scale - one.scale)) {
        pyramid.reduce(view.scale);
      }
      const seen: Candidate[] = [];
      for (const view of views) seen.push(...(await this.search(pyramid, view)));
      const coarse = suppress(seen, overlap); // the best comes first
      const likely = coarse.filter(({ score }) => score >= weak * coarse[0]!.score);
      kept.push(...(await this.refined(pyramid, likely, Math.min(this.minScore, sure))));
      if (kept.some((face) => face.score >= enough)) break;
    }
    const faces = oneInEachPlace(suppress(kept, overlap));
    return toDetections(faces.filter((face) => face.score >= this.minScore));
  }

  /** Known faces again in the next picture of a video, without looking for new ones. */
  async follow(image: Pixels, detections: readonly Detection[]): Promise<Detection[]> {
    const candidates = detections.map(({ box, landmarks }) => ({
      centre: [(box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2] as Point,
      side: box.x2 - box.x1,
      points: landmarks,
      score: 1, // it is known to be a face
    }));
    return toDetections(await this.refined(new Pyramid(image), candidates, this.minScore));
  }

  /** Those candidates that a view of their own confirms, each face once. */
  private async refined(
    pyramid: Pyramid,
    candidates: Candidate[],
    minScore: number,
  ): Promise<Candidate[]> {
    const { askew, overlap } = this.known;
    const faces: Candidate[] = [];
    for (let look = 0; look < 2; look++) {
      const again: Candidate[] = [];
      for (const candidate of candidates) {
        const face = await this.refine(pyramid, candidate, minScore);
        if (!face) continue;
        faces.push(face);
        if (between(eyes(face), eyes(candidate)) > askew) again.push(face);
      }
      candidates = again;
    }
    return suppress(
      faces.filter((face) => face.score >= minScore),
      overlap,
    );
  }

  /** Search again where one candidate is, upright and in the middle. */
  private async refine(
    pyramid: Pyramid,
    candidate: Candidate,
    minScore: number,
  ): Promise<Candidate | undefined> {
    const { centre, side, score } = candidate;
    const { face, around, both } = this.known;
    const [x, y] = eyes(candidate);
    const found = await this.search(pyramid, {
      centre,
      scale: face / side,
      size: [around * face, around * face],
      angle: Math.atan2(y, x),
    });
    const away = (other: Candidate) =>
      Math.hypot(other.centre[0] - centre[0], other.centre[1] - centre[1]);
    // The best score comes first.
    return found.find((other) => away(other) < side / 2 && other.score + score >= minScore + both);
  }

  /** What the network finds in a view of the picture. */
  private async search(pyramid: Pyramid, view: View): Promise<Candidate[]> {
    pyramid.halve(view.scale);
    const { boxes, logits } = await this.network(pyramid.pixels(view), view.size);
    return decode(view, boxes, logits, this.known);
  }
}

/** From the right eye to the left one, which is to the right in a picture. */
function eyes({ points }: Candidate): Point {
  const [right, left] = [points[0]!, points[1]!];
  return [left[0] - right[0], left[1] - right[1]];
}

/** The angle between two directions, in radians. */
function between([a, b]: Point, [c, d]: Point): number {
  return Math.abs(Math.atan2(a * d - b * c, a * c + b * d));
}

/** The faces without those that have a better one in their middle. */
function oneInEachPlace(faces: Candidate[]): Candidate[] {
  const away = ({ centre: [a, b] }: Candidate, { centre: [c, d] }: Candidate) =>
    Math.hypot(a - c, b - d);
  return faces.filter(
    (face) =>
      !faces.some((better) => better.score > face.score && away(better, face) < face.side / 2),
  );
}

/** The network's answer for one view, in picture pixels. */
function decode(
  view: View,
  boxes: Float32Array,
  logits: Float32Array,
  { stride, coarse_score, overlap }: DetectorConstants,
): Candidate[] {
  const { scale, size } = view;
  const back = invert(toMatrix(view));
  const columns = size[0] / stride;
  const candidates: Candidate[] = [];
  logits.forEach((logit, index) => {
    const score = 1 / (1 + Math.exp(-logit));
    if (score < coarse_score) return;
    const [x, y] = [
      ((index % columns) + 0.5) * stride,
      (Math.floor(index / columns) + 0.5) * stride,
    ];
    const value = boxes.subarray(index * 16, index * 16 + 16);
    const point = (k: number) => apply(back, [value[2 * k]! + x, value[2 * k + 1]! + y]);
    const side = (value[2]! + value[3]!) / 2 / scale; // row 1 is a size, not a place
    if (side <= 0) return;
    candidates.push({ centre: point(0), side, points: [2, 3, 4, 5, 6, 7].map(point), score });
  });
  return suppress(candidates, overlap);
}

function boxOf({ centre: [x, y], side }: Candidate): Box {
  return { x1: x - side / 2, y1: y - side / 2, x2: x + side / 2, y2: y + side / 2 };
}

/** The candidates as results, largest first. */
function toDetections(candidates: Candidate[]): Detection[] {
  return candidates
    .sort((a, b) => b.side - a.side || a.centre[0] - b.centre[0] || a.centre[1] - b.centre[1])
    .map((face) => ({ box: boxOf(face), landmarks: face.points, score: face.score }));
}

/** Of boxes that overlap, the best score stays; best first. */
function suppress(candidates: readonly Candidate[], overlap: number): Candidate[] {
  const kept: Candidate[] = [];
  for (const candidate of [...candidates].sort((a, b) => b.score - a.score)) {
    const box = boxOf(candidate);
    if (kept.every((other) => iou(box, boxOf(other)) <= overlap)) kept.push(candidate);
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
