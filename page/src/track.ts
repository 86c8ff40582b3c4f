/**
 * Faces of the camera: who is who from frame to frame, and an age that settles. As
 * `agelens/video/tracker.py`, but a face is known again by overlap alone.
 */

import { iou } from "./detect";
import type { AgeEstimator } from "./estimator";
import { FaceMemory, frameWeight } from "./memory";
import type { Box, Detection, Face, MemoryConstants, Pixels } from "./types";

interface Track {
  box: Box;
  memory: FaceMemory;
  seen: number;
}

export class FaceTracker {
  private detections: Detection[] = [];
  private sinceDetection = 0;
  private tracks: Track[] = [];

  constructor(
    private readonly estimator: AgeEstimator,
    private readonly known: MemoryConstants,
  ) {}

  /** The faces of the next frame, at `time` in seconds, largest first. */
  async update(image: Pixels, time: number, age: number): Promise<Face[]> {
    this.detections = await this.find(image);
    const crops = this.estimator.preprocess(image, this.detections);
    const distributions = await this.estimator.predict(crops);
    this.tracks = this.tracks.filter((track) => time - track.seen <= this.known.lost_after);
    const free = new Set(this.tracks);
    const means = distributions.map((distribution, index) => {
      const track = this.identify(crops.detections[index]!.box, free, time);
      const weight = frameWeight(crops.qualities[index]!, this.known);
      return track.memory.add(distribution, weight);
    });
    return this.estimator.postprocess(means, crops, age);
  }

  private async find(image: Pixels): Promise<Detection[]> {
    const { detector } = this.estimator;
    this.sinceDetection += 1;
    if (this.detections.length && this.sinceDetection < this.known.detect_every) {
      const found = await detector.follow(image, this.detections);
      if (found.length === this.detections.length) return found;
    }
    this.sinceDetection = 0;
    return detector.detect(image, false);
  }

  /** The track of the face in this box: the one of `free` that overlaps most, else a new one. */
  private identify(box: Box, free: Set<Track>, time: number): Track {
    const overlap = (track: Track) => iou(track.box, box);
    let [track] = [...free].sort((a, b) => overlap(b) - overlap(a));
    if (!track || overlap(track) < this.known.min_overlap) {
      track = { box, memory: new FaceMemory(this.known), seen: time };
      this.tracks.push(track);
    }
    free.delete(track);
    track.box = box;
    track.seen = time;
    return track;
  }
}
