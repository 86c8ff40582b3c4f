/** The pictures that were chosen: a strip of them where there are several, and what is taken away. */

import { drawn, type Result, save, toJson, toTable } from "./results";
import { texts } from "./texts";
import { get } from "./view";

export class Gallery {
  results: Result[] = [];
  current: Result | undefined;

  /** `show` is called with the picture that is to be seen, and again when its faces are known. */
  constructor(private readonly show: (result: Result) => void) {
    get("copy").hidden = !navigator.clipboard;
    get("copy").addEventListener("click", async () => {
      await navigator.clipboard.writeText(toTable(this.results, "\t"));
      get("copy").textContent = texts().copied;
      setTimeout(() => (get("copy").textContent = texts().copy), 2000);
    });
    const text = (content: string, type: string) => new Blob([content], { type });
    get("save-csv").addEventListener("click", () => {
      save(text(toTable(this.results, ","), "text/csv"), "ages.csv");
    });
    get("save-json").addEventListener("click", () => {
      save(text(toJson(this.results), "application/json"), "ages.json");
    });
    get("save-picture").addEventListener("click", async () => {
      const { file, picture } = this.current!;
      if (!picture) return;
      const blob = await drawn(get<HTMLImageElement>("photo"), picture);
      save(blob, `${file.name.replace(/\.[^.]*$/, "")}-ages.jpg`);
    });
  }

  /** Take these pictures in the place of those before; none empties the strip. */
  start(files: readonly File[]): void {
    for (const { url } of this.results) URL.revokeObjectURL(url);
    this.results = files.map((file) => ({ file, url: URL.createObjectURL(file) }));
    this.current = this.results[0];
    get("pictures").replaceChildren(...this.results.map((result) => this.thumbnail(result)));
    get("pictures").hidden = files.length < 2;
    this.update();
    if (this.current) this.show(this.current);
  }

  /** What was found in a picture, or why nothing could be. */
  settle(result: Result, found: Pick<Result, "picture" | "error">): void {
    Object.assign(result, found);
    this.update();
    if (result === this.current) this.show(result);
  }

  /** Everything that was found, in words. */
  summary(): string {
    const count = this.results.reduce((sum, { picture }) => sum + (picture?.faces.length ?? 0), 0);
    return `${texts().pictures(this.results.length)}, ${texts().faces(count)}`;
  }

  /** Say it all again, in another language. */
  translate(): void {
    this.update();
  }

  private thumbnail(result: Result): HTMLElement {
    const [item, button] = [document.createElement("li"), document.createElement("button")];
    const [image, name] = [document.createElement("img"), document.createElement("span")];
    button.type = "button";
    image.src = result.url;
    image.alt = "";
    name.textContent = result.file.name;
    button.append(image, name, document.createElement("small"));
    button.addEventListener("click", () => {
      this.current = result;
      this.update();
      this.show(result);
    });
    item.append(button);
    return item;
  }

  private update(): void {
    this.results.forEach((result, index) => {
      const button = get("pictures").children[index]!.firstElementChild!;
      button.ariaCurrent = `${result === this.current}`;
      const { picture, error } = result;
      const words = picture ? texts().faces(picture.faces.length) : error ? texts().notRead : "…";
      button.querySelector("small")!.textContent = words;
    });
    get("results").hidden = !this.results.some(({ picture }) => picture?.faces.length);
    get<HTMLButtonElement>("save-picture").disabled = !this.current?.picture?.faces.length;
  }
}
