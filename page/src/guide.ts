/** What whoever is before the camera can do for a better estimate. */

import type { Face, Fault } from "./types";

/** Mean grey levels, 0 to 1, of a face or a frame that more, or less, light would do good. An age can
 * still be read off darker faces, but they are found late, and look blurred. */
const DARK = 0.12;
const BRIGHT = 0.85;
/** What whoever is before the camera cannot change. */
const GIVEN: readonly Fault[] = ["stretched", "drawn", "unsure"];
/** Pixels of a frame's longer side for which a face should have one. */
const SMALL = 14;

/** The most helpful advice; "oval" if there is no face, null once the face is good.
 * `light` is the mean grey level of the frame, 0 to 1, `side` its longer side in pixels. */
export function adviceFor(
  face: Face | undefined,
  light: number,
  side: number,
): Fault | "oval" | null {
  const brightness = face?.quality.brightness ?? light;
  if (brightness < DARK) return "dark";
  if (brightness > BRIGHT) return "bright";
  if (!face) return "oval";
  if (face.quality.size < side / SMALL) return "small";
  return face.quality.reasons.find((one) => !GIVEN.includes(one)) ?? null;
}

/** The mean grey level of a frame, 0 to 1. */
export function lightOf(frame: ImageBitmap): number {
  const [width, height] = [16, 12];
  const context = new OffscreenCanvas(width, height).getContext("2d", {
    willReadFrequently: true,
  })!;
  context.drawImage(frame, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  let sum = 0;
  for (let k = 0; k < data.length; k += 4) {
    sum += 0.299 * data[k]! + 0.587 * data[k + 1]! + 0.114 * data[k + 2]!;
  }
  return sum / (255 * width * height);
}
