/** What Python computes: golden.json, which tests/page/golden.py writes. */

import { readFileSync } from "node:fs";
import { expect } from "vitest";
import type {
  Box,
  CalibrationValues,
  Constants,
  Fault,
  Matrix,
  Pixels,
  Point,
  Quality,
  Size,
} from "../src/types";

interface Packed {
  width: number;
  height: number;
  rgb: string;
}

interface Part<Inputs, Expected> {
  inputs: Inputs;
  expected: Expected;
}

export interface RecordedView {
  size: Size;
  anchors: number[];
  logits: number[];
  boxes: number[][];
}

interface Golden {
  constants: Constants;
  landmarks: string[];
  /** Of a table of faces. */
  columns: string[];
  similarity: Part<{ source: Point[]; target: Point[] }, Matrix>;
  warp: Part<
    { image: Packed; cases: { matrix: Matrix; size: Size; reflect: boolean }[] },
    Packed[]
  >;
  align: Part<{ image: Packed; landmarks: Point[]; template: Point[]; size: number }, Packed>;
  detector: Part<
    {
      min_score: number;
      pictures: { width: number; height: number; views: RecordedView[] }[];
    },
    { box: Box; landmarks: Point[]; score: number }[][]
  >;
  calibration: Part<
    {
      ages: number[];
      coverages: number[];
      distributions: number[][];
      calibrations: (CalibrationValues | null)[];
    },
    {
      calibrated: number[][];
      rank: number[][];
      median: number[];
      intervals: [low: number, high: number][][];
    }[]
  >;
  quality: Part<
    {
      template: Point[];
      faces: { image: Packed; landmarks: Point[]; side: number; score: number; width: number }[];
    },
    Quality[]
  >;
  memory: Part<{ frames: { distribution: number[]; reasons: Fault[] }[] }, number[][]>;
}

export const golden = JSON.parse(
  readFileSync(new URL("./golden.json", import.meta.url), "utf-8"),
) as Golden;

export function unpack({ width, height, rgb }: Packed): Pixels {
  return { data: Uint8Array.from(Buffer.from(rgb, "base64")), width, height, step: 3 };
}

/** Numbers agree to 1e-6 of their size or of 1, however they are nested. */
export function expectClose(found: unknown, expected: unknown, path = "it"): void {
  if (typeof expected === "number") {
    const distance = Math.abs((found as number) - expected);
    const room = 1e-6 * Math.max(1, Math.abs(expected));
    expect(distance, `${path}: ${found} for ${expected}`).toBeLessThanOrEqual(room);
  } else if (expected !== null && typeof expected === "object") {
    expect(Object.keys(found as object), path).toEqual(Object.keys(expected));
    for (const [key, value] of Object.entries(expected)) {
      expectClose((found as Record<string, unknown>)[key], value, `${path}.${key}`);
    }
  } else {
    expect(found, path).toEqual(expected);
  }
}

/** Pixels agree to 1 grey level. */
export function expectPixels(found: Uint8Array, expected: Packed): void {
  const data = Array.from(unpack(expected).data);
  expect(found.length).toBe(data.length);
  const most = data.reduce((worst, value, k) => Math.max(worst, Math.abs(value - found[k]!)), 0);
  expect(most).toBeLessThanOrEqual(1);
}
