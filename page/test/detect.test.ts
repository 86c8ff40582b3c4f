import { expect, test } from "vitest";
import { FaceDetector, type Network } from "../src/detect";
import { expectClose, golden, type RecordedView } from "./golden";

const { detector, views: places } = golden.constants;
const { min_score, pictures } = golden.detector.inputs;

/** The network's recorded answers, one after the other. */
function replay(views: RecordedView[]): Network {
  const left = [...views];
  return async (pixels, [width, height]) => {
    const view = left.shift()!;
    expect([width, height]).toEqual(view.size);
    expect(pixels.length).toBe(width * height * 3);
    const count = (width * height) / detector.stride ** 2;
    const logits = new Float32Array(count).fill(-10);
    const boxes = new Float32Array(count * 16);
    view.anchors.forEach((anchor, k) => {
      logits[anchor] = view.logits[k]!;
      boxes.set(view.boxes[k]!, anchor * 16);
    });
    return { boxes, logits };
  };
}

test.each(pictures.map((picture, index) => ({ ...picture, index })))(
  "picture $index: from the network's answers to Python's faces",
  async ({ width, height, views, index }) => {
    const image = { data: new Uint8Array(width * height * 3), width, height, step: 3 as const };
    const found = await new FaceDetector(replay(views), detector, places, min_score).detect(image);
    expectClose(found, golden.detector.expected[index]);
  },
);

test("known faces are followed with one view each, or two where they are unsure", async () => {
  const { width, height, views } = pictures[0]!;
  const image = { data: new Uint8Array(width * height * 3), width, height, step: 3 as const };
  const known = await new FaceDetector(replay(views), detector, places, min_score).detect(image);
  const sizes: number[] = [];
  const blind: Network = async (_, [side, other]) => {
    sizes.push(side);
    const count = (side * other) / detector.stride ** 2;
    return { boxes: new Float32Array(count * 16), logits: new Float32Array(count).fill(-10) };
  };
  expect(await new FaceDetector(blind, detector, places, min_score).follow(image, known)).toEqual(
    [],
  );
  expect(sizes).toEqual(known.map(() => detector.around * detector.face));
});
