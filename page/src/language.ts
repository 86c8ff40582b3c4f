/** The language of the page: the browser's, or the one that was chosen. */

import { bestOf, LANGUAGES, type Language, language, MARKED, speak, textOf } from "./texts";

const KEPT = "language";

/** Put the words of the chosen language in the place of those that `index.html` has. */
function translate(root: ParentNode): void {
  for (const [attribute, property] of Object.entries(MARKED)) {
    for (const element of root.querySelectorAll<HTMLImageElement>(`[${attribute}]`)) {
      element[property] = textOf(element.getAttribute(attribute)!);
    }
  }
  for (const template of root.querySelectorAll("template")) translate(template.content);
}

function use(wanted: Language): void {
  speak(wanted);
  document.documentElement.lang = wanted;
  translate(document);
}

/** Speak the right language, and let another be chosen; `changed` is called when one is. */
export function offerLanguages(select: HTMLSelectElement, changed: () => void): void {
  for (const [tag, name] of Object.entries(LANGUAGES)) select.add(new Option(name, tag));
  for (const option of select.options) option.lang = option.value;
  let kept: string[] = [];
  try {
    kept = [localStorage.getItem(KEPT) ?? ""];
  } catch {} // a browser may keep nothing
  use(bestOf([...kept, ...navigator.languages]));
  select.value = language();
  select.addEventListener("change", () => {
    try {
      localStorage.setItem(KEPT, select.value);
    } catch {}
    use(select.value as Language);
    changed();
  });
}
