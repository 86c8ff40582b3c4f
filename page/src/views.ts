/** Where faces are looked for in a picture. See `agelens/pipeline/views.py`, which says why. */

import { invert, reduce, rint, sample } from "./align";
import type { Matrix, Pixels, Point, Size, ViewConstants } from "./types";

/** A rectangle of the picture: its centre, pixels of the view per pixel of the picture, its size in
 * the view, and the angle of its upper side. */
export interface View {
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
export class Pyramid {
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

/** From the picture to the view. */
export function toMatrix({ centre: [x, y], scale, size: [width, height], angle }: View): Matrix {
  const [cos, sin] = [scale * Math.cos(angle), scale * Math.sin(angle)];
  return [cos, sin, width / 2 - cos * x - sin * y, -sin, cos, height / 2 + sin * x - cos * y];
}

/** The views of a picture, round by round: the next only when no face in those before is sure. */
export function* rounds(
  width: number,
  height: number,
  known: ViewConstants,
  turned = true,
): Generator<View[]> {
  const pieces = strips(width, height, known);
  let parts = tiles(width, height, known);
  // Strips of such a scale show all that tiles would.
  if (pieces.length && parts.length && pieces[0]!.scale >= parts[0]!.scale) parts = [];
  const first = [whole(width, height, 0, known), ...pieces, ...parts];
  yield first;
  for (const border of known.borders) yield [whole(width, height, border, known)];
  if (!turned) return;
  const [picture] = first;
  const size: Size = [picture!.size[1], picture!.size[0]];
  yield [
    ...first.map((view) => ({ ...view, angle: Math.PI })),
    ...[-1, 1].map((way) => ({ ...picture!, size, angle: (way * Math.PI) / 2 })),
  ];
}

/** The view of the whole picture, with a border around or without. */
function whole(
  width: number,
  height: number,
  border: number,
  { coarse_view, unit }: ViewConstants,
): View {
  const around = 2 * border * Math.max(width, height);
  const scale = coarse_view / (Math.max(width, height) + around);
  const size: Size = [
    units((width + around) * scale, unit),
    units((height + around) * scale, unit),
  ];
  return { centre: [width / 2, height / 2], scale, size, angle: 0 };
}

/** The pieces of a long narrow picture, each as large as other pictures. */
function strips(width: number, height: number, known: ViewConstants): View[] {
  const { coarse_view, longest_strip, max_tiles, narrow, unit } = known;
  const [shorter, longer] = [Math.min(width, height), Math.max(width, height)];
  if (longer <= narrow * shorter) return [];
  const most = (longer + (max_tiles - 1) * shorter) / max_tiles;
  const scale = Math.min(1, coarse_view / shorter, longest_strip / most);
  const [common, needed] = [shorter * scale, longer * scale];
  const pieces = Number(((needed - common) / (longest_strip - common)).toFixed(6));
  const count = Math.max(1, Math.ceil(pieces));
  const long = units((needed + (count - 1) * common) / count, unit);
  const thick = units(shorter * scale, unit);
  const half = long / scale / 2;
  const centres = count === 1 ? [longer / 2] : spaced(half, longer - half, count);
  return centres.map(
    (place): View =>
      width > height
        ? { centre: [place, height / 2], scale, size: [long, thick], angle: 0 }
        : { centre: [width / 2, place], scale, size: [thick, long], angle: 0 },
  );
}

/** The overlapping rectangles in which a large picture is searched, at most so many. */
function tiles(width: number, height: number, known: ViewConstants): View[] {
  const { tile_side, tile_view, max_tiles } = known;
  if (Math.max(width, height) <= tile_side) return [];
  for (let side = tile_side; ; side *= 1.05) {
    const scale = tile_view / side;
    const [tall, rows] = spread(height, scale, known);
    const [wide, columns] = spread(width, scale, known);
    if (rows.length * columns.length > max_tiles) continue;
    return rows.flatMap((y) =>
      columns.map((x): View => ({ centre: [x, y], scale, size: [wide, tall], angle: 0 })),
    );
  }
}

/** Tiles along one axis: their length in the view, and their centres in the picture. */
function spread(
  length: number,
  scale: number,
  { tile_view, longest_tile, unit }: ViewConstants,
): [view: number, centres: number[]] {
  const [needed, common] = [length * scale, tile_view / 4];
  const count = Math.max(1, Math.ceil((needed - common) / (longest_tile - common)));
  const view = units((needed + (count - 1) * common) / count, unit);
  const half = Math.min(view / scale, length) / 2;
  return [view, spaced(half, length - half, count)];
}

/** So many places at equal distances. */
function spaced(first: number, last: number, count: number): number[] {
  const step = count === 1 ? 0 : (last - first) / (count - 1);
  return Array.from({ length: count }, (_, k) => first + k * step);
}

/** The next side that a view can have. */
function units(length: number, unit: number): number {
  return unit * Math.max(1, Math.ceil(Number((length / unit).toFixed(6))));
}
