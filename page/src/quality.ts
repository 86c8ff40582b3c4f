/** How fit a face is for an estimate: `agelens/pipeline/quality.py`. */

import { apply, fitSimilarity, reduce } from "./align";
import type { Fault, Point, Quality, QualityConstants } from "./types";

/** Measure one face: its aligned crop, square and RGB, its landmarks, the picture's size. */
export function measureQuality(
  crop: Uint8Array,
  landmarks: readonly Point[],
  template: readonly Point[],
  width: number,
  height: number,
  known: QualityConstants,
  score = 1,
): Quality {
  const grey = atSide(toGrey(crop), known.side);
  const matrix = fitSimilarity(template, landmarks.slice(0, template.length));
  const corners: Point[] = [
    [0, 0],
    [1, 0],
    [1, 1],
    [0, 1],
  ];
  const square = corners.map((point) => apply(matrix, point));
  const light = meanAndDeviation(grey);
  const measured = {
    size: Math.hypot(matrix[0], matrix[3]),
    sharpness: sharpness(grey, light.deviation, known.rounding),
    brightness: light.mean / 255,
    contrast: light.deviation / 255,
    yaw: yaw(landmarks, known.nose_depth),
    cut_off: 1 - area(clip(square, width, height)) / area(square),
    stretch: stretch(landmarks, known.stretch),
    texture: texture(grey, known.unclipped),
  };
  const turned = Math.abs(measured.yaw) > known.max_yaw;
  const [narrowest, widest] = known.max_stretch;
  const faults: Record<Fault, boolean> = {
    small: measured.size < known.min_size,
    blurred: measured.sharpness < known.min_sharpness,
    dark: measured.brightness < known.brightness[0],
    bright: measured.brightness > known.brightness[1],
    turned,
    "cut off": measured.cut_off > known.max_cut_off,
    stretched: !turned && (measured.stretch < narrowest || measured.stretch > widest),
    drawn: measured.texture < known.min_texture,
    "unlike a face": score < known.min_score,
    unsure: false, // `withInterval` knows
  };
  const reasons = (Object.keys(faults) as Fault[]).filter((name) => faults[name]);
  return { ...measured, reasons };
}

/** With "unsure" among its reasons where the interval, `width` years wide, is of no use. */
export function withInterval(quality: Quality, width: number, known: QualityConstants): Quality {
  if (width <= known.max_width) return quality;
  return { ...quality, reasons: [...quality.reasons, "unsure"] };
}

/** OpenCV's fixed-point weights. */
function toGrey(crop: Uint8Array): Float64Array {
  return Float64Array.from({ length: crop.length / 3 }, (_, i) => {
    const [red, green, blue] = [crop[3 * i]!, crop[3 * i + 1]!, crop[3 * i + 2]!];
    return (red * 9798 + green * 19235 + blue * 3735 + 16384) >> 15;
  });
}

/** As if the crop had been cut `side` pixels wide: sharpness depends on it. */
function atSide(grey: Float64Array, side: number): Float64Array {
  const size = Math.sqrt(grey.length);
  if (size === side) return grey;
  const length = 3 * grey.length;
  const data = Uint8ClampedArray.from({ length }, (_, i) => grey[Math.floor(i / 3)]!);
  const crop = { data, width: size, height: size, step: 3 as const };
  const small = reduce(crop, [0, 0, size, size], side, side).data;
  return Float64Array.from({ length: side * side }, (_, i) => small[3 * i]!);
}

function laplacian(grey: Float64Array): Float64Array {
  const size = Math.sqrt(grey.length);
  const mirror = (i: number) => (i < 0 ? 1 : i >= size ? size - 2 : i);
  return grey.map((value, i) => {
    const [x, y] = [i % size, Math.floor(i / size)];
    const row = grey[y * size + mirror(x - 1)]! + grey[y * size + mirror(x + 1)]!;
    return row + grey[mirror(y - 1) * size + x]! + grey[mirror(y + 1) * size + x]! - 4 * value;
  });
}

/** The median of the gradient's size over its mean, where nothing is black or white. */
function texture(grey: Float64Array, [darkest, brightest]: readonly [number, number]): number {
  const size = Math.sqrt(grey.length);
  const mirror = (i: number) => (i < 0 ? 1 : i >= size ? size - 2 : i);
  const steps = new Uint16Array(grey.length);
  let count = 0;
  grey.forEach((value, i) => {
    if (value < darkest || value > brightest) return;
    const [x, y] = [i % size, Math.floor(i / size)];
    const [left, right] = [mirror(x - 1), mirror(x + 1)];
    const [above, below] = [mirror(y - 1) * size, mirror(y + 1) * size];
    const across = (row: number) => grey[row + right]! - grey[row + left]!;
    const down = (column: number) => grey[below + column]! - grey[above + column]!;
    steps[count++] =
      Math.abs(across(above) + 2 * across(y * size) + across(below)) +
      Math.abs(down(left) + 2 * down(x) + down(right));
  });
  const seen = steps.subarray(0, count).sort();
  const total = seen.reduce((sum, step) => sum + step, 0);
  if (!total) return 1;
  const half = count >> 1;
  const median = count % 2 ? seen[half]! : (seen[half - 1]! + seen[half]!) / 2;
  return (median * count) / total;
}

function sharpness(grey: Float64Array, spread: number, rounding: number): number {
  if (!spread) return 0;
  const detail = meanAndDeviation(laplacian(grey)).deviation ** 2 - rounding;
  return Math.sqrt(Math.max(0, detail)) / spread;
}

function meanAndDeviation(values: Float64Array): { mean: number; deviation: number } {
  const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
  const squares = values.reduce((sum, v) => sum + (v - mean) ** 2, 0);
  return { mean, deviation: Math.sqrt(squares / values.length) };
}

/** Degrees by which the head seems turned, positive to the picture's right. */
function yaw(landmarks: readonly Point[], noseDepth: number): number {
  const [nose, right, left] = [landmarks[2]!, landmarks[4]!, landmarks[5]!];
  const [x, y] = [left[0] - right[0], left[1] - right[1]];
  const width = x * x + y * y;
  if (width === 0) return 0;
  const offset =
    ((nose[0] - (right[0] + left[0]) / 2) * x + (nose[1] - (right[1] + left[1]) / 2) * y) / width;
  return (Math.atan2(offset, noseDepth) * 180) / Math.PI;
}

/** By how much the picture seems stretched across the face, 1 for not at all. */
function stretch(landmarks: readonly Point[], weights: readonly number[]): number {
  const [rightEye, leftEye, , mouth, rightEar, leftEar] = landmarks as Point[];
  const eyes = [(rightEye![0] + leftEye![0]) / 2, (rightEye![1] + leftEye![1]) / 2] as const;
  const [x, y] = [mouth![0] - eyes[0], mouth![1] - eyes[1]];
  const length = x * x + y * y;
  // In units of that distance: along the face, and across it.
  const place = (ear: Point) => {
    const [u, v] = [ear[0] - eyes[0], ear[1] - eyes[1]];
    return [(u * x + v * y) / length, (v * x - u * y) / length] as const;
  };
  const [right, left] = length
    ? [place(rightEar!), place(leftEar!)]
    : [
        [0, 0.5],
        [0, -0.5],
      ];
  const evidence = [
    1,
    Math.log(Math.max(Math.abs(right[1]! - left[1]!), 0.1)),
    (right[0]! + left[0]!) / 2,
    (right[1]! + left[1]!) ** 2,
  ];
  return Math.exp(evidence.reduce((sum, value, k) => sum + weights[k]! * value, 0));
}

/** The part of a convex shape inside the picture (Sutherland and Hodgman, CACM 1974). */
function clip(shape: Point[], width: number, height: number): Point[] {
  const sides: ((p: Point) => number)[] = [
    ([x]) => x,
    ([, y]) => y,
    ([x]) => width - x,
    ([, y]) => height - y,
  ];
  return sides.reduce((points, inside) => {
    return points.flatMap((point, index) => {
      const before = points.at(index - 1)!;
      const [from, to] = [inside(before), inside(point)];
      const fraction = from / (from - to);
      const edge: Point = [
        before[0] + fraction * (point[0] - before[0]),
        before[1] + fraction * (point[1] - before[1]),
      ];
      return [...(from < 0 !== to < 0 ? [edge] : []), ...(to >= 0 ? [point] : [])];
    });
  }, shape);
}

function area(shape: readonly Point[]): number {
  const twice = shape.reduce((sum, [x, y], index) => {
    const [u, v] = shape.at(index - 1)!;
    return sum + u * y - x * v;
  }, 0);
  return Math.abs(twice) / 2;
}
