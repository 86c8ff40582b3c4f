import { expect, test } from "vitest";
import { alignFace } from "../src/align";
import { measureQuality, withInterval } from "../src/quality";
import { LANDMARKS } from "../src/types";
import { golden, unpack } from "./golden";

const known = golden.constants.quality;
const { template, faces } = golden.quality.inputs;

test.each(faces.map((face, index) => ({ ...face, index })))(
  "face $index has Python's quality",
  ({ image, landmarks, side, score, width: years, index }) => {
    const pixels = unpack(image);
    const crop = alignFace(pixels, landmarks, template, side);
    const { width, height } = pixels;
    const measured = measureQuality(crop, landmarks, template, width, height, known, score);
    const found = withInterval(measured, years, known);
    const { reasons, ...measures } = golden.quality.expected[index]!;
    expect(found.reasons).toEqual(reasons);
    for (const [name, value] of Object.entries(measures)) {
      // Single precision, as OpenCV computes some of them.
      expect(found[name as keyof typeof measures], name).toBeCloseTo(value, 5);
    }
  },
);

test("landmarks have Python's names, in its order", () => {
  expect(LANDMARKS).toEqual(golden.landmarks);
});
