import { expect, test } from "vitest";
import { labelOf } from "../src/labels";
import { type Result, toJson, toTable } from "../src/results";
import type { Face } from "../src/types";
import { golden } from "./golden";

const face: Face = {
  age: 34.26,
  interval: { low: 28, high: 41, coverage: 0.9 },
  box: { x1: 1, y1: 2, x2: 31, y2: 32 },
  landmarks: Object.fromEntries(golden.landmarks.map((name) => [name, [1.5, 2.5]])),
  score: 0.9,
  quality: { ...golden.quality.expected[0]!, reasons: ["small", "dark"] },
  at_least: { 18: 0.97 },
  distribution: [1],
  ages: [34],
};

function result(name: string, found: Partial<Result> = {}): Result {
  return { file: new File([], name), url: "", ...found };
}

const two = result("a.jpg", { picture: { width: 60, height: 40, faces: [face, face] } });

test("a table has Python's columns, and a line for each face", () => {
  const [head, ...lines] = toTable([two, result("b.jpg", { error: "broken" })], ",")
    .trimEnd()
    .split("\n");
  expect(head!.split(",")).toEqual(golden.columns);
  expect(lines).toEqual([
    "a.jpg,1,34.26,28,41,0.9,1,2,31,32,small;dark,0.97",
    "a.jpg,2,34.26,28,41,0.9,1,2,31,32,small;dark,0.97",
  ]);
});

test("names that would break a table, or be computed by a spreadsheet, do neither", () => {
  const picture = { width: 60, height: 40, faces: [face] };
  const table = (name: string) => toTable([result(name, { picture })], ",").split("\n")[1]!;
  expect(table('a, "b".jpg')).toMatch(/^"a, ""b"".jpg",1,/);
  expect(table("=HYPERLINK(1).jpg")).toMatch(/^'=HYPERLINK/);
});

test("JSON is as Python's, without what only the page needs", () => {
  const [first, second] = JSON.parse(toJson([two, result("b.jpg", { error: "broken" })]));
  expect(Object.keys(first)).toEqual(["path", "width", "height", "error", "faces"]);
  expect(first.faces[0].age).toBe(34.26);
  expect(first.faces[0].distribution).toBeUndefined();
  expect(second).toEqual({ path: "b.jpg", width: 0, height: 0, error: "broken", faces: [] });
});

test("a label has the number of the face's card", () => {
  expect(labelOf(face, 2)).toBe("3: 34 (28–41)");
  expect(labelOf(face, 2, false)).toBe("3: 34");
});
