import { expect, test } from "vitest";
import { FaceMemory, frameWeight } from "../src/memory";
import { expectClose, golden } from "./golden";

const known = golden.constants.memory;

test("the mean of the frames so far is Python's", () => {
  const memory = new FaceMemory(known);
  const { frames } = golden.memory.inputs;
  const means = frames.map((frame) => memory.add(frame.distribution, frameWeight(frame, known)));
  expect(frames.length).toBeGreaterThan(known.memory);
  expectClose(means, golden.memory.expected);
});
