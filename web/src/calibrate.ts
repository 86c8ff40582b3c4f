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

/** How much of the distribution lies below the middle of each age. */
function rank(distribution: Values): number[] {
  let sum = 0;
  const middles = distribution.map((mass) => (sum += mass) - mass / 2);
  return middles.map((middle) => middle / sum);
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
  private readonly anchors: Values;
  private readonly levels: Values;
  private readonly ranks: readonly Values[];

  constructor(known: AgeModelFile["metadata"]["calibration"]) {
    this.temperature = known?.temperature ?? 1;
    this.anchors = known?.anchors ?? [0];
    this.levels = known?.levels ?? [0, 1];
    this.ranks = known?.ranks ?? [[0, 1]];
  }

  /** The distribution at this temperature; it sums to 1. */
  tempered(distribution: Values): number[] {
    const most = Math.max(...distribution);
    const mass = distribution.map((value) => (value / most) ** (1 / this.temperature));
    const sum = mass.reduce((total, value) => total + value, 0);
    return mass.map((value) => value / sum);
  }

  /** Ages that the true one is among, with probability `coverage`; they hold the median. */
  interval(distribution: Values, ages: Values, coverage: number): Interval {
    const [lows, highs] = [(1 - coverage) / 2, (1 + coverage) / 2].map((level) =>
      this.ranks.map((row) => interpolate(level, this.levels, row)),
    ) as [number[], number[]];
    const ranks = rank(distribution);
    const distance = ranks.map((value) => Math.abs(value - 0.5));
    const middle = distance.indexOf(Math.min(...distance));
    const inside = ages.filter((age, index) => {
      const low = interpolate(age, this.anchors, lows);
      const high = interpolate(age, this.anchors, highs);
      return index === middle || (ranks[index]! >= low && ranks[index]! <= high);
    });
    const median = quantile(distribution, ages, 0.5);
    return {
      low: Math.min(inside[0]!, median),
      high: Math.max(inside.at(-1)!, median),
      coverage,
    };
  }
}
