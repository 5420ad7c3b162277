// Resize an image as the zoo's preprocessing does.
"use strict";

// Pillow's filters: support, and weight at a distance from the center.
const FILTERS = {
  box: { reach: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { reach: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  hamming: {
    reach: 1,
    weight: (x) => (x === 0 ? 1 : Math.abs(x) >= 1 ? 0 : sinc(x) * (0.54 + 0.46 * Math.cos(Math.PI * x))),
  },
  bicubic: {
    reach: 2,
    weight: (x) => {
      const far = Math.abs(x);
      if (far < 1) return (1.5 * far - 2.5) * far * far + 1;
      return far < 2 ? (((far - 5) * far + 8) * far - 4) * -0.5 : 0;
    },
  },
  lanczos: { reach: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

// Convert RGBA to pixels [height, width, channels] with 1 or 3 channels, as Pillow does.
function channelsOf(rgba, channels) {
  const pixels = new Uint8Array((rgba.length / 4) * channels);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    const [red, green, blue] = [rgba[from], rgba[from + 1], rgba[from + 2]];
    if (channels === 1) pixels[to++] = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
    else for (const value of [red, green, blue]) pixels[to++] = value;
  }
  return pixels;
}

// For each new pixel of a side: the range of old pixels, and their integer weights. `bits` is the precision of the
// weights, as in Pillow; without it, the precision is chosen as torch's antialiased resize of uint8 does.
function weightsOf(before, after, filter, bits) {
  const scale = before / after;
  const stretch = Math.max(scale, 1);
  const support = filter.reach * stretch;
  const rows = [];
  for (let index = 0; index < after; index++) {
    const center = scale * (index + 0.5);
    const first = Math.max(Math.trunc(center - support + 0.5), 0);
    const end = Math.min(Math.trunc(center + support + 0.5), before);
    const weights = [];
    for (let at = first; at < end; at++) weights.push(filter.weight((at - center + 0.5) / stretch));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    rows.push({ first, weights: weights.map((weight) => weight / total) });
  }
  if (bits === undefined) {
    const largest = Math.max(...rows.map((row) => Math.max(...row.weights)));
    for (bits = 0; bits < 22 && Math.trunc(0.5 + largest * 2 ** (bits + 1)) < 2 ** 15; ) bits++;
  }
  for (const row of rows) {
    row.weights = row.weights.map((weight) => Math.trunc(weight * 2 ** bits + (weight < 0 ? -0.5 : 0.5)));
  }
  return { bits, rows };
}

// Resize the middle side of [outer, before, inner] to `after`.
function resizedSide(pixels, outer, before, inner, after, filter, precision) {
  if (before === after) return pixels;
  const { bits, rows } = weightsOf(before, after, filter, precision);
  const resized = new Uint8Array(outer * after * inner);
  for (let block = 0; block < outer; block++) {
    for (let index = 0; index < after; index++) {
      const { first, weights } = rows[index];
      for (let step = 0; step < inner; step++) {
        let sum = 2 ** (bits - 1);
        for (let at = 0; at < weights.length; at++) {
          sum += pixels[(block * before + first + at) * inner + step] * weights[at];
        }
        resized[(block * after + index) * inner + step] = Math.min(255, Math.max(0, Math.floor(sum / 2 ** bits)));
      }
    }
  }
  return resized;
}

// Resize [height, width, channels], first the width, then the height, as torch does. Pillow 13 starts with the height if
// that removes more than twice as many rows as columns. The result is rounded between the two steps.
function resized(pixels, [height, width, channels], [newHeight, newWidth], filter = FILTERS.bilinear, bits) {
  const isDownFirst = bits !== undefined && height > newHeight && height - newHeight > 2 * (width - newWidth);
  if (isDownFirst) {
    const down = resizedSide(pixels, 1, height, width * channels, newHeight, filter, bits);
    return resizedSide(down, newHeight, width, channels, newWidth, filter, bits);
  }
  const across = resizedSide(pixels, height, width, channels, newWidth, filter, bits);
  return resizedSide(across, 1, height, newWidth * channels, newHeight, filter, bits);
}

// The index of the old pixel that contains the center of each new pixel. The centers are added up step by step, as in
// Pillow, because a product would be rounded differently.
function nearestOf(before, after) {
  const indices = [];
  for (let index = 0, middle = (before / after) * 0.5; index < after; index++, middle += before / after) {
    indices.push(Math.min(before - 1, Math.floor(middle)));
  }
  return indices;
}

function nearest(pixels, [height, width, channels], [newHeight, newWidth]) {
  const [rows, columns] = [nearestOf(height, newHeight), nearestOf(width, newWidth)];
  const chosen = new Uint8Array(newHeight * newWidth * channels);
  let to = 0;
  for (const row of rows) {
    for (const column of columns) {
      for (let step = 0; step < channels; step++) chosen[to++] = pixels[(row * width + column) * channels + step];
    }
  }
  return chosen;
}

// Round halves to the even integer, as Python's round does.
function rounded(value) {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}

// The height and width to resize an image to, before it is cropped or padded.
function largerOf([height, width], [newHeight, newWidth], { crop_pct: part, crop_mode: mode }) {
  const target = [Math.floor(newHeight / part), Math.floor(newWidth / part)];
  if (mode === "squash") return target;
  if (mode === "center" && target[0] === target[1]) {
    const longer = Math.trunc((target[0] * Math.max(height, width)) / Math.min(height, width));
    return width <= height ? [longer, target[0]] : [target[0], longer];
  }
  const ratios = [height / target[0], width / target[1]];
  const ratio = mode === "border" ? Math.max(...ratios) : Math.min(...ratios);
  return [Math.max(1, rounded(height / ratio)), Math.max(1, rounded(width / ratio))];
}

// Crop the center of a side that is too long, and pad a side that is too short.
function fitted(pixels, [height, width, channels], [newHeight, newWidth], { border }) {
  const before = (side, wanted) => {
    if (side >= wanted) return -rounded((side - wanted) / 2);
    return Math.floor((wanted - side) / 2);
  };
  const [top, left] = [before(height, newHeight), before(width, newWidth)];
  const result = new Uint8Array(newHeight * newWidth * channels);
  for (let row = 0; row < newHeight; row++) {
    for (let column = 0; column < newWidth; column++) {
      const [y, x] = [row - top, column - left];
      const inside = y >= 0 && y < height && x >= 0 && x < width;
      for (let step = 0; step < channels; step++) {
        const value = inside ? pixels[(y * width + x) * channels + step] : border[step];
        result[(row * newWidth + column) * channels + step] = value;
      }
    }
  }
  return result;
}

// Prepare pixels [height, width, channels] as input of size [newHeight, newWidth, channels]. `resizing` has timm's
// parameters and the colour of the padding; null resizes directly to the new height and width.
function prepared(pixels, [height, width, channels], size, resizing) {
  if (resizing === null) return resized(pixels, [height, width, channels], size);
  const larger = largerOf([height, width], size, resizing);
  const wide =
    resizing.interpolation === "nearest"
      ? nearest(pixels, [height, width, channels], larger)
      : resized(pixels, [height, width, channels], larger, FILTERS[resizing.interpolation], 22);
  return fitted(wide, [...larger, channels], size, resizing);
}
