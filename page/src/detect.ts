/** Faces in a picture: box, landmarks, score. See `agelens/pipeline/detect.py`, which says why. */

import { apply, invert, reduce, rint, sample } from "./align";
import type { Box, Detection, DetectorConstants, Matrix, Pixels, Point, Size } from "./types";

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

/** A reduction of a picture: its scale across and down, and pixels. */
interface Level {
  across: number;
  down: number;
  image: Pixels;
}

/** A picture and reductions of it: a view is sampled from the smallest that is larger. */
class Pyramid {
  private readonly levels: Level[];

  constructor(image: Pixels) {
    this.levels = [{ across: 1, down: 1, image }];
  }

  /** Halve the smallest reduction until half of it were below a scale. */
  halve(scale: number): void {
    let { across, down, image } = this.levels.at(-1)!;
    while (scale <= across / 2 && Math.min(image.width, image.height) > 1) {
      const [width, height] = [Math.floor(image.width / 2), Math.floor(image.height / 2)];
      image = reduce(image, [0, 0, 2 * width, 2 * height], width, height);
      [across, down] = [across / 2, down / 2];
      this.levels.push({ across, down, image });
    }
  }

  /** Add the picture at just this scale, for views of large parts of it. */
  reduce(scale: number): void {
    this.halve(scale);
    const { across, down, image } = this.levels.at(-1)!;
    const width = Math.max(1, rint((image.width * scale) / across));
    const height = Math.max(1, rint((image.height * scale) / down));
    if (scale >= across || (width === image.width && height === image.height)) return;
    this.levels.push({
      across: (across * width) / image.width,
      down: (down * height) / image.height,
      image: reduce(image, [0, 0, image.width, image.height], width, height),
    });
  }

  /** What a view shows; black beside the picture. */
  pixels(view: View): Uint8Array {
    const enough = this.levels.filter((level) => level.across >= 0.98 * view.scale);
    const { across, down, image } = enough.at(-1) ?? this.levels[0]!;
    const [a, b, c, d, e, f] = toMatrix(view);
    const [p, q, r, s] = [a / across, b / down, d / across, e / down];
    // Sampling has whole numbers at pixel centres; agelens at their corners.
    const matrix: Matrix = [p, q, c + (p + q) / 2 - 0.5, r, s, f + (r + s) / 2 - 0.5];
    return sample(image, invert(matrix), view.size, false);
  }
}

export class FaceDetector {
  constructor(
    private readonly network: Network,
    private readonly known: DetectorConstants,
    private readonly minScore: number,
  ) {}

  /** The faces of one picture, largest box first. */
  async detect(image: Pixels): Promise<Detection[]> {
    const { width, height } = image;
    const pyramid = new Pyramid(image);
    const [first] = this.known.borders;
    let kept: Candidate[] = [];
    for (const border of this.known.borders) {
      const views = [whole(width, height, border, this.known)];
      if (border === first) views.push(...tiles(width, height, this.known));
      for (const view of [...views].sort((one, other) => other.scale - one.scale)) {
        pyramid.reduce(view.scale);
      }
      const coarse: Candidate[] = [];
      for (const view of views) coarse.push(...(await this.search(pyramid, view)));
      kept = await this.refined(pyramid, suppress(coarse, this.known.overlap));
      if (kept.length) break;
    }
    return toDetections(kept);
  }

  /** Known faces again in the next picture of a video, without looking for new ones. */
  async follow(image: Pixels, detections: readonly Detection[]): Promise<Detection[]> {
    const candidates = detections.map(({ box, landmarks, score }) => ({
      centre: [(box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2] as Point,
      side: box.x2 - box.x1,
      points: landmarks,
      score,
    }));
    return toDetections(await this.refined(new Pyramid(image), candidates));
  }

  /** Those candidates that a view of their own confirms, each face once. */
  private async refined(pyramid: Pyramid, candidates: Candidate[]): Promise<Candidate[]> {
    const { surroundings, sure, overlap } = this.known;
    const faces: Candidate[] = [];
    for (const sides of surroundings) {
      const unsure: Candidate[] = [];
      for (const candidate of candidates) {
        const face = await this.refine(pyramid, candidate, sides);
        if (face) faces.push(face);
        if (!face || face.score < sure) unsure.push(candidate);
      }
      candidates = unsure;
    }
    return suppress(
      faces.filter((face) => face.score >= this.minScore),
      overlap,
    );
  }

  /** Search again where one candidate is, upright and in the middle. */
  private async refine(pyramid: Pyramid, { centre, side, points }: Candidate, sides: number) {
    const { face } = this.known;
    const [right, left] = [points[0]!, points[1]!];
    const found = await this.search(pyramid, {
      centre,
      scale: face / side,
      size: [sides * face, sides * face],
      angle: Math.atan2(left[1] - right[1], left[0] - right[0]),
    });
    const away = (other: Candidate) =>
      Math.hypot(other.centre[0] - centre[0], other.centre[1] - centre[1]);
    return found.find((other) => away(other) < side / 2); // the best score comes first
  }

  /** What the network finds in a view of the picture. */
  private async search(pyramid: Pyramid, view: View): Promise<Candidate[]> {
    pyramid.halve(view.scale);
    const { boxes, logits } = await this.network(pyramid.pixels(view), view.size);
    return decode(view, boxes, logits, this.known);
  }
}

/** From the picture to the view. */
function toMatrix({ centre: [x, y], scale, size: [width, height], angle }: View): Matrix {
  const [cos, sin] = [scale * Math.cos(angle), scale * Math.sin(angle)];
  return [cos, sin, width / 2 - cos * x - sin * y, -sin, cos, height / 2 + sin * x - cos * y];
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

/** The view of the whole picture with a border around. */
function whole(
  width: number,
  height: number,
  border: number,
  { coarse_view, unit }: DetectorConstants,
): View {
  const around = 2 * border * Math.max(width, height);
  const scale = coarse_view / (Math.max(width, height) + around);
  const size: Size = [
    units((width + around) * scale, unit),
    units((height + around) * scale, unit),
  ];
  return { centre: [width / 2, height / 2], scale, size, angle: 0 };
}

/** The overlapping rectangles in which a large picture is searched. */
function tiles(width: number, height: number, known: DetectorConstants): View[] {
  const { tile_side, coarse_view, max_tiles_a_side } = known;
  const longer = Math.max(width, height);
  if (longer <= tile_side) return [];
  const scale = coarse_view / Math.max(tile_side, longer / (0.75 * (max_tiles_a_side - 1) + 1));
  const [tall, rows] = spread(height, scale, known);
  const [wide, columns] = spread(width, scale, known);
  return rows.flatMap((y) =>
    columns.map((x): View => ({ centre: [x, y], scale, size: [wide, tall], angle: 0 })),
  );
}

/** Tiles along one axis: their length in the view, and their centres in the picture. */
function spread(
  length: number,
  scale: number,
  { coarse_view, longest_tile, unit }: DetectorConstants,
): [view: number, centres: number[]] {
  const [needed, common] = [length * scale, coarse_view / 4];
  const count = Math.max(1, Math.ceil((needed - common) / (longest_tile - common)));
  const view = units((needed + (count - 1) * common) / count, unit);
  const half = Math.min(view / scale, length) / 2;
  const step = count === 1 ? 0 : (length - 2 * half) / (count - 1);
  return [view, Array.from({ length: count }, (_, k) => half + k * step)];
}

/** The next side that a view can have. */
function units(length: number, unit: number): number {
  return unit * Math.ceil(Number((length / unit).toFixed(6)));
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
