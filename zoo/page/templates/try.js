// Run the model on an image in the browser. The image is not sent anywhere.
"use strict";

const MOST_PIXELS = 50_000_000; // the limit of zoo predict
const embedded = {}; // contents by name in base64, set by the scripts in runtime/ and beside this page
const trial = document.getElementById("trial");
const [input, state, seen, guesses] = ["image", "state", "seen", "guesses"].map((id) => document.getElementById(id));
const { size, classes, resizing } = JSON.parse(trial.dataset.model);
const [channels, height, width] = size;
let session; // a promise, set with the first image

function script(source) {
  return new Promise((resolve, reject) => {
    const element = document.createElement("script");
    element.onload = resolve;
    element.onerror = () => reject(new Error(`${source} is missing`));
    element.src = source;
    document.head.append(element);
  });
}

function bytesOf(name) {
  return Uint8Array.from(atob(embedded[name]), (letter) => letter.charCodeAt(0));
}

// On a page that was opened from a file, a browser imports a module only from a Blob of the page.
async function opened() {
  await Promise.all(["../runtime/ort.wasm.min.js", "../runtime/parts.js", trial.dataset.file].map(script));
  const glue = new Blob([bytesOf("glue")], { type: "text/javascript" });
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.proxy = false;
  ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(glue) };
  ort.env.wasm.wasmBinary = bytesOf("wasm");
  return ort.InferenceSession.create(bytesOf("model"), { executionProviders: ["wasm"] });
}

async function pixelsOf(file) {
  const options = { imageOrientation: "from-image", colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const image = await createImageBitmap(file, options).catch(() => {
    throw new Error(`${file.name} can't be read as an image by this browser`);
  });
  if (image.width * image.height > MOST_PIXELS) {
    throw new Error(`${file.name} has more than ${MOST_PIXELS.toLocaleString("en")} pixels; make it smaller`);
  }
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.width, image.height];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, image.width, image.height);
  const [tall, wide] = resizing === null ? [1, 1] : largerOf([image.height, image.width], [height, width], resizing);
  if (tall * wide > MOST_PIXELS) throw new Error(`${file.name} is too narrow to crop; choose an image with a smaller aspect ratio`);
  return prepared(channelsOf(data, channels), [image.height, image.width, channels], [height, width], resizing);
}

function show(pixels) {
  [seen.width, seen.height, seen.hidden] = [width, height, false];
  const image = new ImageData(width, height);
  for (let at = 0; at < width * height; at++) {
    for (let step = 0; step < 3; step++) image.data[4 * at + step] = pixels[at * channels + Math.min(step, channels - 1)];
    image.data[4 * at + 3] = 255;
  }
  seen.getContext("2d").putImageData(image, 0, 0);
}

function list(probabilities) {
  const best = [...probabilities.keys()].sort((left, right) => probabilities[right] - probabilities[left]).slice(0, 5);
  guesses.replaceChildren(
    ...best.map((index) => {
      const [item, name, bar] = ["li", "span", "meter"].map((kind) => document.createElement(kind));
      const share = `${(100 * probabilities[index]).toFixed(2)}%`;
      item.dataset.probability = bar.value = probabilities[index];
      item.dataset.label = name.textContent = classes[index];
      bar.setAttribute("aria-label", share);
      item.append(name, bar, share);
      return item;
    }),
  );
}

async function run(pixels) {
  session ??= opened();
  return (await session).run({ pixels: new ort.Tensor("uint8", pixels, [1, height, width, channels]) });
}

async function tryIt(file) {
  state.textContent = session ? "Predicting …" : "Loading the runtime and the model …";
  guesses.replaceChildren();
  seen.hidden = true;
  try {
    const pixels = await pixelsOf(file);
    const answers = await run(pixels).catch((error) => {
      session = undefined;
      const server = location.protocol === "file:" ? "; try a server: python -m http.server" : "";
      throw new Error(`This browser can't run the model here (${error.message ?? error})${server}`);
    });
    show(pixels);
    list(answers.probabilities.data);
    state.textContent = `Prediction for ${file.name}, resized to ${width}×${height}:`;
  } catch (error) {
    state.textContent = `${error.message}.`;
  }
}

input.disabled = false;
state.textContent = `An image of any size; it is resized to ${width}×${height} pixels.`;
input.addEventListener("change", () => input.files.length && tryIt(input.files[0]));
