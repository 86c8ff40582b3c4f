/** What was found in pictures, to take away: a table, JSON, a picture with the ages drawn. */

import { labelOf, placeLabels } from "./labels";
import type { Face, Picture, Size } from "./types";

/** A picture that was chosen, and what was found in it once that is known. */
export interface Result {
  file: File;
  /** Shows the file. */
  url: string;
  picture?: Picture;
  /** Why there is no `picture`, in words. */
  error?: string;
}

/** As Python's `Faces.to_dict` has them. */
export function toJson(results: readonly Result[]): string {
  const pictures = results.map(({ file, picture, error }) => ({
    path: file.name,
    width: picture?.width ?? 0,
    height: picture?.height ?? 0,
    error: error ?? null,
    faces: (picture?.faces ?? []).map(({ distribution, ages, ...face }) => face),
  }));
  return `${JSON.stringify(pictures, null, 1)}\n`;
}

/** A line for each face, with the columns of Python's `Faces.to_rows`. */
export function toTable(results: readonly Result[], separator: "," | "\t"): string {
  const rows = results.flatMap(({ file, picture }) =>
    (picture?.faces ?? []).map((face, index) => toRow(file.name, index + 1, face)),
  );
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const lines = rows.map((row) => names.map((name) => cell(row[name] ?? "", separator)));
  return [names, ...lines].map((line) => `${line.join(separator)}\n`).join("");
}

function toRow(path: string, number: number, face: Face): Record<string, string | number> {
  const { age, interval, score, box, quality, at_least } = face;
  const chances = Object.entries(at_least).map(([years, chance]) => [`at_least_${years}`, chance]);
  return {
    path,
    face: number,
    age,
    low: interval.low,
    high: interval.high,
    score,
    ...box,
    quality: quality.reasons.join(";"),
    ...Object.fromEntries(chances),
  };
}

/** A value of a table (RFC 4180). Text that a spreadsheet would compute is made text by a quote. */
function cell(value: string | number, separator: string): string {
  let text = `${value}`;
  if (typeof value === "string" && /^[=+\-@]/.test(text)) text = `'${text}`;
  const special = text.includes(separator) || /["\r\n]/.test(text);
  return special ? `"${text.replaceAll('"', '""')}"` : text;
}

/** The picture with its faces' boxes, numbers and ages, as a JPEG. */
export async function drawn(
  image: HTMLImageElement,
  { width, height, faces }: Picture,
): Promise<Blob> {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d")!;
  context.drawImage(image, 0, 0, width, height);
  const unit = Math.max(1, Math.max(width, height) / 400);
  const rectangles = faces.map(({ box }) => ({
    x: box.x1,
    y: box.y1,
    width: box.x2 - box.x1,
    height: box.y2 - box.y1,
  }));
  context.font = `600 ${10 * unit}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  const texts = faces.map((face, index) => labelOf(face, index));
  const sizes = texts.map((text): Size => [context.measureText(text).width + 8 * unit, 16 * unit]);
  for (const [color, line] of [
    ["#000", 3],
    ["#fff", 1.5],
  ] as const) {
    context.strokeStyle = color;
    context.lineWidth = line * unit;
    for (const { x, y, width, height } of rectangles) context.strokeRect(x, y, width, height);
  }
  placeLabels(rectangles, sizes, [width, height]).forEach((place, index) => {
    if (!place) return;
    context.fillStyle = "#fff";
    context.fillRect(...place, ...sizes[index]!);
    context.fillStyle = "#000";
    context.fillText(texts[index]!, place[0] + 4 * unit, place[1] + 8 * unit);
  });
  return canvas.convertToBlob({ type: "image/jpeg", quality: 0.92 });
}

/** Have the browser save a file. */
export function save(content: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
