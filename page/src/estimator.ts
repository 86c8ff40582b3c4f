/** The serve flow, image -> detect -> align -> model -> faces with ages: `agelens/estimator.py`. */

import { alignFace } from "./align";
import { Calibration, quantile } from "./calibrate";
import { FaceDetector, type Network } from "./detect";
import { measureQuality } from "./quality";
import { LANDMARKS, type Detection, type Face, type Manifest, type Pixels, type Quality } from "./types";

/** The age model: `count` crops `[size, size, 3]` in a row to a distribution each. */
export type AgeNetwork = (crops: Uint8Array, count: number) => Promise<number[][]>;

export interface Reading {
  found: Detection;
  quality: Quality;
  distribution: number[];
}

export class AgeEstimator {
  readonly detector: FaceDetector;
  private readonly calibration: Calibration;

  constructor(
    private readonly manifest: Manifest,
    detect: Network,
    private readonly predict: AgeNetwork,
  ) {
    this.detector = new FaceDetector(detect, manifest.min_score);
    this.calibration = new Calibration(manifest.age.metadata.calibration);
  }

  /** Every face of a picture, largest first, with the probability of having completed `age`. */
  async estimate(image: Pixels, age: number): Promise<Face[]> {
    const readings = await this.read(image, await this.detector.detect(image));
    return readings.map((reading) => this.conclude(reading, age));
  }

  /** What the model says of faces that were found. */
  async read(image: Pixels, detections: readonly Detection[]): Promise<Reading[]> {
    if (!detections.length) return [];
    const { size, template } = this.manifest.age.metadata;
    const crops = new Uint8Array(detections.length * size * size * 3);
    const qualities = detections.map(({ landmarks }, index) => {
      const crop = alignFace(image, landmarks, template, size);
      crops.set(crop, index * crop.length);
      return measureQuality(crop, landmarks, template, image.width, image.height);
    });
    const distributions = await this.predict(crops, detections.length);
    return detections.map((found, index) => ({
      found,
      quality: qualities[index]!,
      distribution: distributions[index]!,
    }));
  }

  /** The last step: what a distribution says of this face. */
  conclude({ found, quality, distribution }: Reading, age: number): Face {
    const { ages } = this.manifest.age.metadata;
    const calibrated = this.calibration.calibrated(distribution);
    const chance = calibrated.reduce((sum, mass, k) => (ages[k]! >= age ? sum + mass : sum), 0);
    return {
      age: quantile(calibrated, ages, 0.5),
      interval: this.calibration.interval(calibrated, ages, this.manifest.coverage),
      box: found.box,
      landmarks: Object.fromEntries(LANDMARKS.map((name, k) => [name, found.landmarks[k]!])),
      score: found.score,
      quality,
      at_least: { [age]: chance },
      distribution: calibrated,
      ages,
    };
  }
}
