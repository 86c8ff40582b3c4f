/** The camera: opened, described in plain words where it cannot be, read frame by frame. */

import { texts } from "./texts";

/** Longer side of the frames that are looked at; what is shown is the camera's own. */
const FRAME_SIDE = 640;

const WORDS: Record<string, "refused" | "noCamera" | "busyCamera"> = {
  NotAllowedError: "refused",
  NotFoundError: "noCamera",
  NotReadableError: "busyCamera",
};

function release(stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
}

export class Camera {
  private stream: MediaStream | null = null;
  /** Raised by every start and stop, so that a camera that comes after one is let go. */
  private turns = 0;
  private facing: "user" | "environment" = "user";

  constructor(private readonly video: HTMLVideoElement) {}

  get on(): boolean {
    return this.stream !== null;
  }

  /** Whether the picture is to be shown as in a mirror. */
  get mirrored(): boolean {
    return this.stream?.getVideoTracks()[0]?.getSettings().facingMode !== "environment";
  }

  /** Start; the error that is thrown says in words why not. `ended` is called when it is taken away.
   * A start or stop that comes before the camera does takes the place of this one. */
  async start(ended: () => void): Promise<void> {
    this.stop();
    const mine = this.turns;
    if (!navigator.mediaDevices) {
      throw new Error(texts().unsafe);
    }
    try {
      const stream = await navigator.mediaDevices.getUserMedia({
        video: { facingMode: this.facing, width: { ideal: 1280 }, height: { ideal: 720 } },
      });
      if (mine !== this.turns) return release(stream);
      this.stream = stream;
      this.video.srcObject = stream;
      stream.getVideoTracks()[0]!.addEventListener("ended", ended);
      await this.video.play();
    } catch (error) {
      if (mine === this.turns) this.stop();
      const { name, message } = error as DOMException;
      const known = WORDS[name];
      throw new Error(known ? texts()[known] : texts().noUse(message));
    }
  }

  stop(): void {
    this.turns += 1;
    if (this.stream) release(this.stream);
    this.stream = null;
    this.video.srcObject = null;
  }

  /** From the front to the back camera, or back, at the next start. */
  turn(): void {
    this.facing = this.facing === "user" ? "environment" : "user";
  }

  /** Whether there is another camera to turn to. */
  async several(): Promise<boolean> {
    const devices = await navigator.mediaDevices.enumerateDevices();
    return devices.filter(({ kind }) => kind === "videoinput").length > 1;
  }

  /** The next frame that the camera gives, reduced. */
  async frame(): Promise<ImageBitmap> {
    await new Promise<unknown>((next) =>
      "requestVideoFrameCallback" in this.video
        ? this.video.requestVideoFrameCallback(next)
        : setTimeout(next, 33),
    );
    const { videoWidth: width, videoHeight: height } = this.video;
    const scale = Math.min(1, FRAME_SIDE / Math.max(width, height));
    return createImageBitmap(this.video, {
      resizeWidth: Math.round(width * scale),
      resizeHeight: Math.round(height * scale),
      resizeQuality: "medium",
    });
  }
}
