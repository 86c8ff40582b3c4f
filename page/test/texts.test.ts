import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { bestOf, MARKED, speak, textOf, texts } from "../src/texts";

test("the browser's first language that the page has is spoken", () => {
  expect(bestOf(["de-AT", "en"])).toBe("de");
  expect(bestOf(["", "fr", "en-GB", "de"])).toBe("en");
  expect(bestOf(["fr"])).toBe("en");
});

test("no text is empty or left in English", () => {
  const english = { ...texts() };
  speak("de");
  for (const [name, text] of Object.entries(texts())) {
    expect(text, name).not.toBe("");
    if (typeof text === "string")
      expect(text, name).not.toBe(english[name as keyof typeof english]);
  }
  expect(texts().faces(1)).toBe("1 Gesicht");
  expect(texts().hints.dark).toContain("Licht");
  speak("en");
});

test("index.html has no words of its own, and names texts that there are", () => {
  const page = readFileSync("index.html", "utf-8");
  for (const attribute of Object.keys(MARKED)) {
    for (const [, name] of page.matchAll(new RegExp(`${attribute}="(\\w+)"`, "g"))) {
      expect(textOf(name!)).toBeTruthy();
    }
  }
  const body = page.slice(page.indexOf("<body>")).replaceAll(/<[^>]*>/g, " ");
  expect(body.replaceAll(/agelens|\d+/g, "").trim()).toBe("");
});
