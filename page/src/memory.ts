/** What is remembered of a face from frame to frame: `agelens/pipeline/memory.py`. */

import type { MemoryConstants, Quality } from "./types";

/** How much a frame counts in its face's age, over 0 and up to 1. */
export function frameWeight({ reasons }: Pick<Quality, "reasons">, known: MemoryConstants): number {
  return known.fault_weight ** reasons.length;
}

/** The weighted mean of the distributions that one face had in the frames so far. */
export class FaceMemory {
  private total: number[] = [];
  private weight = 0;

  constructor(private readonly known: MemoryConstants) {}

  /** Add a frame; the mean distribution so far. */
  add(distribution: readonly number[], weight: number): number[] {
    const room = Math.max(0, this.known.memory - weight);
    const kept = this.weight ? Math.min(1, room / this.weight) : 0;
    this.total = distribution.map((mass, k) => kept * (this.total[k] ?? 0) + weight * mass);
    this.weight = kept * this.weight + weight;
    return this.total.map((sum) => sum / this.weight);
  }
}
