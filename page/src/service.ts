/** The service as what answers: `POST /v1/estimate`. */

import { texts } from "./texts";
import type { Picture } from "./types";

export class ServiceError extends Error {
  constructor(
    words: string,
    readonly status: number,
  ) {
    super(words);
  }
}

/** Send one picture; its faces. */
export async function ask(
  address: string,
  blob: Blob,
  age: number,
  coverage: number,
  key: string,
): Promise<Picture> {
  const url = new URL(address, document.baseURI);
  url.search = new URLSearchParams({ at_least: `${age}`, coverage: `${coverage}` }).toString();
  const type = blob.type.startsWith("image/") ? blob.type : "application/octet-stream";
  const headers = { "Content-Type": type, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  let response: Response;
  try {
    response = await fetch(url, { method: "POST", body: blob, headers });
  } catch {
    throw new ServiceError(texts().unreachable, 0);
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer.pictures[0] as Picture;
  throw new ServiceError(answer.detail ?? texts().answered(response.status), response.status);
}
