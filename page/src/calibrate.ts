/** From a distribution over ages to what is said of a face: `agelens/calibrate.py`. */

import type { AgeModelFile, Interval } from "./types";

type Values = readonly number[];

/** The age below which a share `level` of the distribution lies. */
export function quantile(distribution: Values, ages: Values, level: number): number {
  const total = distribution.reduce((sum, mass) => sum + mass, 0);
  let before = 0;
  let index = 0;
  while (index < ages.length - 1 && before + distribution[index]! < level * total) {
    before += distribution[index++]!;
  }
  const share = (level * total - before) / Math.max(distribution[index]!, Number.MIN_VALUE);
  const years = ages[index]! - 0.5 + Math.min(Math.max(share, 0), 1);
  return Math.min(Math.max(years, ages[0]!), ages.at(-1)!);
}

/** How much of the distribution lies on ages likelier than each age, and on half of its own. */
function likelier(distribution: Values): number[] {
  const order = distribution.map((_, index) => index);
  order.sort((one, other) => distribution[other]! - distribution[one]!);
  const shares = new Array<number>(distribution.length);
  let sum = 0;
  for (const index of order) {
    sum += distribution[index]!;
    shares[index] = sum - distribution[index]! / 2;
  }
  return shares.map((share) => share / sum);
}

/** numpy's `interp`: piecewise linear, flat past the ends. */
function interpolate(x: number, xs: Values, ys: Values): number {
  const index = xs.findLastIndex((value) => value <= x);
  if (index < 0) return ys[0]!;
  if (index === xs.length - 1) return ys.at(-1)!;
  const share = (x - xs[index]!) / (xs[index + 1]! - xs[index]!);
  return ys[index]! + share * (ys[index + 1]! - ys[index]!);
}

/** What a model's distributions are worth. Without one they count as they are. */
export class Calibration {
  private readonly temperature: number;
  private readonly odds: Values;
  private readonly anchors: Values;
  private readonly levels: Values;
  private readonly limits: readonly Values[];

  constructor(known: AgeModelFile["metadata"]["calibration"]) {
    this.temperature = known?.temperature ?? 1;
    this.odds = known?.odds ?? [];
    this.anchors = known?.anchors ?? [0];
    this.levels = known?.levels ?? [0, 1];
    this.limits = known?.limits ?? [[0, 1]];
  }

  /** The distribution at this temperature and with these odds; it sums to 1. */
  calibrated(distribution: Values): number[] {
    const most = Math.max(...distribution);
    const mass = distribution.map(
      (value, index) => (value / most) ** (1 / this.temperature) * (this.odds[index] ?? 1),
    );
    const sum = mass.reduce((total, value) => total + value, 0);
    return mass.map((value) => value / sum);
  }

  /** Ages that the true one is among, with probability `coverage`; they hold the median. */
  interval(distribution: Values, ages: Values, coverage: number): Interval {
    const limits = this.limits.map((row) => interpolate(coverage, this.levels, row));
    const shares = likelier(distribution);
    const likeliest = distribution.indexOf(Math.max(...distribution));
    const inside = ages.filter(
      (age, index) =>
        index === likeliest || shares[index]! <= interpolate(age, this.anchors, limits),
    );
    const median = quantile(distribution, ages, 0.5);
    return {
      low: Math.min(inside[0]!, median),
      high: Math.max(inside.at(-1)!, median),
      coverage,
    };
  }
}
