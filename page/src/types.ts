/** What the modules hand each other. Coordinates are pixels, (0, 0) the outer corner of the first. */

export type Point = readonly [x: number, y: number];
export type Size = readonly [width: number, height: number];

/** `[a, b, c, d, e, f]` takes x, y to `a x + b y + c`, `d x + e y + f`. */
export type Matrix = readonly [number, number, number, number, number, number];

/** Rows of pixels, `step` bytes each, of which the first three are red, green and blue. */
export interface Pixels {
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
  step: 3 | 4;
}

export interface Box {
  x1: number;
  y1: number;
  x2: number;
  y2: number;
}

/** Right and left are the person's own. */
export const LANDMARKS = [
  "right_eye",
  "left_eye",
  "nose",
  "mouth",
  "right_ear",
  "left_ear",
] as const;

export interface Detection {
  box: Box;
  /** In the order of `LANDMARKS`. */
  landmarks: Point[];
  score: number;
}

export interface Interval {
  low: number;
  high: number;
  coverage: number;
}

export type Fault =
  | "small"
  | "blurred"
  | "dark"
  | "bright"
  | "turned"
  | "cut off"
  | "stretched"
  | "drawn"
  | "unlike a face"
  | "unsure";

export interface Quality {
  size: number;
  sharpness: number;
  brightness: number;
  contrast: number;
  yaw: number;
  cut_off: number;
  stretch: number;
  texture: number;
  reasons: Fault[];
}

/** A face as Python's `Face.to_dict` and the service's version 1 have it. */
export interface Face {
  age: number;
  interval: Interval;
  box: Box;
  landmarks: Record<string, Point>;
  score: number;
  quality: Quality;
  at_least: Record<string, number>;
  /** Probability of each of `ages`; the service does not send it. */
  distribution?: number[];
  ages?: number[];
}

export interface Picture {
  width: number;
  height: number;
  faces: Face[];
}

/** A file that the page loads, as `agelens.page.files` describes it. */
export interface ModelFile {
  file: string;
  bytes: number;
  sha256: string;
}

/** How a model's distributions are corrected: `agelens.pipeline.calibration.Calibration`. */
export interface CalibrationValues {
  temperature: number;
  class_bias: number[];
  anchors: number[];
  levels: number[];
  score_quantiles: number[][];
}

export interface AgeModelFile extends ModelFile {
  metadata: {
    name: string;
    licence: string;
    size: number;
    ages: number[];
    template: Point[];
    calibration?: CalibrationValues | null;
  };
}

/** Python's own constants, which `agelens.page.constants` collects. What each means is said there. */
export interface DetectorConstants {
  stride: number;
  coarse_score: number;
  face: number;
  weak: number;
  around: number;
  sure: number;
  both: number;
  askew: number;
  enough: number;
  overlap: number;
}

export interface ViewConstants {
  unit: number;
  coarse_view: number;
  borders: number[];
  tile_side: number;
  tile_view: number;
  longest_tile: number;
  max_tiles: number;
  narrow: number;
  longest_strip: number;
}

export interface MemoryConstants {
  detect_every: number;
  lost_after: number;
  memory: number;
  fault_weight: number;
  min_overlap: number;
}

export interface QualityConstants {
  nose_depth: number;
  min_size: number;
  side: number;
  min_sharpness: number;
  rounding: number;
  brightness: [least: number, most: number];
  max_yaw: number;
  max_cut_off: number;
  stretch: number[];
  max_stretch: [narrowest: number, widest: number];
  min_score: number;
  min_texture: number;
  unclipped: [darkest: number, brightest: number];
  max_width: number;
  width_coverage: number;
}

export interface Constants {
  detector: DetectorConstants;
  images: { min_side: number };
  memory: MemoryConstants;
  quality: QualityConstants;
  views: ViewConstants;
}

/** `models/manifest.json`. */
export interface Manifest {
  version: string;
  coverage: number;
  min_score: number;
  constants: Constants;
  /** Where pictures can be sent instead; null where the page comes without a service. */
  service: string | null;
  /** Addresses to read on at. */
  links: Record<string, string>;
  age: AgeModelFile;
  detector: ModelFile;
}
