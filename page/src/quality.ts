/** How fit a face is for an estimate: `agelens/quality.py`, which says where the limits come from. */

import { ALIGNMENT_POINTS, apply, fitSimilarity, reduce } from "./align";
import { FAULTS, type Point, type Quality } from "./types";

const NOSE_DEPTH = 0.8;
const MIN_SIZE = 22;
const SIDE = 128;
const MIN_SHARPNESS = 2;
const BRIGHTNESS = [0.03, 0.86] as const;
const MAX_YAW = 45;
const MAX_CUT_OFF = 0.5;

/** Measure one face: its aligned crop, square and RGB, its landmarks, the picture's size. */
export function measureQuality(
  crop: Uint8Array,
  landmarks: readonly Point[],
  template: readonly Point[],
  width: number,
  height: number,
): Quality {
  const grey = atSide(toGrey(crop));
  const matrix = fitSimilarity(template, landmarks.slice(0, ALIGNMENT_POINTS));
  const square = ([[0, 0], [1, 0], [1, 1], [0, 1]] as Point[]).map((p) => apply(matrix, p));
  const light = spread(grey);
  const measured = {
    size: Math.hypot(matrix[0], matrix[3]),
    sharpness: spread(laplacian(grey)).deviation,
    brightness: light.mean / 255,
    contrast: light.deviation / 255,
    yaw: yaw(landmarks),
    cut_off: 1 - area(clip(square, width, height)) / area(square),
  };
  const found = [
    measured.size < MIN_SIZE,
    measured.sharpness < MIN_SHARPNESS,
    measured.brightness < BRIGHTNESS[0],
    measured.brightness > BRIGHTNESS[1],
    Math.abs(measured.yaw) > MAX_YAW,
    measured.cut_off > MAX_CUT_OFF,
  ];
  return { ...measured, reasons: FAULTS.filter((_, index) => found[index]) };
}

/** OpenCV's fixed-point weights. */
function toGrey(crop: Uint8Array): Float64Array {
  return Float64Array.from({ length: crop.length / 3 }, (_, i) => {
    const [red, green, blue] = [crop[3 * i]!, crop[3 * i + 1]!, crop[3 * i + 2]!];
    return (red * 9798 + green * 19235 + blue * 3735 + 16384) >> 15;
  });
}

/** As if the crop had been cut `SIDE` pixels wide: sharpness depends on it. */
function atSide(grey: Float64Array): Float64Array {
  const size = Math.sqrt(grey.length);
  if (size === SIDE) return grey;
  const length = 3 * grey.length;
  const data = Uint8ClampedArray.from({ length }, (_, i) => grey[Math.floor(i / 3)]!);
  const crop = { data, width: size, height: size, step: 3 as const };
  const small = reduce(crop, [0, 0, size, size], SIDE, SIDE).data;
  return Float64Array.from({ length: SIDE * SIDE }, (_, i) => small[3 * i]!);
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

function spread(values: Float64Array): { mean: number; deviation: number } {
  const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
  const squares = values.reduce((sum, v) => sum + (v - mean) ** 2, 0);
  return { mean, deviation: Math.sqrt(squares / values.length) };
}

/** Degrees by which the head seems turned, positive to the picture's right. */
function yaw(landmarks: readonly Point[]): number {
  const [nose, right, left] = [landmarks[2]!, landmarks[4]!, landmarks[5]!];
  const [x, y] = [left[0] - right[0], left[1] - right[1]];
  const width = x * x + y * y;
  if (width === 0) return 0;
  const offset =
    ((nose[0] - (right[0] + left[0]) / 2) * x + (nose[1] - (right[1] + left[1]) / 2) * y) / width;
  return (Math.atan2(offset, NOSE_DEPTH) * 180) / Math.PI;
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
      const share = from / (from - to);
      const edge: Point = [
        before[0] + share * (point[0] - before[0]),
        before[1] + share * (point[1] - before[1]),
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
