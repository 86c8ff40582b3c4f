import { statSync } from "node:fs";
import { defineConfig } from "vite";

const runtime = "node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded";

export default defineConfig({
  base: "./", // works under any path
  define: {
    __WASM_BYTES__: statSync(`${runtime}.wasm`).size,
    __GPU_BYTES__: statSync(`${runtime}.jspi.wasm`).size,
  },
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser", "import"] },
  worker: { format: "es" },
  build: {
    outDir: "../src/agelens/page/static",
    emptyOutDir: true,
    assetsDir: "agelens",
    assetsInlineLimit: 0, // the content security policy lets nothing inline through
    modulePreload: false,
    target: "es2022",
  },
});
