import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";
import { MARKED, textOf } from "./src/texts";

const runtime = "node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded";
const out = "../src/agelens/page/static";
const assets = "agelens";

const pack = (path: string) => gzipSync(readFileSync(path), { level: 9 });

/** What the build leaves, finished: runtimes compressed, which the page undoes whatever the server
 * does; the web manifest; and in the service worker the names of what it keeps. */
function finish(): Plugin {
  return {
    name: "finish",
    apply: "build",
    closeBundle() {
      const path = (name: string) => `${out}/${assets}/${name}`;
      const names = readdirSync(`${out}/${assets}`);
      const runtimes = names.filter((name) => name.endsWith(".wasm"));
      for (const name of runtimes) {
        writeFileSync(path(`${name}.gz`), pack(path(name)));
        rmSync(path(name));
      }
      for (const name of names.filter((script) => /\.m?js$/.test(script))) {
        let script = readFileSync(path(name), "utf-8");
        for (const file of runtimes) script = script.replaceAll(file, `${file}.gz`);
        writeFileSync(path(name), script);
      }
      const icon = `${assets}/${names.find((name) => name.startsWith("icon-"))}`;
      const manifest = {
        name: "agelens",
        description: "The age of every face in a picture, estimated on your own device.",
        start_url: "./",
        display: "standalone",
        background_color: "#f6f7f8",
        theme_color: "#0b766f",
        icons: [{ src: icon, sizes: "any", type: "image/svg+xml" }],
      };
      writeFileSync(`${out}/app.webmanifest`, JSON.stringify(manifest));
      const kept = names
        .filter((name) => !name.endsWith(".wasm"))
        .map((name) => `${assets}/${name}`);
      const worker = readFileSync(`${out}/service-worker.js`, "utf-8");
      if (!worker.includes("__FILES__")) throw new Error("the service worker has no list to fill");
      const list = JSON.stringify(["app.webmanifest", ...kept]);
      writeFileSync(
        `${out}/service-worker.js`,
        worker.replace("__FILES__", () => list),
      );
    },
  };
}

/** The English texts, where `index.html` names them: for whoever has no script yet. */
function fillTexts(): Plugin {
  const html: Record<string, string> = { ariaLabel: "aria-label", alt: "alt" };
  return {
    name: "texts",
    transformIndexHtml: (page) =>
      Object.entries(MARKED).reduce((text, [attribute, property]) => {
        const marked = new RegExp(`(<[^>]*?)( alt="")?( ${attribute}="(\\w+)")([^>]*>)`, "g");
        return text.replaceAll(marked, (_, start, __, mark, name, end) =>
          property === "textContent"
            ? `${start}${mark}${end}${textOf(name)}`
            : `${start}${mark} ${html[property]}="${textOf(name)}"${end.replace(' alt=""', "")}`,
        );
      }, page),
  };
}

export default defineConfig({
  base: "./", // works under any path
  define: {
    __WASM_BYTES__: pack(`${runtime}.wasm`).length,
    __GPU_BYTES__: pack(`${runtime}.jspi.wasm`).length,
  },
  plugins: [fillTexts(), finish()],
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser", "import"] },
  worker: { format: "es" },
  build: {
    outDir: out,
    emptyOutDir: true,
    assetsDir: assets,
    assetsInlineLimit: 0, // the content security policy lets nothing inline through
    modulePreload: false,
    target: "es2022",
    rolldownOptions: {
      input: { index: "index.html", "service-worker": "src/service-worker.ts" },
      output: {
        entryFileNames: ({ name }) =>
          name === "service-worker" ? "[name].js" : `${assets}/[name]-[hash].js`,
      },
    },
  },
});
