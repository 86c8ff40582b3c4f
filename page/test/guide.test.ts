import { expect, test } from "vitest";
import { adviceFor } from "../src/guide";
import type { Face, Fault } from "../src/types";

const face = (brightness: number, size: number, reasons: Fault[] = []) =>
  ({ quality: { brightness, size, reasons } }) as unknown as Face;

test("without a face, light matters before the oval", () => {
  expect(adviceFor(undefined, 0.05, 640)).toBe("dark");
  expect(adviceFor(undefined, 0.95, 640)).toBe("bright");
  expect(adviceFor(undefined, 0.5, 640)).toBe("oval");
});

test("a dark face looks blurred, and needs light", () => {
  expect(adviceFor(face(0.06, 100, ["blurred"]), 0.5, 640)).toBe("dark");
  expect(adviceFor(face(0.5, 100, ["blurred"]), 0.02, 640)).toBe("blurred");
});

test("a small face comes closer, a good one is left alone", () => {
  expect(adviceFor(face(0.5, 30), 0.5, 640)).toBe("small");
  expect(adviceFor(face(0.5, 100), 0.5, 640)).toBeNull();
});
