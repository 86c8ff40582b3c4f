import { expect, test } from "vitest";
import { overlap, placeLabels, type Rectangle } from "../src/labels";
import type { Size } from "../src/types";

const frame: Size = [400, 300];
const label: Size = [70, 24];

function place(...faces: Rectangle[]) {
  return placeLabels(
    faces,
    faces.map(() => label),
    frame,
  );
}

test("a label stands above its face, and below one at the upper border", () => {
  const [above] = place({ x: 100, y: 100, width: 80, height: 80 });
  expect(above).toEqual([100, 71]);
  const [below] = place({ x: 100, y: 4, width: 80, height: 80 });
  expect(below).toEqual([100, 89]);
});

test("a label at the right border is moved into the picture", () => {
  const [corner] = place({ x: 360, y: 100, width: 60, height: 60 });
  expect(corner).toEqual([330, 71]);
});

test("a face as high as the picture has its label beside it", () => {
  const [corner] = place({ x: 100, y: 0, width: 150, height: 300 });
  expect(corner).toEqual([255, 0]);
});

test("a face that fills the picture has none", () => {
  expect(place({ x: -10, y: -10, width: 420, height: 320 })).toEqual([null]);
});

test("no label covers a face or another label, or leaves the picture, however they stand", () => {
  let state = 1;
  const random = (most: number) => {
    state = (state * 48271) % 2147483647;
    return (state / 2147483647) * most;
  };
  let placed = 0;
  for (let picture = 0; picture < 300; picture++) {
    const faces = Array.from({ length: 1 + Math.floor(random(12)) }, () => {
      const side = 15 + random(80);
      return { x: random(400) - side / 2, y: random(300) - side / 2, width: side, height: side };
    });
    const labels = place(...faces).flatMap((point) =>
      point ? [{ x: point[0], y: point[1], width: label[0], height: label[1] }] : [],
    );
    placed += labels.length;
    labels.forEach((one, index) => {
      expect(faces.some((face) => overlap(one, face))).toBe(false);
      expect(labels.some((other, k) => k !== index && overlap(one, other))).toBe(false);
      expect(one.x >= 0 && one.y >= 0).toBe(true);
      expect(one.x + one.width <= frame[0] && one.y + one.height <= frame[1]).toBe(true);
    });
  }
  expect(placed).toBeGreaterThan(1000);
});
