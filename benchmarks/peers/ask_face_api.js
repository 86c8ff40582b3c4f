// face-api as its documentation uses it: detect, find landmarks, estimate. For accuracy_peers.py.
const fs = require("fs");
const path = require("path");
const tf = require("@tensorflow/tfjs");
const wasm = require("@tensorflow/tfjs-backend-wasm");

const inside = (name, folder) => path.join(path.dirname(require.resolve(`${name}/package.json`)), folder, "/");
wasm.setWasmPaths(inside("@tensorflow/tfjs-backend-wasm", "wasm-out"));
const faceapi = require("@vladmandic/face-api/dist/face-api.node-wasm.js");

function read(count) {
  const bytes = Buffer.alloc(count);
  for (let done = 0; done < count; ) {
    const got = fs.readSync(0, bytes, done, count - done);
    if (got === 0) return null;
    done += got;
  }
  return bytes;
}

async function main() {
  await tf.setBackend("wasm");
  await tf.ready();
  const models = inside("@vladmandic/face-api", "model");
  for (const net of ["ssdMobilenetv1", "faceLandmark68Net", "ageGenderNet"])
    await faceapi.nets[net].loadFromDisk(models);
  for (let head; (head = read(8)); ) {
    const [height, width] = [head.readUInt32LE(0), head.readUInt32LE(4)];
    const pixels = tf.tensor3d(new Uint8Array(read(height * width * 3)), [height, width, 3], "int32");
    const found = await faceapi.detectAllFaces(pixels).withFaceLandmarks().withAgeAndGender();
    pixels.dispose();
    const faces = found.map(({ age, detection: { box } }) => [age, box.left, box.top, box.right, box.bottom]);
    fs.writeSync(1, JSON.stringify(faces) + "\n");
  }
}

main();
