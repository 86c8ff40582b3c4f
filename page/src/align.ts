/** From landmarks to the upright crop that the model was trained on: `agelens/pipeline/align.py`. */

import type { Matrix, Pixels, Point, Size } from "./types";

const single = Math.fround;

/** A rectangle of the picture: left, top, right, bottom. */
type Part = readonly [x0: number, y0: number, x1: number, y1: number];

/** The rotation, uniform scale and shift that best take `source` to `target` (Umeyama 1991). */
export function fitSimilarity(source: readonly Point[], target: readonly Point[]): Matrix {
  const [zx, zy] = mean(source);
  const [wx, wy] = mean(target);
  let spread = 0;
  let real = 0;
  let imaginary = 0;
  source.forEach(([x, y], index) => {
    const [dx, dy] = [x - zx, y - zy];
    const [ex, ey] = [target[index]![0] - wx, target[index]![1] - wy];
    spread += dx * dx + dy * dy;
    real += dx * ex + dy * ey;
    imaginary += dx * ey - dy * ex;
  });
  if (spread === 0) throw new Error("the points to align all coincide");
  const [a, b] = [real / spread, imaginary / spread];
  return [a, -b, wx - (a * zx - b * zy), b, a, wy - (b * zx + a * zy)];
}

export function apply([a, b, c, d, e, f]: Matrix, [x, y]: Point): Point {
  return [a * x + b * y + c, d * x + e * y + f];
}

export function invert([a, b, c, d, e, f]: Matrix): Matrix {
  const whole = a * e - b * d;
  const [p, q, r, s] = [e / whole, -b / whole, -d / whole, a / whole];
  return [p, q, -(p * c + q * f), r, s, -(r * c + s * f)];
}

/**
 * Resample a rectangle of the picture, without aliasing at any scale: reduced by area averaging to
 * the crop's scale, then bilinearly. Rounded where OpenCV 5 rounds, so that the bytes are the same:
 * an age can hang on one.
 */
export function warp(image: Pixels, matrix: Matrix, size: Size, reflect: boolean): Uint8Array {
  const scale = Math.hypot(matrix[0], matrix[3]);
  let [a, b, c, d, e, f] = matrix;
  if (scale < 1) {
    const back = invert(matrix);
    const [right, low] = size;
    const corners: Point[] = [
      [0, 0],
      [right, 0],
      [0, low],
      [right, low],
    ];
    const quad = corners.map((corner) => apply(back, corner));
    const most = Math.floor(-Math.log2(scale));
    const across = span(
      quad.map((p) => p[0]),
      image.width,
      2 / scale,
    );
    const [x0, x1, fewer] = halved(...across, image.width, most);
    const down = span(
      quad.map((p) => p[1]),
      image.height,
      2 / scale,
    );
    const [y0, y1, halvings] = halved(...down, image.height, fewer);
    const width = Math.max(1, rint((x1 - x0) * scale));
    const height = Math.max(1, rint((y1 - y0) * scale));
    let part: Part = [x0, y0, x1, y1];
    for (let times = 0; times < halvings; times++) {
      const half = [(part[2] - part[0]) / 2, (part[3] - part[1]) / 2] as const;
      image = reduce(image, part, ...half);
      part = [0, 0, ...half];
    }
    image = reduce(image, part, width, height);
    [c, f] = [a * x0 + b * y0 + c, d * x0 + e * y0 + f];
    const [fx, fy] = [(x1 - x0) / width, (y1 - y0) / height];
    [a, b, d, e] = [a * fx, b * fy, d * fx, e * fy];
  }
  // Sampling has whole numbers at pixel centres; agelens at their corners.
  c += (a + b) / 2 - 0.5;
  f += (d + e) / 2 - 0.5;
  return sample(image, invert([a, b, c, d, e, f]), size, reflect);
}

/** Cut the face out, upright and at the model's scale: RGB `[size, size, 3]`. */
export function alignFace(
  image: Pixels,
  landmarks: readonly Point[],
  template: readonly Point[],
  size: number,
): Uint8Array {
  const target = template.map(([x, y]): Point => [x * size, y * size]);
  const matrix = fitSimilarity(landmarks.slice(0, template.length), target);
  return warp(image, matrix, [size, size], true);
}

function mean(points: readonly Point[]): Point {
  const [x, y] = points.reduce<Point>((sum, p) => [sum[0] + p[0], sum[1] + p[1]], [0, 0]);
  return [x / points.length, y / points.length];
}

/** Round half to even, as Python does. */
export function rint(value: number): number {
  const floor = Math.floor(value);
  return value - floor === 0.5 ? floor + (floor % 2) : Math.round(value);
}

/** The pixels of one axis that a warp needs, those that a reflection shows included. */
function span(values: number[], length: number, pad: number): [number, number] {
  const low = Math.min(...values) - pad;
  const high = Math.max(...values) + pad;
  const first = Math.max(0, Math.floor(Math.min(low, 2 * length - high)));
  const start = Math.min(first, length - 1);
  const stop = Math.min(length, Math.ceil(Math.max(high, -low)));
  return [start, Math.max(stop, start + 1)];
}

/** A span that divides by 2 so many times, or as often as it can without losing the border. */
function halved(
  start: number,
  stop: number,
  length: number,
  halvings: number,
): [start: number, stop: number, halvings: number] {
  halvings = Math.min(halvings, Math.floor(Math.log2(stop - start)));
  const spare = (stop - start) % 2 ** halvings;
  if (start > 0) return [start + spare, stop, halvings];
  if (stop < length) return [start, stop - spare, halvings];
  return [start, stop, Math.min(halvings, Math.log2(length & -length))];
}

/** For each of `count` pixels, the pixels of `length` under it and their weights. */
function taps(length: number, count: number): [index: number, weight: number][][] {
  const scale = length / count;
  return Array.from({ length: count }, (_, k) => {
    const start = k * scale;
    const stop = start + scale;
    const whole = Math.min(scale, length - start);
    const last = Math.min(Math.floor(stop), length - 1);
    const first = Math.min(Math.ceil(start), last);
    const parts: [number, number][] = [];
    if (first - start > 1e-3) parts.push([first - 1, first - start]);
    for (let index = first; index < last; index++) parts.push([index, 1]);
    if (stop - last > 1e-3) parts.push([last, Math.min(stop - last, 1, whole)]);
    return parts.map(([index, part]) => [index, single(part / whole)]);
  });
}

/** A part of the picture, reduced by area averaging. */
export function reduce(
  image: Pixels,
  [x0, y0, x1, y1]: Part,
  width: number,
  height: number,
): Pixels {
  const across = taps(x1 - x0, width);
  const { data, step } = image;
  const out = new Uint8ClampedArray(width * height * 3); // rounds half to even
  const exact = x1 - x0 === 2 * width && y1 - y0 === 2 * height; // OpenCV rounds these half up
  const row = new Float32Array(width * 3);
  const sum = new Float32Array(width * 3);
  let known = -1;
  taps(y1 - y0, height).forEach((parts, y) => {
    sum.fill(0);
    for (const [index, weight] of parts) {
      if (known !== index) {
        known = index; // two neighbours have the row between them in common
        const start = ((y0 + index) * image.width + x0) * step;
        row.fill(0);
        for (let x = 0, at = 0; x < width; x++, at += 3) {
          for (const [column, part] of across[x]!) {
            const pixel = start + column * step;
            for (let channel = 0; channel < 3; channel++) {
              row[at + channel]! += single(part * data[pixel + channel]!);
            }
          }
        }
      }
      for (let i = 0; i < row.length; i++) sum[i]! += single(weight * row[i]!);
    }
    out.set(exact ? sum.map((value) => Math.floor(value + 0.5)) : sum, y * width * 3);
  });
  return { data: out, width, height, step: 3 };
}

/** Bilinear samples at `matrix` of each pixel of a crop; past the border mirrored, or black. */
export function sample(
  image: Pixels,
  matrix: Matrix,
  [columns, rows]: Size,
  reflect: boolean,
): Uint8Array {
  const { data, width, height, step } = image;
  const [a, b, c, d, e, f] = matrix.map(single) as unknown as Matrix;
  const out = new Uint8ClampedArray(columns * rows * 3);
  const place = (index: number, length: number): number => {
    if (index >= 0 && index < length) return index;
    if (!reflect) return -1;
    if (length === 1) return 0;
    const period = 2 * length - 2;
    const inside = ((index % period) + period) % period;
    return inside < length ? inside : period - inside;
  };
  const mix = (from: number, to: number, fraction: number) =>
    single(fraction * single(to - from) + from);
  for (let y = 0, at = 0; y < rows; y++) {
    const [rowX, rowY] = [single(single(y * b) + c), single(single(y * e) + f)];
    for (let x = 0; x < columns; x++, at += 3) {
      const [sx, sy] = [single(x * a + rowX), single(x * d + rowY)];
      const [ix, iy] = [Math.floor(sx), Math.floor(sy)];
      const [fx, fy] = [single(sx - ix), single(sy - iy)];
      const [left, right] = [place(ix, width), place(ix + 1, width)];
      const [top, bottom] = [place(iy, height), place(iy + 1, height)];
      for (let channel = 0; channel < 3; channel++) {
        const pixel = (row: number, column: number): number =>
          row < 0 || column < 0 ? 0 : data[(row * width + column) * step + channel]!;
        const upper = mix(pixel(top, left), pixel(top, right), fx);
        const lower = mix(pixel(bottom, left), pixel(bottom, right), fx);
        out[at + channel] = mix(upper, lower, fy);
      }
    }
  }
  return new Uint8Array(out.buffer);
}
