// A picture as the zoo's own preprocessing has it: the same pixels in, the same pixels out.
"use strict";

// RGBA to what the model sees: [height, width, channels], its channels 1 or 3, as Pillow converts them.
function channelsOf(rgba, channels) {
  const pixels = new Uint8Array((rgba.length / 4) * channels);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    const [red, green, blue] = [rgba[from], rgba[from + 1], rgba[from + 2]];
    if (channels === 1) pixels[to++] = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
    else for (const value of [red, green, blue]) pixels[to++] = value;
  }
  return pixels;
}

// The part of a side that each new pixel is made of, with whole weights: torch's antialiased bilinear, of uint8.
function weightsOf(before, after) {
  const scale = before / after;
  const support = Math.max(scale, 1);
  const rows = [];
  for (let index = 0; index < after; index++) {
    const center = scale * (index + 0.5);
    const first = Math.max(Math.trunc(center - support + 0.5), 0);
    const end = Math.min(Math.trunc(center + support + 0.5), before);
    const weights = [];
    for (let at = first; at < end; at++) weights.push(Math.max(0, 1 - Math.abs((at - center + 0.5) / support)));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    rows.push({ first, weights: weights.map((weight) => weight / total) });
  }
  const largest = Math.max(...rows.map((row) => Math.max(...row.weights)));
  let bits = 0;
  while (bits < 22 && Math.trunc(0.5 + largest * 2 ** (bits + 1)) < 2 ** 15) bits++;
  for (const row of rows) row.weights = row.weights.map((weight) => Math.trunc(0.5 + weight * 2 ** bits));
  return { bits, rows };
}

// One side of [outer, before, inner] made as long as `after`.
function resizedSide(pixels, outer, before, inner, after) {
  if (before === after) return pixels;
  const { bits, rows } = weightsOf(before, after);
  const resized = new Uint8Array(outer * after * inner);
  for (let block = 0; block < outer; block++) {
    for (let index = 0; index < after; index++) {
      const { first, weights } = rows[index];
      for (let step = 0; step < inner; step++) {
        let sum = 2 ** (bits - 1);
        for (let at = 0; at < weights.length; at++) {
          sum += pixels[(block * before + first + at) * inner + step] * weights[at];
        }
        resized[(block * after + index) * inner + step] = Math.min(255, Math.floor(sum / 2 ** bits));
      }
    }
  }
  return resized;
}

// [height, width, channels] to another height and width: across first, then down.
function resized(pixels, [height, width, channels], [newHeight, newWidth]) {
  const across = resizedSide(pixels, height, width, channels, newWidth);
  return resizedSide(across, 1, height, newWidth * channels, newHeight);
}
