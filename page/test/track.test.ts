import { expect, test } from "vitest";
import { AgeEstimator } from "../src/estimator";
import { FaceTracker } from "../src/track";
import type { Detection, Manifest, Pixels } from "../src/types";
import { golden } from "./golden";

const manifest = {
  version: "0",
  coverage: 0.9,
  min_score: 0.5,
  service: null,
  links: {},
  constants: golden.constants,
  detector: { file: "", bytes: 0, sha256: "" },
  age: {
    file: "",
    bytes: 0,
    sha256: "",
    metadata: {
      name: "",
      licence: "",
      size: golden.constants.quality.side,
      ages: [20, 21, 22, 23, 24, 25],
      template: golden.align.inputs.template,
    },
  },
} satisfies Manifest;
const image: Pixels = { data: new Uint8Array(300 * 200 * 3), width: 300, height: 200, step: 3 };

/** A face of 60 pixels at x; an age model that gives one age to all faces of a frame. */
function setting() {
  const state = { faces: [] as number[], age: 0, searches: 0 };
  const found = (): Detection[] =>
    state.faces.map((x) => ({
      box: { x1: x, y1: 50, x2: x + 60, y2: 110 },
      landmarks: golden.align.inputs.landmarks.map(([u, v]) => [x + u, 40 + v]),
      score: 0.9,
    }));
  const estimator = new AgeEstimator(
    manifest,
    async () => ({ boxes: new Float32Array(), logits: new Float32Array() }),
    async (_, count) =>
      Array.from({ length: count }, () => [0, 1, 2, 3, 4, 5].map((k) => +(k === state.age))),
  );
  estimator.detector.detect = async () => {
    state.searches += 1;
    return found();
  };
  estimator.detector.follow = async () => found();
  const tracker = new FaceTracker(estimator, golden.constants.memory);
  return { state, update: (time: number) => tracker.update(image, time, 18) };
}

test("a face that moves keeps its age, and another gets its own", async () => {
  const { state, update } = setting();
  state.faces = [20];
  await update(0);
  state.age = 4;
  state.faces = [45, 200];
  const [moved, other] = await update(0.1);
  expect(moved!.distribution).toEqual([0.5, 0, 0, 0, 0.5, 0]);
  expect(other!.distribution).toEqual([0, 0, 0, 0, 1, 0]);
});

test("a face that was away for long is a new one", async () => {
  const { state, update } = setting();
  const { lost_after } = golden.constants.memory;
  state.faces = [20];
  await update(0);
  state.age = 4;
  expect((await update(lost_after))[0]!.distribution![0]).toBe(0.5);
  expect((await update(2 * lost_after + 0.1))[0]!.distribution![0]).toBe(0);
});

test("the whole frame is searched every so often, and when a face is lost", async () => {
  const { state, update } = setting();
  const { detect_every } = golden.constants.memory;
  state.faces = [20];
  for (let k = 0; k <= detect_every; k++) await update(k / 30);
  expect(state.searches).toBe(2);
  state.faces = [];
  await update(1);
  expect(state.searches).toBe(3);
});
