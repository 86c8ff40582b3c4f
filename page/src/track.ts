/**
 * Faces of the camera: who is who from frame to frame, and an age that settles. As
 * `agelens/track.py`, but a face is known again by overlap alone.
 */

import { iou } from "./detect";
import type { AgeEstimator, Reading } from "./estimator";
import type { Box, Detection, Face, Pixels } from "./types";

const DETECT_EVERY = 5;
/** Seconds that a face may be hidden and still keep its age. */
const LOST_AFTER = 2;
/** Good frames that an age rests on at most. */
const MEMORY = 150;
const FAULT_WEIGHT = 0.2;
const MIN_OVERLAP = 0.1;

interface Track {
  box: Box;
  total: number[];
  weight: number;
  seen: number;
}

export class FaceTracker {
  private known: Detection[] = [];
  private sinceDetection = 0;
  private tracks: Track[] = [];

  constructor(private readonly estimator: AgeEstimator) {}

  /** The faces of the next frame, at `time` in seconds, largest first. */
  async update(image: Pixels, time: number, age: number): Promise<Face[]> {
    this.known = await this.find(image);
    const readings = await this.estimator.read(image, this.known);
    this.tracks = this.tracks.filter((track) => time - track.seen <= LOST_AFTER);
    const free = new Set(this.tracks);
    return readings.map((reading) => {
      const distribution = this.remember(reading, free, time);
      return this.estimator.conclude({ ...reading, distribution }, age);
    });
  }

  private async find(image: Pixels): Promise<Detection[]> {
    const { detector } = this.estimator;
    this.sinceDetection += 1;
    if (this.known.length && this.sinceDetection < DETECT_EVERY) {
      const found = await detector.follow(image, this.known);
      if (found.length === this.known.length) return found;
    }
    this.sinceDetection = 0;
    return detector.detect(image);
  }

  /** Add a frame to its face's track; the mean distribution of the track. */
  private remember({ found, quality, distribution }: Reading, free: Set<Track>, time: number) {
    const overlap = (track: Track) => iou(track.box, found.box);
    const [best] = [...free].sort((a, b) => overlap(b) - overlap(a));
    let track = best;
    if (!track || overlap(track) < MIN_OVERLAP) {
      track = { box: found.box, total: distribution.map(() => 0), weight: 0, seen: time };
      this.tracks.push(track);
    }
    free.delete(track);
    const weight = FAULT_WEIGHT ** quality.reasons.length;
    const kept = track.weight ? Math.min(1, (MEMORY - weight) / track.weight) : 0;
    track.total = track.total.map((sum, k) => kept * sum + weight * distribution[k]!);
    track.weight = kept * track.weight + weight;
    track.box = found.box;
    track.seen = time;
    const whole = track.weight;
    return track.total.map((sum) => sum / whole);
  }
}
