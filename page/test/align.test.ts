import { expect, test } from "vitest";
import { alignFace, fitSimilarity, warp } from "../src/align";
import { expectClose, expectPixels, golden, unpack } from "./golden";

test("a similarity is Python's", () => {
  const { source, target } = golden.similarity.inputs;
  expectClose(fitSimilarity(source, target), golden.similarity.expected);
});

test("points that all coincide cannot be aligned", () => {
  expect(() =>
    fitSimilarity(
      [
        [1, 2],
        [1, 2],
      ],
      [
        [0, 0],
        [1, 1],
      ],
    ),
  ).toThrow("coincide");
});

const { image, cases } = golden.warp.inputs;
test.each(cases.map((values, index) => ({ ...values, index })))(
  "warp $index gives Python's pixels",
  ({ matrix, size, reflect, index }) => {
    expectPixels(warp(unpack(image), matrix, size, reflect), golden.warp.expected[index]!);
  },
);

test("a picture with a fourth channel, as a canvas has it, gives the same pixels", () => {
  const { data, width, height } = unpack(image);
  const four = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let k = 0; k < width * height; k++) four.set(data.subarray(3 * k, 3 * k + 3), 4 * k);
  const canvas = { data: four, width, height, step: 4 as const };
  cases.forEach(({ matrix, size, reflect }, index) => {
    expectPixels(warp(canvas, matrix, size, reflect), golden.warp.expected[index]!);
  });
});

test("an aligned face has Python's pixels", () => {
  const { landmarks, template, size, image } = golden.align.inputs;
  expectPixels(alignFace(unpack(image), landmarks, template, size), golden.align.expected);
});
