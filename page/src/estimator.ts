/** The serve flow, preprocess -> predict -> postprocess: `agelens/estimator.py`. */

import { alignFace } from "./align";
import { Calibration, quantile } from "./calibration";
import { FaceDetector, type Network } from "./detect";
import { measureQuality, withInterval } from "./quality";
import {
  type Detection,
  type Face,
  LANDMARKS,
  type Manifest,
  type Pixels,
  type Quality,
} from "./types";

/** The age model: `count` crops `[size, size, 3]` in a row to a distribution each. */
export type AgeNetwork = (crops: Uint8Array, count: number) => Promise<number[][]>;

/** The faces of one picture, largest first, ready for the model: one entry of each for a face. */
export interface FaceCrops {
  detections: readonly Detection[];
  qualities: Quality[];
  crops: Uint8Array;
}

export class AgeEstimator {
  readonly detector: FaceDetector;
  private readonly calibration: Calibration;

  constructor(
    private readonly manifest: Manifest,
    detect: Network,
    private readonly model: AgeNetwork,
  ) {
    this.detector = new FaceDetector(
      detect,
      manifest.constants.detector,
      manifest.constants.views,
      manifest.min_score,
    );
    this.calibration = new Calibration(manifest.age.metadata.calibration);
  }

  /** Every face of a picture, largest first, with the probability of having completed `age`. */
  async estimate(image: Pixels, age: number): Promise<Face[]> {
    const crops = this.preprocess(image, await this.detector.detect(image));
    return this.postprocess(await this.predict(crops), crops, age);
  }

  /** Cut known faces out, aligned, and measure their quality. */
  preprocess(image: Pixels, detections: readonly Detection[]): FaceCrops {
    const { size, template } = this.manifest.age.metadata;
    const known = this.manifest.constants.quality;
    const crops = new Uint8Array(detections.length * size * size * 3);
    const qualities = detections.map(({ landmarks, score }, index) => {
      const crop = alignFace(image, landmarks, template, size);
      crops.set(crop, index * crop.length);
      return measureQuality(crop, landmarks, template, image.width, image.height, known, score);
    });
    return { detections, qualities, crops };
  }

  /** The model's own distribution of each face, not calibrated yet. */
  async predict({ detections, crops }: FaceCrops): Promise<number[][]> {
    return detections.length ? this.model(crops, detections.length) : [];
  }

  /** Calibrate the distributions, and read ages and intervals off. */
  postprocess(
    distributions: readonly (readonly number[])[],
    { detections, qualities }: FaceCrops,
    age: number,
  ): Face[] {
    const { ages } = this.manifest.age.metadata;
    const known = this.manifest.constants.quality;
    return distributions.map((distribution, index) => {
      const { box, landmarks, score } = detections[index]!;
      const calibrated = this.calibration.calibrated(distribution);
      const { coverage } = this.manifest;
      const interval = this.calibration.interval(calibrated, ages, coverage);
      const judged =
        coverage === known.width_coverage
          ? interval
          : this.calibration.interval(calibrated, ages, known.width_coverage);
      const chance = calibrated.reduce((sum, mass, k) => (ages[k]! >= age ? sum + mass : sum), 0);
      return {
        age: quantile(calibrated, ages, 0.5),
        interval,
        box,
        landmarks: Object.fromEntries(LANDMARKS.map((name, k) => [name, landmarks[k]!])),
        score,
        quality: withInterval(qualities[index]!, judged.high - judged.low, known),
        at_least: { [age]: chance },
        distribution: calibrated,
        ages,
      };
    });
  }
}
