/** From a distribution over ages to an age and an interval: `agelens/pipeline/calibration.py`. */

import type { CalibrationValues, Interval } from "./types";

type Values = readonly number[];

/** The age below which the fraction `level` of the distribution lies. */
export function quantile(distribution: Values, ages: Values, level: number): number {
  const total = distribution.reduce((sum, mass) => sum + mass, 0);
  let before = 0;
  let index = 0;
  while (index < ages.length - 1 && before + distribution[index]! < level * total) {
    before += distribution[index++]!;
  }
  const fraction = (level * total - before) / Math.max(distribution[index]!, Number.MIN_VALUE);
  const years = ages[index]! - 0.5 + Math.min(Math.max(fraction, 0), 1);
  return Math.min(Math.max(years, ages[0]!), ages.at(-1)!);
}

/** The probability of all ages that are more probable than each age, plus half of its own. */
export function densityRank(distribution: Values): number[] {
  const order = distribution.map((_, index) => index);
  order.sort((one, other) => distribution[other]! - distribution[one]!);
  const rank = new Array<number>(distribution.length);
  let sum = 0;
  for (const index of order) {
    sum += distribution[index]!;
    rank[index] = sum - distribution[index]! / 2;
  }
  return rank.map((value) => value / sum);
}

/** numpy's `interp`: piecewise linear, flat past the ends. */
function interpolate(x: number, xs: Values, ys: Values): number {
  const index = xs.findLastIndex((value) => value <= x);
  if (index < 0) return ys[0]!;
  if (index === xs.length - 1) return ys.at(-1)!;
  const fraction = (x - xs[index]!) / (xs[index + 1]! - xs[index]!);
  return ys[index]! + fraction * (ys[index + 1]! - ys[index]!);
}

/** How to correct a model's distributions, and how wide intervals must be. */
export class Calibration {
  private readonly values: CalibrationValues;

  /** Of the values that a model file has; without them it changes nothing. */
  constructor(values: CalibrationValues | null | undefined) {
    this.values = values ?? {
      temperature: 1,
      class_bias: [1],
      anchors: [0],
      levels: [0, 1],
      score_quantiles: [[0, 1]],
    };
  }

  /** The corrected distribution; it sums to 1. */
  calibrated(distribution: Values): number[] {
    const { temperature, class_bias } = this.values;
    const most = Math.max(...distribution);
    const mass = distribution.map(
      (value, index) => (value / most) ** (1 / temperature) * (class_bias[index] ?? class_bias[0]!),
    );
    const sum = mass.reduce((total, value) => total + value, 0);
    return mass.map((value) => value / sum);
  }

  /** Ages that the true one is among, with probability `coverage`; they hold the median. */
  interval(distribution: Values, ages: Values, coverage: number): Interval {
    const { anchors, levels, score_quantiles } = this.values;
    const atAnchors = score_quantiles.map((row) => interpolate(coverage, levels, row));
    const rank = densityRank(distribution);
    const mostProbable = distribution.indexOf(Math.max(...distribution));
    const inside = ages.filter(
      (age, index) =>
        index === mostProbable || rank[index]! <= interpolate(age, anchors, atAnchors),
    );
    const median = quantile(distribution, ages, 0.5);
    return {
      low: Math.min(inside[0]!, median),
      high: Math.max(inside.at(-1)!, median),
      coverage,
    };
  }
}
