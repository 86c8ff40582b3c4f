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
    sharpness: meanAndDeviation(laplacian(grey)).deviation,
    brightness: light.mean / 255,
    contrast: light.deviation / 255,
    yaw: yaw(landmarks, known.nose_depth),
    cut_off: 1 - area(clip(square, width, height)) / area(square),
  };
  const faults: Record<Fault, boolean> = {
    small: measured.size < known.min_size,
    blurred: measured.sharpness < known.min_sharpness,
    dark: measured.brightness < known.brightness[0],
    bright: measured.brightness > known.brightness[1],
    turned: Math.abs(measured.yaw) > known.max_yaw,
    "cut off": measured.cut_off > known.max_cut_off,
  };
  const reasons = (Object.keys(faults) as Fault[]).filter((name) => faults[name]);
  return { ...measured, reasons };
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
